"""Small tapes, and the recorded samples where they are at hand."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from evals.market.schema import LAST_OF_PACKET, TAPE_DTYPE, Events, Instrument, TapeInfo
from evals.market.tape import Tape

# The first call of a kernel compiles it.
settings.register_profile("kernels", deadline=None)
settings.load_profile("kernels")

ROOT = Path(__file__).resolve().parents[3]
RAW = Path(os.environ.get("MARKET_DATA_RAW", ROOT.parent / "shared" / "market-data" / "raw"))


@pytest.fixture(scope="session")
def raw() -> Path:
    if not RAW.is_dir():
        pytest.skip(f"the recorded samples are not at {RAW}; MARKET_DATA_RAW may name another folder")
    return RAW


@pytest.fixture(scope="session")
def info() -> TapeInfo:
    instrument = Instrument(venue="test", symbol="BTC-USD", tick_size_1e9=10**7, lot_size_1e8=1)
    return TapeInfo(instrument=instrument, importer="test", importer_version="1")


@pytest.fixture(scope="session")
def make_tape(info: TapeInfo) -> Callable[..., Tape]:
    """Return a function from rows (receive_ns, kind, px, sz) to a tape with one row a packet and 1 ms of latency."""

    def make(rows: Sequence[tuple[int, int, int, int]]) -> Tape:
        events: Events = np.empty(len(rows), TAPE_DTYPE)
        columns = np.array(rows, np.int64).T
        events["receive_ns"], events["kind"], events["px_1e9"], events["sz_1e8"] = columns
        events["exchange_ns"] = events["receive_ns"] - 10**6
        events["flags"] = LAST_OF_PACKET
        return Tape(events, info)

    return make
