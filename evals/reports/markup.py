"""HTML of the parts of a report. Every text that comes from outside is escaped here, and nowhere else."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from evals.reports.tables import Bar, Chart, Note, Part, Row, Section, Table

if TYPE_CHECKING:
    from bundles.judging import Judgement

_SIGNS: Final = {
    "line": '<i class="swatch" style="background:{}"></i>',
    "bar": '<i class="swatch bar-swatch" style="background:{}"></i>',
    "dot": '<i class="swatch dot" style="background:{}"></i>',
    "up": '<b style="color:{}">▲</b> ',
    "down": '<b style="color:{}">▼</b> ',
}
_MARKS: Final = {True: ("yes", "✓", "met"), False: ("no", "✗", "not met"), None: ("unknown", "?", "cannot be judged")}


def text(value: object) -> str:
    """Return a text that stays a text in an element and in an attribute."""
    return html.escape(str(value), quote=True)


def script_json(value: object) -> str:
    """Return JSON that is safe inside a script element."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def sections_html(sections: Iterable[Section]) -> str:
    """Return sections with their tables, notes, and the places where the page's script draws the charts."""
    return "".join(
        f"<section><h2>{text(each.title)}</h2>{''.join(_part(part) for part in each.parts)}</section>"
        for each in sections
    )


def charts_of(sections: Iterable[Section]) -> list[dict[str, object]]:
    """Return the specifications of all charts with the ids of their places."""
    parts = (part for each in sections for part in each.parts)
    return [{"id": f"chart-{part.key}", "spec": part.spec} for part in parts if isinstance(part, Chart)]


def _part(part: Part) -> str:
    if isinstance(part, Table):
        return table_html(part)
    if isinstance(part, Chart):
        return _chart(part)
    return note_html(part)


def note_html(note: Note) -> str:
    """Return a note; a loud one is framed."""
    return f'<p class="{"loud" if note.loud else "said"}"{" role=alert" * note.loud}>{text(note.text)}</p>'


def _chart(chart: Chart) -> str:
    legend = "".join(
        f"<span>{_SIGNS[sign].format(text(colour))}{text(name)}</span>" for sign, colour, name in chart.legend
    )
    note = f'<p class="note">{text(chart.note)}</p>' if chart.note else ""
    return (
        f"{legend and f'<div class=legend>{legend}</div>'}"
        f'<div class="chart" role="img" aria-label="{text(chart.label)}">'
        f'<div id="chart-{text(chart.key)}"></div></div>{note}'
    )


def table_html(table: Table) -> str:
    """Return a table, with its bars in a last column.

    On a narrow screen each row becomes a block, in which ``data-label`` names the figures.
    """
    size = len(table.columns)
    head = "".join(f'<th scope="col"{_css(n, table)}>{text(title)}</th>' for n, title in enumerate(table.columns))
    track = '<th class="track" aria-hidden="true"></th>' if table.has_bars else ""
    body = "".join(_row(table, row) for row in table.rows)
    caption = f"<caption>{text(table.title)}</caption>" if table.title else ""
    note = f'<p class="note">{text(table.note)}</p>' if table.note else ""
    kinds = f"figures-table cols-{size}{' pair' * (size == 2)}{' bars' * table.has_bars}"
    return (
        f'<table class="{kinds}" id="table-{text(table.key)}">{caption}'
        f"<thead><tr>{head}{track}</tr></thead><tbody>{body}</tbody></table>{note}"
    )


def _css(column: int, table: Table) -> str:
    return ' class="name"' if column == 0 else ' class="words"' if table.columns[column] in _WORDS else ' class="value"'


_WORDS: Final = frozenset({"Meaning", "Event"})
"""Columns of sentences, which may break and start at the left."""


def _row(table: Table, row: Row) -> str:
    name, *cells = row.cells
    values = "".join(
        f'<td{_css(n, table)} data-label="{text(table.columns[n])}">{text(cell)}</td>'
        for n, cell in enumerate(cells, start=1)
    )
    track = ""
    if table.has_bars:
        track = f'<td class="track">{_bar(table.axis(row), row.bar) if row.bar else ""}</td>'
    return f'<tr><th scope="row" class="name">{text(name)}</th>{values}{track}</tr>'


def _bar(axis: tuple[float, float], bar: Bar) -> str:
    """Return a bar from start to stop on an axis, with a line at zero."""
    low, high = axis
    width = (high - low) or 1

    def at(value: float) -> float:
        return 100 * (value - low) / width

    left, right = sorted((at(bar.start), at(bar.stop)))
    tick = "" if bar.mark is None else f'<b style="left:{at(bar.mark):.2f}%"></b>'
    return (
        f'<div class="bar" aria-hidden="true"><i class="{bar.shade}" style="left:{left:.2f}%;'
        f'width:{right - left:.2f}%"></i><u style="left:{at(0):.2f}%"></u>{tick}</div>'
    )


def figures_html(figures: Sequence[tuple[str, str]]) -> str:
    """Return (value, label) pairs as large figures."""
    cells = "".join(
        f'<div class="figure"><b>{text(value)}</b><span>{text(label)}</span></div>' for value, label in figures
    )
    return f'<section aria-label="Key figures"><div class="figures">{cells}</div></section>'


def checklist_html(judged: Judgement | None) -> str:
    """Return the checks of the stage whose verdict stands first, each with its mark."""
    if judged is None:
        return '<p class="note">No gate rule judged this evaluation.</p>'
    items = []
    for check in judged.checks:
        css, sign, spoken = _MARKS[check.ok]
        tag = '<span class="tag">dry run</span>' if check.dry_run else ""
        items.append(
            f'<li><span class="mark {css}" role="img" aria-label="{spoken}" title="{spoken}">{sign}</span>'
            f"<span>{text(check.text)}</span>{tag}</li>"
        )
    return f'<ul class="checks">{"".join(items)}</ul>'
