"""Everything that can go wrong in this room.

    LadderError                     base; carries the exit code of the `sequence` command
    ├── InvalidInputError      (5)  what was given is malformed
    │   ├── MalformedDocumentError  a manifest, record or policy does not fit its schema
    │   └── InvalidModuleError      WASM bytes that cannot be an algo
    ├── NotFoundError          (4)  no such bundle, artifact, dataset, evaluation
    │   └── AmbiguousIdError        a prefix that fits more than one
    ├── RefusedError           (3)  the ladder says no; `unmet` lists every condition
    │   └── NameTakenError          an id that is already bound to other content
    ├── UnreachableError       (6)  store or service does not answer, or does not honour conditional writes
    │   └── ConflictError           a conditional write lost its race (callers re-read and retry)
    └── IntegrityError         (7)  stored bytes, a signature or a chain do not verify

Every message says what happened, to which thing, and what to do next.
"""

from __future__ import annotations

from typing import ClassVar


class LadderError(Exception):
    """Base of every error that the product raises on purpose."""

    exit_code: ClassVar[int] = 1


class InvalidInputError(LadderError):
    """What was given is malformed; nothing was written."""

    exit_code = 5


class MalformedDocumentError(InvalidInputError):
    """A manifest, record or policy does not fit its schema."""


class InvalidModuleError(InvalidInputError):
    """The WASM bytes cannot be an algo that this product runs."""


class NotFoundError(LadderError):
    """Nothing with that id is in the store."""

    exit_code = 4


class AmbiguousIdError(NotFoundError):
    """A prefix that fits more than one id."""


class RefusedError(LadderError):
    """The ladder, a gate, an approval or a limit says no."""

    exit_code = 3

    def __init__(self, message: str, unmet: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.unmet = unmet


class NameTakenError(RefusedError):
    """An id that is already bound to other content; ids never move."""


class UnreachableError(LadderError):
    """The store or a service does not answer, or cannot be trusted to keep its promises."""

    exit_code = 6


class ConflictError(UnreachableError):
    """A conditional write lost its race; re-read and try again."""


class IntegrityError(LadderError):
    """Stored bytes, a signature or the chain do not verify."""

    exit_code = 7
