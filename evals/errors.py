"""Everything that can go wrong in this room (all derive from `bundles.errors`, so exit codes are theirs).

    LadderError
    ├── InvalidInputError      (5)
    │   ├── TapeError               a parquet file, capture or dataset that cannot be a tape
    │   └── InvalidModuleError      (bundles) bytes, exports or imports that the host refuses
    └── AlgoFailure                 the algo broke while it ran; recorded as a failed evaluation
        ├── AlgoTrapped             a WASM trap: unreachable, out-of-bounds access, stack overflow
        ├── FuelExhausted           one callback used more fuel than it may
        └── AlgoProtocolError       an actions pointer out of range, more than 16 actions, too many in all

An AlgoFailure never leaves `run_replay`: it becomes the run's status, with callback, event index and fuel used.
"""

from __future__ import annotations

from bundles.errors import InvalidInputError, LadderError


class TapeError(InvalidInputError):
    """A parquet file, a capture or a dataset that cannot be a tape."""


class AlgoFailure(LadderError):  # noqa: N818 -- a failure of the algo judged, not of the product
    """The algo broke while it ran."""

    def __init__(self, message: str, *, callback: str, event_index: int, fuel_used: int) -> None:
        super().__init__(f"{message} (callback {callback}, event {event_index}, fuel used {fuel_used})")
        self.callback = callback
        self.event_index = event_index
        self.fuel_used = fuel_used


class AlgoTrapped(AlgoFailure):
    """A WASM trap."""


class FuelExhausted(AlgoFailure):
    """One callback used more fuel than it may."""


class AlgoProtocolError(AlgoFailure):
    """The algo answered with something that is not a list of actions."""
