"""What is missing from a recording. A figure that rests on the whole of it cannot be told once anything is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from evals.market.rules import utc
from evals.recordings.reading import Recording
from evals.recordings.schema import DISCONNECT, HEARTBEAT, START, STOP, EdgeRecording, Stream
from evals.recordings.values import Rows

LONGEST_SILENCE_NS: Final = 5_000_000_000
"""An edge sends a heartbeat each second; after this long without one nobody knows what happened."""

_SHOWN: Final = 5


@dataclass(frozen=True)
class Gap:
    """One thing that is missing, in plain words, and about when."""

    at_ns: int
    text: str


def gaps_of(recording: Recording) -> list[Gap]:
    """Return what is missing, in order of time.

    A hole in the numbers of a stream, at its beginning and its end too; a start or a stop that is not there, or stands
    between others; a disconnect; heartbeats more than LONGEST_SILENCE_NS apart; fills of orders that no action placed.
    """
    document, rows = recording.document, recording.rows
    gaps = [gap for name, stream in document.streams.items() for gap in _holes(name, stream, rows[name])]
    gaps += _lifetime(rows["events"])
    if isinstance(document, EdgeRecording):
        gaps += _orphans(rows["actions"], rows["fills"])
    return sorted(gaps, key=lambda gap: (gap.at_ns, gap.text))


def tell(gaps: list[Gap]) -> str:
    """Return the gaps in one line, the first few by name."""
    if not gaps:
        return ""
    shown = "; ".join(f"{gap.text} ({utc(gap.at_ns)})" if gap.at_ns else gap.text for gap in gaps[:_SHOWN])
    more = f"; and {len(gaps) - _SHOWN} more" if len(gaps) > _SHOWN else ""
    return f"The recording has {len(gaps)} gap{'s' if len(gaps) > 1 else ''}: {shown}{more}"


def _holes(name: str, stream: Stream, rows: Rows) -> list[Gap]:
    seq = np.concatenate([[stream.first_seq - 1], rows["seq"], [stream.last_seq + 1]])
    at_ns = np.concatenate([rows["at_ns"][:1], rows["at_ns"], rows["at_ns"][-1:]]) if len(rows) else np.zeros(2, int)
    return [
        Gap(int(at_ns[i]), f"{name} lacks the rows {seq[i] + 1} to {seq[i + 1] - 1}")
        for i in np.flatnonzero(np.diff(seq) > 1)
    ]


def _lifetime(events: Rows) -> list[Gap]:
    if len(events) == 0:
        return [Gap(0, "events holds no rows: neither start nor stop")]
    kind, at_ns = events["kind"], events["at_ns"]
    first, last = int(at_ns[0]), int(at_ns[-1])
    gaps = []
    if kind[0] != START:
        gaps.append(Gap(first, "the first event is no start"))
    if kind[-1] != STOP:
        gaps.append(Gap(last, "the last event is no stop"))
    gaps += [Gap(int(at), "it starts again") for at in at_ns[1:][kind[1:] == START]]
    gaps += [Gap(int(at), "it stops before the end") for at in at_ns[:-1][kind[:-1] == STOP]]
    gaps += [Gap(int(at), "disconnected") for at in at_ns[kind == DISCONNECT]]
    alive = np.concatenate([[first], at_ns[kind == HEARTBEAT], [last]])
    gaps += [
        Gap(int(alive[i]), f"no heartbeat for {(alive[i + 1] - alive[i]) / 1e9:.1f} s")
        for i in np.flatnonzero(np.diff(alive) > LONGEST_SILENCE_NS)
    ]
    return gaps


def _orphans(actions: Rows, fills: Rows) -> list[Gap]:
    placed = actions[(actions["kind"] == 0) & (actions["reject_code"] < 0)]
    known: NDArray[np.bool_] = np.zeros(len(fills), np.bool_)
    for side in (1, -1):
        known |= (fills["side"] == side) & np.isin(fills["order_id"], placed["order_id"][placed["side"] == side])
    return [
        Gap(
            int(fill["at_ns"]), f"fill {fill['seq']} is of order {fill['order_id']}, which no action placed on its side"
        )
        for fill in fills[~known]
    ]
