"""What happened to a deployment, read off its events; and recorded streams as files for people."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evals.engine.layout import Records
from evals.recordings.reading import Recording
from evals.recordings.schema import HALT, HEARTBEAT, RESUME, STOP
from evals.recordings.values import Rows


def count_of(recording: Recording, kind: int) -> int:
    """Return how many events of a kind were recorded."""
    return int(np.count_nonzero(recording.rows["events"]["kind"] == kind))


def halted_ns(events: Rows) -> int:
    """Return how long a deployment was halted: from each halt to the next resume or stop, or to the last event."""
    halted, since_ns = 0, None
    for kind, at_ns in zip(events["kind"].tolist(), events["at_ns"].tolist(), strict=True):
        if kind == HALT and since_ns is None:
            since_ns = at_ns
        elif kind in {RESUME, STOP} and since_ns is not None:
            halted, since_ns = halted + at_ns - since_ns, None
    return halted if since_ns is None else halted + int(events["at_ns"][-1]) - since_ns


def outcome_rows(
    recording: Recording,
    logs: Mapping[str, tuple[Records, Mapping[str, Sequence[str]]]],
    streams: Iterable[str] = ("events",),
) -> dict[str, bytes]:
    """Return parquet files: of logs with their columns of text, and of recorded streams; heartbeats are left out."""
    files = {name: rows_as_parquet(rows, **texts) for name, (rows, texts) in logs.items()}
    for stream in streams:
        rows = recording.rows[stream]
        if stream == "events":
            shown = np.flatnonzero(rows["kind"] != HEARTBEAT)
            texts = [recording.details.get(int(row), "") for row in shown]
            files[stream] = rows_as_parquet(rows[shown], detail=texts)
        else:
            files[stream] = rows_as_parquet(rows)
    return files


def rows_as_parquet(rows: Records, **texts: Sequence[str]) -> bytes:
    """Write structured rows, with columns of text beside them, as parquet: the same rows give the same bytes."""
    columns = {name: pa.array(rows[name].copy()) for name in rows.dtype.names or ()}
    columns |= {name: pa.array(list(text), pa.string()) for name, text in texts.items()}
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, compression="zstd", version="2.6")
    return sink.getvalue()
