"""What a recording is made of: streams of rows in parquet files, and the document that names them.

Every stream counts its rows: ``seq`` grows by one from row to row, so a row that was lost leaves a hole that shows.
Prices are x 10^9, sizes x 10^8, money x 10^9, times ns since 1970 UTC. ``at_ns`` of a fill is when it happened on the
exchange's clock (that of the tape's ``exchange_ns``); of everything else it is the edge's clock (``receive_ns``).
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

import numpy as np
import pyarrow as pa
from pydantic import Field, StringConstraints, model_validator

from bundles.canonical import Digest, Document, Int64, Part
from bundles.manifests import Name

DOCUMENT_NAME: Final = "recording.json"

LARGEST_DOCUMENT_BYTES: Final = 4 << 20
LARGEST_PART_BYTES: Final = 256 << 20
LARGEST_PART_ROWS: Final = 1 << 22
MOST_ROWS: Final = 1 << 24
"""Of one stream, over all its parts."""
MOST_PARTS: Final = 2_000
"""Files of one stream."""
LONGEST_DETAIL: Final = 256
"""Bytes of the text of one event."""

EDGE_STREAMS: Final = ("actions", "fills", "events")
POLICY_STREAMS: Final = ("children", "events")

# What an event was.
(
    START,
    STOP,
    HALT,
    RESUME,
    LIMIT_BREACH,
    TRAP,
    CONFIG,
    DISCONNECT,
    RECONNECT,
    HEARTBEAT,
) = range(10)
EVENT_KINDS: Final = (
    "start",
    "stop",
    "halt",
    "resume",
    "limit_breach",
    "trap",
    "config",
    "disconnect",
    "reconnect",
    "heartbeat",
)
"""Names of the kinds by number: the deployment began; ended; was halted; went on; met a limit of its account (daily
loss, position, exposure) outside of a single action; broke; runs under another configuration from here on; lost the
venue or the coordinator; found it again; is alive."""


def _schema(**columns: pa.DataType) -> pa.Schema:
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in columns.items()])


SCHEMAS: Final[dict[str, pa.Schema]] = {
    "actions": _schema(
        seq=pa.int64(),
        at_ns=pa.int64(),
        order_id=pa.uint64(),
        kind=pa.int8(),
        side=pa.int8(),
        order_type=pa.int8(),
        px_1e9=pa.int64(),
        qty_1e8=pa.int64(),
        reject_code=pa.int16(),
    ),
    "fills": _schema(
        seq=pa.int64(),
        at_ns=pa.int64(),
        order_id=pa.uint64(),
        px_1e9=pa.int64(),
        qty_1e8=pa.int64(),
        side=pa.int8(),
        fee_1e9=pa.int64(),
        is_maker=pa.int8(),
    ),
    "children": _schema(
        seq=pa.int64(),
        at_ns=pa.int64(),
        parent=pa.int32(),
        venue=pa.int16(),
        px_1e9=pa.int64(),
        qty_1e8=pa.int64(),
        side=pa.int8(),
        fee_1e9=pa.int64(),
    ),
    "events": _schema(
        seq=pa.int64(),
        at_ns=pa.int64(),
        kind=pa.int8(),
        value=pa.int64(),
        detail=pa.string(),
    ),
}
"""Columns of each stream, none of which may be null.

``actions``: ``kind`` 0 place, 1 cancel, 2 amend, 3 intent; ``side`` 1 buy, -1 sell, 0 where the action has none;
``order_type`` 0 LIMIT, 1 MARKET, 2 IOC, 3 FOK, 4 POST_ONLY; ``reject_code`` the platform's, -1 for none. ``fills``:
``fee_1e9`` negative for a rebate, ``is_maker`` 1 for a resting order. ``children``: fills of parent orders, ``parent``
the row in the file of parents, ``venue`` the place in the document's list. ``events``: ``kind`` as in EVENT_KINDS.
"""

DTYPES: Final = {
    stream: np.dtype([(field.name, field.type.to_pandas_dtype()) for field in schema if field.type != pa.string()])
    for stream, schema in SCHEMAS.items()
}
"""Rows of each stream in memory; the text of events is kept apart."""

DeploymentId = Annotated[str, StringConstraints(pattern=r"^dep_[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]

StreamName: TypeAlias = Literal["actions", "fills", "children", "events"]


class PartFile(Part):
    """One parquet file of a stream, which holds the rows ``first_seq`` to ``last_seq``."""

    name: Annotated[str, StringConstraints(pattern=r"^(actions|fills|children|events)-[0-9]{6}\.parquet$")]
    digest: Digest
    size_bytes: Annotated[int, Field(ge=0, le=LARGEST_PART_BYTES)]
    rows: Annotated[int, Field(gt=0, le=LARGEST_PART_ROWS)]
    first_seq: Annotated[Int64, Field(ge=1)]
    last_seq: Annotated[Int64, Field(ge=1)]


class Stream(Part):
    """What a stream should hold. One without rows ends before it begins."""

    first_seq: Annotated[Int64, Field(ge=1, lt=2**62)]
    last_seq: Annotated[Int64, Field(ge=0, lt=2**62)]
    parts: Annotated[tuple[PartFile, ...], Field(max_length=MOST_PARTS)]

    @model_validator(mode="after")
    def _ends(self) -> Stream:
        if self.last_seq < self.first_seq - 1:
            raise ValueError(f"last_seq {self.last_seq} lies before first_seq {self.first_seq}")
        if sum(part.rows for part in self.parts) > MOST_ROWS:
            raise ValueError(f"more than {MOST_ROWS:,} rows; cut the recording into several")
        return self


class _Header(Document):
    """What both kinds of recording say of the deployment."""

    schema_version: Literal[1] = 1
    deployment: DeploymentId
    bundle: Digest
    symbol: Name


class EdgeRecording(_Header):
    """The recording of a deployed algo: one account on one venue."""

    kind: Literal["edge-recording"] = "edge-recording"
    venue: Name
    capital_1e9: Annotated[Int64, Field(gt=0)]
    start_position_1e8: Int64
    start_cash_1e9: Int64
    streams: dict[StreamName, Stream]

    @model_validator(mode="after")
    def _all_streams(self) -> EdgeRecording:
        _require_streams(self.streams, EDGE_STREAMS)
        return self


class PolicyRecording(_Header):
    """The recording of a deployed policy: parent orders and what became of them on several venues."""

    kind: Literal["policy-recording"] = "policy-recording"
    venues: Annotated[tuple[Name, ...], Field(min_length=1, max_length=64)]
    parents: Digest
    """The parent orders as `evals.parents` writes them: the file ``parents.parquet`` of the folder."""
    streams: dict[StreamName, Stream]

    @model_validator(mode="after")
    def _all_streams(self) -> PolicyRecording:
        _require_streams(self.streams, POLICY_STREAMS)
        if len(set(self.venues)) < len(self.venues):
            raise ValueError(f"venues names one twice: {', '.join(self.venues)}")
        return self


RecordingDocument: TypeAlias = EdgeRecording | PolicyRecording


def _require_streams(streams: dict[StreamName, Stream], wanted: tuple[str, ...]) -> None:
    if set(streams) != set(wanted):
        raise ValueError(f"the streams are {', '.join(sorted(streams))}; they must be {', '.join(wanted)}")
    for name, stream in streams.items():
        for part in stream.parts:
            if not part.name.startswith(f"{name}-"):
                raise ValueError(f"{part.name} is no part of the stream {name}")
