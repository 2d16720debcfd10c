"""What an audit found: each text begins with the key that it is about, and ends with what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bundles.errors import IntegrityError, InvalidInputError, NotFoundError


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What was found; the store is sound if there are no problems.

    ``unfinished`` lists what a crash cut short and the same command, run again, completes. ``remarks`` are true of a
    sound store, too, such as that nobody signed a checkpoint.
    """

    problems: tuple[str, ...]
    unfinished: tuple[str, ...]
    remarks: tuple[str, ...]
    entries: int
    objects: int
    checkpoints: int


class Findings:
    """Collects what is found, each thing once."""

    def __init__(self) -> None:
        self._problems: dict[str, None] = {}
        self._unfinished: dict[str, None] = {}
        self._remarks: dict[str, None] = {}

    def problem(self, text: str) -> None:
        """Something that no crash leaves behind."""
        self._problems[text] = None

    def unfinished(self, text: str) -> None:
        """Something that a crash may have left behind."""
        self._unfinished[text] = None

    def remark(self, text: str) -> None:
        """Something that whoever reads the report should know."""
        self._remarks[text] = None

    @contextmanager
    def of(self, where: str) -> Iterator[None]:
        """Make a problem of whatever does not verify in a block."""
        try:
            yield
        except (IntegrityError, NotFoundError, InvalidInputError) as error:
            text = str(error)
            self.problem(text if text.startswith(where) else f"{where}: {text}")

    def report(self, *, entries: int, objects: int, checkpoints: int) -> AuditReport:
        """Return what was found; what is a problem is not also unfinished."""
        known = {text.partition(": ")[0] for text in self._problems}
        return AuditReport(
            problems=tuple(self._problems),
            unfinished=tuple(text for text in self._unfinished if text.partition(": ")[0] not in known),
            remarks=tuple(self._remarks),
            entries=entries,
            objects=objects,
            checkpoints=checkpoints,
        )
