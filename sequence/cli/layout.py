"""How text reaches the terminal: one line stays one line, and a table fits the width."""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import Final, TextIO

_DIGEST: Final = re.compile(r"\b(sha256:[0-9a-f]{8})[0-9a-f]{56}\b")
_SHORT_DIGEST: Final = re.compile(r"\b(sha256:[0-9a-f]{4})[0-9a-f]{4}\.\.\.")
_ID: Final = re.compile(r"\b((?:eval|data|bun|prm)_[0-9a-f]{10})[0-9a-f]{6}\b")
_SHORTER: Final[tuple[Callable[[str], str], ...]] = (
    lambda cell: _DIGEST.sub(r"\1...", cell),
    lambda cell: _SHORT_DIGEST.sub(r"\1...", cell),
    lambda cell: _ID.sub(r"\1...", cell),
)
"""What a table that is too wide gives up, in this order; without the dots, what remains is still a prefix."""

_NARROWEST: Final = 20
"""A last column that is narrower than this is continued below the first one."""


def one_line(text: str) -> str:
    r"""Spell out control characters (``\n``, ``\x1b`` …), line separators, marks that turn the writing direction."""
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() or each == "\t" else each.encode("unicode_escape").decode("ascii") for each in text
    )


def plain(text: str) -> str:
    """Do so for every line of a message that has several."""
    return "\n".join(one_line(line) for line in text.split("\n"))


def columns(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lay out a table: aligned and no wider than a terminal; whole values and single spaces for a pipe."""
    table = [header, *([one_line(cell) for cell in row] for row in rows)]
    width = terminal_width()
    if width is None:
        return [" ".join(row) for row in table]
    for shorter in _SHORTER:
        if sum(_widths(table)) + 2 * (len(header) - 1) <= width:
            break
        table = [[shorter(cell) for cell in row] for row in table]
    widths = _widths(table)
    last = sum(widths[:-1]) + 2 * (len(header) - 1)
    indent = last if width - last >= _NARROWEST else 4
    lines: list[str] = []
    for row in table:
        line = "  ".join(cell.ljust(size) for cell, size in zip(row, widths, strict=True)).rstrip()
        lines += _wrap(line, width, indent)
    return lines


def wrapped(line: str, stream: TextIO | None = None) -> list[str]:
    """Break a sentence at the width of the terminal that a stream (stdout) is; leave it whole for a pipe."""
    width = terminal_width(stream)
    indent = len(line) - len(line.lstrip(" ")) + 2
    return [line] if width is None else _wrap(one_line(line), width, indent)


def terminal_width(stream: TextIO | None = None) -> int | None:
    """Return the width of the terminal that a stream (stdout) is, or None where it is none."""
    return shutil.get_terminal_size().columns if (stream or sys.stdout).isatty() else None


def _widths(table: Sequence[Sequence[str]]) -> list[int]:
    return [max(len(row[at]) for row in table) for at in range(len(table[0]))]


def _wrap(line: str, width: int, indent: int) -> list[str]:
    if len(line) <= width or width <= indent:
        return [line]
    return textwrap.wrap(line, width, subsequent_indent=" " * indent, break_on_hyphens=False)
