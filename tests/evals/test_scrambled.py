"""What happens after a time changes nothing before it: what a replayed algo is told, what it does, what it earns."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bundles.mm_types import MmConfig, MmRiskLimits
from evals.market.schema import ASK, BID, LAST_OF_PACKET
from evals.market.synthetic import synthetic_tape
from evals.market.tape import Tape
from evals.replay import ReplayResult, ReplaySettings, run_replay

CONFIG = MmConfig(quote_size_1e8=10_000_000, min_spread_bps=1, max_position_1e8=10**9)
EVERY_TENTH = MmConfig(quote_size_1e8=10)
RISK = MmRiskLimits(max_position_1e8=10**10, max_order_notional_1e9=10**15, max_order_rate=10_000)


def scrambled(tape: Tape, after_ns: int) -> Tape:
    """Return a tape with other sizes and prices in every row that happened after a time."""
    events = tape.events.copy()
    later = events["exchange_ns"] > after_ns
    levels = later & np.isin(events["kind"], (BID, ASK))
    random = np.random.default_rng(1)
    events["sz_1e8"][later] = random.integers(1, 10**9, int(later.sum()))
    # Bids move down and asks up, so that the book does not cross.
    shift = random.integers(0, 50, len(events)) * tape.info.instrument.tick_size_1e9
    events["px_1e9"][levels] += np.where(events["kind"] == BID, -shift, shift)[levels]
    return Tape(events, tape.info)


@pytest.fixture(scope="module")
def tape() -> Tape:
    return synthetic_tape(11, duration_s=120)


def both(wasm: bytes, tape: Tape, after_ns: int, config: MmConfig = CONFIG, **settings: object) -> list[ReplayResult]:
    found = [
        run_replay(wasm, each, config=config, risk=RISK, settings=ReplaySettings(**settings), seed=3)  # type: ignore[arg-type]
        for each in (tape, scrambled(tape, after_ns))
    ]
    assert [line.text for line in found[0].logs] != [line.text for line in found[1].logs] or (
        found[0].result_digest != found[1].result_digest
    ), "the scrambling changed something"
    return found


@pytest.mark.parametrize(
    "models", [{}, {"latency_model": "lognormal", "queue_model": "log", "self_impact_enabled": True}]
)
def test_a_replay_knows_nothing_of_what_comes(
    tape: Tape, compiled_algo: Callable[[str], bytes], models: dict[str, object]
) -> None:
    middle_ns = int(tape.events["receive_ns"][len(tape.events) // 2])
    one, other = both(compiled_algo("maker"), tape, middle_ns, **models)
    for name, clock, columns in (
        ("orders", "decided_ns", ("order_id", "decided_ns", "px_1e9", "qty_1e8", "kind", "side", "order_type")),
        (
            "fills",
            "exchange_ns",
            ("order_id", "exchange_ns", "px_1e9", "qty_1e8", "fee_1e9", "queue_ahead_1e8", "side"),
        ),
        ("equity", "exchange_ns", ("exchange_ns", "cash_1e9", "position_1e8", "mid_1e9", "equity_1e9", "fees_1e9")),
    ):
        earlier = [rows[rows[clock] <= middle_ns] for rows in (one.rows[name].load(), other.rows[name].load())]
        assert len(earlier[0]) > 20
        for column in columns:
            assert earlier[0][column].tolist() == earlier[1][column].tolist(), (name, column)


def test_an_algo_is_told_nothing_of_what_comes(tape: Tape, compiled_algo: Callable[[str], bytes]) -> None:
    # It logs all of its features at every tenth book; the last 1,024 lines of a run are kept.
    middle_ns = int(tape.events["receive_ns"][len(tape.events) // 2])
    stop = int(np.searchsorted(tape.events["receive_ns"], middle_ns, side="right")) + 300
    short = Tape(tape.events[:stop], tape.info)
    short.events["flags"][-1] |= LAST_OF_PACKET
    one, other = (
        [(line.at_ns, line.text) for line in result.logs if line.at_ns <= middle_ns]
        for result in both(compiled_algo("snapshots"), short, middle_ns, EVERY_TENTH)
    )
    assert one == other
    assert len(one) > 500
