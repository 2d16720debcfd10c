"""Two worlds that are one until a moment and differ in all things from the next nanosecond on; what is known by then.

Whatever a review says of the time until then must be the same in both. Nothing is left to chance: the market jumps at
once, and fills, actions and events follow each other every few milliseconds, so that counting any of them early by
more than that shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bundles.catalog import Catalog
from evals.market.datasets import build_dataset
from evals.market.schema import CLEAR, LAST_OF_PACKET
from evals.market.tape import Tape, write_tape
from evals.recordings import schema
from evals.recordings.window import WindowTape
from tests.evals.live.test_window_and_mids import gathered

STEP_NS = 5_000_000
"""Between two rows of what is recorded after the moment."""
COUNT = 400
_JUMP_TICKS = 1_000
_LOTS = 50
_EVENTS = (schema.HALT, schema.LIMIT_BREACH, schema.RESUME, schema.DISCONNECT, schema.RECONNECT, schema.CONFIG)


def scrambled(tape: Tape, moment_ns: int, other: Tape) -> Tape:
    """Return a tape that goes on as another one, far above and thin, from the nanosecond after the moment on."""
    events = tape.events
    happened = events["exchange_ns"] <= moment_ns
    cut = int(np.flatnonzero(happened & ((events["flags"] & LAST_OF_PACKET) > 0))[-1]) + 1
    assert happened[:cut].all()
    assert not happened[cut:].any(), "the exchange's clock goes back"
    since_ns = max(moment_ns + 1, int(events["receive_ns"][cut - 1]))
    rest = gathered(WindowTape(other, since_ns, 2**62))
    # It begins with its book, which is received as soon as it can be.
    rest["receive_ns"][: int(np.flatnonzero(rest["flags"] & LAST_OF_PACKET)[0]) + 1] = since_ns
    rest["exchange_ns"] = np.maximum(rest["exchange_ns"], moment_ns + 1)
    rest["px_1e9"] += np.where(rest["kind"] == CLEAR, 0, _JUMP_TICKS * tape.info.instrument.tick_size_1e9)
    rest["sz_1e8"] = np.minimum(rest["sz_1e8"], _LOTS * tape.info.instrument.lot_size_1e8)
    return Tape(np.concatenate([events[:cut], rest]), tape.info)


def registered(catalog: Catalog, root: Path, tape: Tape) -> str:
    """Keep a tape below a data root; return the id of its dataset."""
    write_tape(root, tape)
    return catalog.register_dataset(build_dataset(root, tape.info.instrument.venue, tape.info.instrument.symbol))


def rows_after(moment_ns: int, **columns: Any) -> dict[str, Any]:
    """Return COUNT rows, STEP_NS apart, from the nanosecond after the moment on; a column may be one value."""
    at_ns = moment_ns + 1 + STEP_NS * np.arange(COUNT)
    return {"at_ns": at_ns} | {name: np.broadcast_to(value, COUNT) for name, value in columns.items()}


def events_after(moment_ns: int) -> dict[str, Any]:
    """Return halts, breaches and all else that may be told of a deployment."""
    return rows_after(moment_ns, kind=np.resize(_EVENTS, COUNT), value=1, detail=np.full(COUNT, "later", object))


def until(columns: Mapping[str, Any], moment_ns: int) -> dict[str, Any]:
    """Return the rows of a stream until the moment."""
    kept = columns["at_ns"] <= moment_ns
    return {name: values[kept] for name, values in columns.items()}


def joined(*streams: Mapping[str, Any]) -> dict[str, Any]:
    """Return the rows of some streams in order of time, in the types of the first."""
    order = np.argsort(np.concatenate([each["at_ns"] for each in streams]), kind="stable")
    return {
        name: np.concatenate([np.asarray(each[name]).astype(first.dtype) for each in streams])[order]
        for name, first in streams[0].items()
    }


def known(table: Any, clock: str, moment_ns: int, *, at: Mapping[str, Any] | None = None) -> Any:
    """Return the rows of an output until the moment, without what was not known by then.

    ``at``: for columns that are known later than their row, when; a time or a column of times.
    """
    shown = table[table[clock] <= moment_ns].copy()
    for column, known_ns in (at or {}).items():
        shown[column] = shown[column].where(
            (known_ns if np.isscalar(known_ns) else known_ns[shown.index]) <= moment_ns, 0
        )
    return shown.reset_index(drop=True)
