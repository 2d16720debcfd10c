"""The tape: columns, flags and instrument facts of market data in parquet (one row, one event).

Files lie at ``venue=<v>/symbol=<s>/date=<YYYY-MM-DD>/*.parquet`` below a data root, in UTC days, rows in receive order.
A packet (what arrived in one message) ends at the row with :data:`LAST_OF_PACKET`; the algo is called once per packet.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from bundles.canonical import Document, Int64
from bundles.manifests import Name

BID: Final = 1
ASK: Final = 2
BUY_TRADE: Final = 3
SELL_TRADE: Final = 4
CLEAR: Final = 5
"""Values of ``kind``: absolute bid or ask level, trade by a buyer or a seller (the aggressor), clear the whole book."""

LAST_OF_PACKET: Final = 1
SNAPSHOT: Final = 2
"""Bits of ``flags``."""

TAPE_SCHEMA: Final = pa.schema(
    [
        pa.field("exchange_ns", pa.int64(), nullable=False),
        pa.field("receive_ns", pa.int64(), nullable=False),
        pa.field("kind", pa.uint8(), nullable=False),
        pa.field("px_1e9", pa.int64(), nullable=False),
        pa.field("sz_1e8", pa.int64(), nullable=False),
        pa.field("flags", pa.uint8(), nullable=False),
    ]
)
"""Columns of a tape file. ``sz_1e8`` is the absolute size of the level; 0 removes it."""

TAPE_DTYPE: Final = np.dtype(
    [
        ("exchange_ns", np.int64),
        ("receive_ns", np.int64),
        ("px_1e9", np.int64),
        ("sz_1e8", np.int64),
        ("kind", np.uint8),
        ("flags", np.uint8),
    ],
    align=True,
)
"""A tape row in memory, as the kernels read it. Compare and digest by field: the padding bytes are arbitrary."""

Events: TypeAlias = NDArray[np.void]
"""A one-dimensional array of :data:`TAPE_DTYPE`."""

METADATA_KEY: Final = b"sequence.tape"
"""Key of the parquet file's metadata that holds a :class:`TapeInfo` as canonical JSON."""


class Instrument(Document):
    """Trading rules and fees of one symbol on one venue.

    0 means unknown or none. Fees are in millionths of the notional; a negative fee is a rebate.
    """

    venue: Name
    symbol: Name
    tick_size_1e9: Annotated[Int64, Field(gt=0)]
    lot_size_1e8: Annotated[Int64, Field(gt=0)]
    min_qty_1e8: Annotated[Int64, Field(ge=0)] = 0
    min_notional_1e9: Annotated[Int64, Field(ge=0)] = 0
    contract: Literal["linear", "inverse"] = "linear"
    contract_size_1e8: Annotated[Int64, Field(gt=0)] = 100_000_000
    maker_fee_ppm: int = 0
    taker_fee_ppm: int = 0


class TapeInfo(Document):
    """What a tape file says about itself."""

    schema_version: Literal[1] = 1
    instrument: Instrument
    importer: str
    importer_version: str
    clock_shift_ns: Int64 = 0
    """Added to every recorded receive time; 0 where the recorder's clock was usable as it was."""
    feed: dict[str, int] = Field(default_factory=dict)
    """Counts over the whole import that only the importer could take, such as ``sequence_breaks``."""
    opening_rows: Annotated[int, Field(ge=0)] = 0
    """Leading rows of a file that only restate the book the day before ended with; see ``evals/market/days.py``."""
    follows_ns: Int64 | None = None
    """The ``receive_ns`` that the day before ended with, if there are opening rows."""
