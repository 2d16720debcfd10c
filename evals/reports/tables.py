"""A table of figures, and what a section of a report holds: written once, shown as HTML or as Markdown.

A row may carry a bar for the eye. The figures themselves are always in its cells, so that whoever cannot see the bar,
or reads Markdown, misses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

Shade: TypeAlias = Literal["gain", "loss", "none", "range", "first", "second"]
Metrics: TypeAlias = Mapping[str, int | float | None]

UNKNOWN: Final = "\N{EN DASH}"
"""What is shown for a figure that is not defined or not recorded."""


@dataclass(frozen=True)
class Bar:
    """A bar from start to stop on its table's axis, perhaps with a mark at one value."""

    start: float
    stop: float
    shade: Shade
    mark: float | None = None


@dataclass(frozen=True)
class Row:
    """The first cell names the row, the others are its figures."""

    cells: tuple[str, ...]
    bar: Bar | None = None


@dataclass(frozen=True)
class Table:
    """A table of figures: ``columns`` titles every cell of a row.

    With ``own_axes`` every bar has an axis of its own, because the rows are of different units; otherwise bars share
    one, so that their lengths compare.
    """

    key: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    note: str = ""
    title: str = ""
    own_axes: bool = False

    @property
    def has_bars(self) -> bool:
        """Whether any row has a bar."""
        return any(row.bar for row in self.rows)

    def axis(self, row: Row) -> tuple[float, float]:
        """Return the lowest and highest value of the axis on which a row's bar is drawn; zero is always on it."""
        bars = [each.bar for each in ((row,) if self.own_axes else self.rows) if each.bar]
        ends = [0.0]
        for bar in bars:
            ends += [bar.start, bar.stop] if bar.mark is None else [bar.start, bar.stop, bar.mark]
        return min(ends), max(ends)

    def documents(self) -> list[dict[str, str]]:
        """Return the rows as documents by column title."""
        return [dict(zip(self.columns, row.cells, strict=True)) for row in self.rows]

    def markdown(self) -> str:
        """Return the table as Markdown."""
        line = "| {} |".format
        head = [line(" | ".join(inline(title) for title in self.columns))]
        head.append(line(" | ".join(["---", *["---:"] * (len(self.columns) - 1)])))
        body = [line(" | ".join(inline(cell) for cell in row.cells)) for row in self.rows]
        title = [f"**{inline(self.title)}**", ""] if self.title else []
        note = ["", inline(self.note)] if self.note else []
        return "\n".join([*title, *head, *body, *note])


@dataclass(frozen=True)
class Chart:
    """A Vega-Lite specification, and what it shows in words for those who cannot see it."""

    key: str
    label: str
    spec: dict[str, Any]
    legend: tuple[tuple[str, str, str], ...] = ()
    """Sign (line, up, down, dot), colour variable and text of each thing that is drawn."""
    note: str = ""


@dataclass(frozen=True)
class Note:
    """A sentence or two; ``loud`` where nobody must overlook it."""

    text: str
    loud: bool = False


Part: TypeAlias = Table | Chart | Note


@dataclass(frozen=True)
class Section:
    """A heading with tables, charts and notes below it."""

    title: str
    parts: tuple[Part, ...] = field(default_factory=tuple)

    @property
    def tables(self) -> tuple[Table, ...]:
        """The tables of the section."""
        return tuple(part for part in self.parts if isinstance(part, Table))

    def markdown(self) -> str:
        """Return heading, tables and notes as Markdown; charts are left to the page."""
        shown = [
            part.markdown() if isinstance(part, Table) else f"{'**!** ' * part.loud}{inline(part.text)}"
            for part in self.parts
            if isinstance(part, (Table, Note))
        ]
        return "\n\n".join([f"### {inline(self.title)}", *shown])


def section(title: str, *parts: Part | None) -> Section:
    """Return a section of the parts that there are."""
    return Section(title, tuple(part for part in parts if part is not None))


def present(sections: Sequence[Section]) -> list[Section]:
    """Leave out the sections that came out empty."""
    return [each for each in sections if each.parts]


def inline(text: str) -> str:
    """Keep a text on one line and harmless in Markdown: names and notes come from people."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>|#" else c for c in " ".join(text.split()))
