"""What the comparison of two runs says, against plain Python, a worse clone, and a future that is scrambled."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundles.mm_types import MmConfig
from evals.engine.layout import EQUITY_LOG, ORDER_LOG
from evals.engine.logs import RowFile
from evals.market.synthetic import DEFAULT_INSTRUMENT, synthetic_tape
from evals.market.tape import Tape
from evals.replay import ReplayResult, run_replay
from evals.shadow import ShadowSettings
from evals.shadowing.aligning import stretches
from evals.shadowing.beside import Algo, run_beside
from evals.shadowing.comparison import DIFFERENCE, compare
from evals.statistics.paired import compare_paired
from tests.evals.shadow.conftest import CONFIG, RISK
from tests.evals.test_scrambled import scrambled

TICK_1E9, PX_1E9 = 5 * 10**8, 50_000 * 10**9
TICK_PPM = TICK_1E9 * 10**6 // PX_1E9
"""A tick as a share of the price."""


def log_of(dtype: Any, rows: list[dict[str, int]], piece: int = 3) -> RowFile:
    """Return a log that was written in small pieces."""
    table = np.zeros(len(rows), dtype)
    for record, row in zip(table, rows, strict=True):
        for name, value in row.items():
            record[name] = value
    log = RowFile(dtype)
    log.pieces = lambda: iter([table[at : at + piece] for at in range(0, len(table), piece)])  # type: ignore[method-assign]
    log._rows = len(table)
    return log


def result_of(orders: RowFile, equity: RowFile) -> ReplayResult:
    facts: dict[str, Any] = {field.name: None for field in dataclasses.fields(ReplayResult)}
    return ReplayResult(**facts | {"status": "completed", "rows": {"orders": orders, "equity": equity}})


ACTIONS = st.lists(st.tuples(*[st.integers(0, high) for high in (6, 1, 1, 2, 1, 1)]), max_size=20)
"""Times, kinds, sides, prices, sizes, assets: few of each, so that many are alike."""
SAMPLES = st.lists(st.tuples(*[st.integers(-5, 5)] * 4), min_size=1, max_size=20)
"""Equity and position of a candidate and an incumbent."""


@given(one=ACTIONS, other=ACTIONS, samples=SAMPLES, symbols=st.sampled_from([1, 2]))
def test_it_says_what_plain_python_says(one: Any, other: Any, samples: Any, symbols: int) -> None:
    names = ("decided_ns", "kind", "side", "px_1e9", "qty_1e8", "asset")
    orders = [
        log_of(ORDER_LOG, [dict(zip(names, row, strict=True), order_id=n) for n, row in enumerate(sorted(rows))])
        for rows in (one, other)
    ]
    samples = samples[: max(symbols, len(samples) // symbols * symbols)]
    if len(samples) % symbols:
        samples *= 2
    equity = [
        log_of(
            EQUITY_LOG,
            [
                {
                    "exchange_ns": n // symbols * 10,
                    "symbol": n % symbols,
                    "equity_1e9": row[at],
                    "position_1e8": row[at + 2],
                }
                for n, row in enumerate(samples)
            ],
        )
        for at in (0, 1)
    ]
    found = compare(*(result_of(*each) for each in zip(orders, equity, strict=True)))

    counts = Counter(one), Counter(other)
    assert found.actions_alike == (counts[0] & counts[1]).total()
    assert found.actions_either == (counts[0] | counts[1]).total()
    held = [(row[2], row[3]) for row in samples]
    assert found.held_alike_1e8 == sum(min(abs(a), abs(b)) for a, b in held if a * b > 0)
    assert found.held_either_1e8 == sum(max(abs(a), abs(b)) for a, b in held)
    rows = found.differences.load()
    for at, name in enumerate(("candidate_1e9", "incumbent_1e9")):
        sums = [sum(row[at] for row in samples[n : n + symbols]) for n in range(0, len(samples), symbols)]
        assert rows[name].tolist() == [now - then for now, then in zip(sums, [0, *sums], strict=False)]


@given(
    times=st.tuples(*[st.lists(st.integers(0, 9), max_size=30).map(sorted)] * 2),
    pieces=st.tuples(st.integers(1, 9), st.integers(1, 9)),
)
def test_stretches_cover_the_same_time(times: Any, pieces: Any) -> None:
    logs = [
        log_of(DIFFERENCE, [{"at_ns": at} for at in each], piece) for each, piece in zip(times, pieces, strict=True)
    ]
    found = [tuple(side["at_ns"].tolist() for side in pair) for pair in stretches(logs[0], logs[1], "at_ns")]
    for side in (0, 1):
        assert [at for pair in found for at in pair[side]] == times[side]
    for earlier, later in itertools.pairwise(found):
        assert max([*earlier[0], *earlier[1]]) < min([*later[0], *later[1]])


def test_runs_that_were_not_sampled_alike_are_not_compared() -> None:
    orders = log_of(ORDER_LOG, [])
    short, long = (
        result_of(orders, log_of(EQUITY_LOG, [{"exchange_ns": n} for n in range(count)])) for count in (3, 4)
    )
    with pytest.raises(ValueError, match="not sampled at the same times"):
        compare(short, long)


def run(wasm: bytes, tape: Tape, seed: int = 42, **config: Any) -> ReplayResult:
    return run_replay(wasm, tape, config=MmConfig(**CONFIG | config), risk=RISK, settings=ShadowSettings(), seed=seed)


def a_tick_dearer(tape: Tape) -> Tape:
    """Return the same market at a venue that charges a tick more for each unit."""
    fees = {name: getattr(tape.info.instrument, name) + TICK_PPM for name in ("maker_fee_ppm", "taker_fee_ppm")}
    instrument = tape.info.instrument.model_copy(update=fees)
    return Tape(tape.events, tape.info.model_copy(update={"instrument": instrument}))


@pytest.mark.parametrize("seed", range(20))
def test_a_clone_that_pays_a_tick_more_is_worse(compiled_algo: Callable[[str], bytes], seed: int) -> None:
    assert TICK_PPM * PX_1E9 == TICK_1E9 * 10**6
    tape = synthetic_tape(seed, start_px_1e9=PX_1E9, instrument=DEFAULT_INSTRUMENT)
    wasm = compiled_algo("maker")
    cheap, dear = run(wasm, tape, seed), run(wasm, a_tick_dearer(tape), seed)
    found = compare(dear, cheap)
    rows = found.differences.load()
    paired = compare_paired(
        rows["candidate_1e9"] - rows["incumbent_1e9"], capital_1e9=ShadowSettings().capital_1e9, look=1, seed=seed
    )
    assert paired.comparison == -1
    assert found.action_agreement == 1, "it does the same and pays more for it"
    net, other = dear.metrics["net_pnl_1e9"], cheap.metrics["net_pnl_1e9"]
    assert isinstance(net, int)
    assert isinstance(other, int)
    assert paired.total_1e9 == net - other


def test_what_happens_later_changes_nothing_before(tape: Tape, compiled_algo: Callable[[str], bytes]) -> None:
    middle_ns = int(tape.events["receive_ns"][len(tape.events) // 2])
    other = scrambled(tape, middle_ns)
    wasm = compiled_algo("maker")
    algos = [Algo(wasm, MmConfig(**CONFIG | {"min_spread_bps": spread}), RISK) for spread in (2, 1)]
    pairs = [run_beside(*algos, [each], settings=ShadowSettings(), seed=3) for each in (tape, other)]
    compared = [compare(*pair) for pair in pairs]
    before = 0
    for logs, clock in (
        (([pair[side].rows[name] for pair in pairs]), clock)  # type: ignore[union-attr]
        for side in (0, 1)
        for name, clock in (("orders", "decided_ns"), ("fills", "exchange_ns"), ("equity", "exchange_ns"))
    ):
        earlier = [_known(log.load(), clock, middle_ns) for log in logs]
        assert earlier[0].tobytes() == earlier[1].tobytes()
        before += len(earlier[0])
    differences = [each.differences.load() for each in compared]
    early = [rows[rows["at_ns"] <= middle_ns] for rows in differences]
    assert len(early[0]) > 100
    assert early[0].tobytes() == early[1].tobytes()
    assert before > 1_000
    assert differences[0].tobytes() != differences[1].tobytes(), "the scrambling changed something"


def _known(rows: Any, clock: str, until_ns: int) -> Any:
    """Return the rows up to a time, without what became of them later."""
    known = rows[rows[clock] <= until_ns].copy()
    for name in ("arrived_ns", "done_ns", "filled_1e8", "outcome", "reject_code", "reason", "receive_ns"):
        if name in (known.dtype.names or ()) and clock == "decided_ns":
            known[name] = 0
    for name in ("mid_100ms_1e9", "mid_1s_1e9", "mid_10s_1e9"):
        if name in (known.dtype.names or ()):
            known[name] = 0
    return known
