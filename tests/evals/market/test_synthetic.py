"""The synthetic market is reproducible and a market."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundles.canonical import digest_of
from evals.errors import TapeError
from evals.market.parquet import encode
from evals.market.schema import BUY_TRADE, LAST_OF_PACKET, SELL_TRADE, TAPE_SCHEMA
from evals.market.synthetic import DEFAULT_INSTRUMENT, DEFAULT_START_NS, synthetic_tape, synthetic_venues
from evals.market.tape import decode
from evals.market.validation import validate


@settings(max_examples=20)
@given(seed=st.integers(0, 2**64 - 1), rate=st.sampled_from([1, 50, 1000]), tick=st.sampled_from([10**7, 10**8, 10**9]))
def test_is_a_tape_that_validation_likes(seed: int, rate: int, tick: int) -> None:
    instrument = DEFAULT_INSTRUMENT.model_copy(update={"tick_size_1e9": tick})
    tape = synthetic_tape(seed, duration_s=20, packets_per_s=rate, instrument=instrument)
    decode(encode(tape.events, tape.info), "synthetic")
    report = validate(tape)
    assert not report.refuse
    assert [report.summary[name] for name in ("negative_latency", "trades_off_book", "zero_size_trades")] == [0, 0, 0]
    book = tape.events["px_1e9"][1:]
    assert (book % tick == 0).all()
    assert (tape.events["sz_1e8"] % instrument.lot_size_1e8 == 0).all()
    assert tape.events["exchange_ns"].max() < DEFAULT_START_NS + 20 * 10**9


def test_the_seed_determines_the_bytes() -> None:
    one, again, other = (synthetic_tape(seed, duration_s=30) for seed in (1, 1, 2))
    assert encode(one.events, one.info) == encode(again.events, again.info)
    assert encode(one.events, one.info) != encode(other.events, other.info)


def test_seed_1_is_the_same_everywhere() -> None:
    events = synthetic_tape(1, duration_s=30).events
    columns = b"".join(np.ascontiguousarray(events[name]).tobytes() for name in TAPE_SCHEMA.names)
    # Changing the generator changes every dataset made with it: give the importer a new version then.
    assert digest_of(columns) == "sha256:201f87bf3abc4fe6eb13592ad0eba21390657f5803768b27eaac35508e54b633"


def test_has_the_asked_for_rate_two_sided_trades_and_a_price_that_moves() -> None:
    tape = synthetic_tape(3, duration_s=600, packets_per_s=100)
    packets = int(((tape.events["flags"] & LAST_OF_PACKET) != 0).sum())
    assert 0.9 * 60_000 < packets < 1.1 * 60_000
    buys, sells = (tape.events[tape.events["kind"] == kind] for kind in (BUY_TRADE, SELL_TRADE))
    assert min(len(buys), len(sells)) > 0.02 * packets
    assert len(np.unique(buys["px_1e9"])) > 10


@pytest.mark.parametrize("wrong", [{"duration_s": 0}, {"packets_per_s": 0}, {"start_px_1e9": 10**9}])
def test_refuses_what_it_cannot_make(wrong: dict[str, Any]) -> None:
    with pytest.raises(TapeError, match=next(iter(wrong))):
        synthetic_tape(1, **wrong)


def test_venues_share_a_fair_price_and_nothing_else() -> None:
    named = [DEFAULT_INSTRUMENT.model_copy(update={"venue": name}) for name in ("alpha", "beta", "gamma")]
    tapes = synthetic_venues(5, named, duration_s=300)
    assert [tape.info.instrument.venue for tape in tapes] == ["alpha", "beta", "gamma"]
    ends = []
    for tape in tapes:
        assert not validate(tape).refuse
        trades = tape.events[np.isin(tape.events["kind"], (BUY_TRADE, SELL_TRADE))]
        ends.append([trades["px_1e9"][trades["exchange_ns"] < at].mean() for at in _MINUTES])
    apart = np.ptp(np.array(ends), axis=0).max()
    assert apart < 5 * DEFAULT_INSTRUMENT.tick_size_1e9, "the venues wander apart"
    assert len({encode(tape.events, tape.info) for tape in tapes}) == 3
    again = synthetic_venues(5, named, duration_s=300)
    assert [encode(tape.events, tape.info) for tape in again] == [encode(tape.events, tape.info) for tape in tapes]


_MINUTES = [DEFAULT_START_NS + minute * 60 * 10**9 for minute in range(1, 6)]


@pytest.mark.parametrize(
    "change", [{"venue": "alpha"}, {"venue": "beta", "tick_size_1e9": 1}, {"venue": "b", "symbol": "ETH"}]
)
def test_refuses_venues_that_do_not_go_together(change: dict[str, Any]) -> None:
    named = [DEFAULT_INSTRUMENT.model_copy(update=each) for each in ({"venue": "alpha"}, change)]
    with pytest.raises(TapeError, match="share one symbol"):
        synthetic_venues(5, named)
