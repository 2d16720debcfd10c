"""Replay: against plain Python, against walking the book, and against itself."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundles.routing import ImpactModel
from evals.market.schema import ASK, BID, BUY_TRADE, SELL_TRADE
from evals.market.synthetic import synthetic_tape
from evals.market.tape import Tape
from evals.parents.orders import PARENT, ParentOrders
from evals.routing.execution import RoutingRun, execute_parents
from evals.routing.settings import FaultPlan, RoutingSettings
from tests.evals.routing.desk import (
    COIN,
    NO_IMPACT,
    USD,
    S,
    book_rows,
    instrument,
    model_of,
    parents_of,
    shaken,
    tape_of,
)
from tests.evals.routing.plain import plain_replay

SETTINGS = RoutingSettings(slices=4)
COSTS: dict[str, Any] = {
    "latency_ns": 2_000_000,
    "latency_risk_ppm_per_sqrt_ms": 3,
    "freshness_ppm_per_s": 40,
    "adverse_selection_ppm": 2,
    "reject_ppm": 10_000,
    "reject_cost_ppm": 300,
    "venue_impact_ppm": 60,
}
ROOT_LAW = ImpactModel(
    form="square-root",
    daily_volume_1e8=10**12,
    half_life_ns=7 * S,
    coefficient_ppm=900_000,
    daily_volatility_ppm=30_000,
)
CHRISS = ImpactModel(
    form="almgren-chriss",
    daily_volume_1e8=10**12,
    half_life_ns=3 * S,
    permanent_ppm=40_000,
    temporary_ppm=30_000,
    fixed_ppm=11,
)


def market(seed: int, venues: int = 3, duration_s: int = 40) -> list[Tape]:
    """Return venues that show about the same market."""
    facts = {"tick_size_1e9": USD // 2, "lot_size_1e8": 1_000, "min_qty_1e8": 1_000, "taker_fee_ppm": 300}
    first = synthetic_tape(seed, duration_s=duration_s, instrument=instrument("v0", **facts))
    return [first, *(shaken(first, f"v{at}", seed + at, taker_fee_ppm=300 - 40 * at) for at in range(1, venues))]


def orders_for(
    tapes: Sequence[Tape], seed: int, count: int, horizon_ns: int = 8 * S, largest: int = 30_000
) -> ParentOrders:
    random = np.random.Generator(np.random.PCG64(seed))
    first = max(int(tape.events["receive_ns"][0]) for tape in tapes)
    last = min(int(tape.events["receive_ns"][-1]) for tape in tapes)
    rows = np.zeros(count, PARENT)
    rows["arrival_ns"] = np.sort(random.integers(first, last - horizon_ns, count))
    rows["horizon_ns"] = random.choice([0, horizon_ns // 3, horizon_ns], count)
    rows["qty_1e8"] = random.integers(1, largest, count) * 1_000
    rows["side"] = random.choice([1, -1], count)
    limited = random.random(count) < 0.3
    rows["limit_px_1e9"][limited] = 60_000 * USD + rows["side"][limited].astype(np.int64) * 2 * USD
    return ParentOrders("BTC-USD", tuple(f"p{at}" for at in range(count)), rows)


def run(tapes: Sequence[Tape], parents: ParentOrders, **how: Any) -> RoutingRun:
    names = [tape.info.instrument.venue for tape in tapes]
    given: dict[str, Any] = {
        "model": how["model"] if "model" in how else model_of(*names),
        "impact": NO_IMPACT,
        "slicing": "twap",
        "settings": SETTINGS,
        "seed": 1,
    }
    return execute_parents(parents, tapes, **given | how)


def even(parents: ParentOrders, slices: int) -> list[list[int]]:
    counts = [min(max(int(row["horizon_ns"]) // S, 1), slices) for row in parents.rows]
    return [[int(row["qty_1e8"]) * (k + 1) // n for k in range(n)] for row, n in zip(parents.rows, counts, strict=True)]


@pytest.mark.parametrize("version", ["V1", "V2"])
@pytest.mark.parametrize("impact", [NO_IMPACT, ROOT_LAW, CHRISS], ids=["none", "root", "chriss"])
def test_is_the_plain_one(version: str, impact: ImpactModel) -> None:
    tapes = market(5)
    names = [tape.info.instrument.venue for tape in tapes]
    parents = orders_for(tapes, 3, 40)
    kept = COSTS if version != "V1" else {name: COSTS[name] for name in list(COSTS)[:3]}
    costs = {"v0": kept, "v1": kept | {"freshness_ppm_per_s": 90, "taker_fee_ppm": 100}}
    model = model_of(*names, version=version, costs=costs, max_book_age_ns=25_000_000)
    found = run(tapes, parents, model=model, impact=impact)
    plain = plain_replay(parents, tapes, model, impact, SETTINGS, even(parents, 4))
    assert found.parents["stale_venues"].sum() > 0
    assert (found.parents["slices"] > 1).any()
    for row, expected in zip(found.parents, plain, strict=True):
        assert {name: int(row[name]) for name in expected} == expected
    _check_parts(found)


def _check_parts(found: RoutingRun) -> None:
    rows = found.parents
    parts = ("spread_1e9", "impact_1e9", "fees_1e9", "delay_1e9", "opportunity_1e9")
    assert (rows["shortfall_1e9"] == sum(rows[name] for name in parts)).all()
    # And the shortfall is Perold's, from the rows of the fills alone.
    for at, row in enumerate(rows.tolist()):
        parent = dict(zip(rows.dtype.names or (), row, strict=True))
        mine = found.children[found.children["parent"] == at]
        side, rest = parent["side"], parent["qty_1e8"] - parent["filled_1e8"]

        def cost(px: int, qty: int, side: int = side) -> int:
            return -(-side * px * qty // COIN)

        paper = cost(parent["arrival_mid_1e9"], parent["qty_1e8"])
        real = sum(cost(int(fill["px_1e9"]), int(fill["qty_1e8"])) for fill in mine)
        charges = int(mine["fee_1e9"].sum()) + int(mine["impact_1e9"].sum())
        assert parent["shortfall_1e9"] == real + charges + cost(parent["end_mid_1e9"], rest) - paper
        assert parent["filled_1e8"] == mine["qty_1e8"].sum()


@settings(max_examples=25)
@given(
    seed=st.integers(0, 10_000),
    sandbox=st.booleans(),
    slicing=st.sampled_from(["twap", "pov", "immediate"]),
    fee=st.sampled_from([-50, 0, 700]),
)
def test_parts_add_up_and_nobody_beats_the_oracle(seed: int, sandbox: bool, slicing: str, fee: int) -> None:
    tapes = market(seed, venues=2, duration_s=20)
    odd = tapes[1].info.instrument.model_copy(update={"taker_fee_ppm": fee, "maker_fee_ppm": -20, "lot_size_1e8": 7})
    tapes[1] = Tape(tapes[1].events, tapes[1].info.model_copy(update={"instrument": odd}))
    parents = orders_for(tapes, seed, 25)
    found = run(tapes, parents, slicing=slicing, impact=CHRISS, faults=FaultPlan() if sandbox else None)
    _check_parts(found)
    assert (found.parents["oracle_1e9"] <= found.parents["shortfall_1e9"]).all()
    assert (found.parents["filled_1e8"] <= parents.rows["qty_1e8"]).all()
    assert found.parents["filled_1e8"].sum() > 0


@given(
    asks=st.dictionaries(st.integers(1, 60), st.integers(1, 50), min_size=1, max_size=12),
    qty=st.integers(1, 400),
    side=st.sampled_from([1, -1]),
)
def test_one_free_venue_is_walking_the_book(asks: dict[int, int], qty: int, side: int) -> None:
    levels = {100 + side * cents / 100: size / 1000 for cents, size in asks.items()}
    opposite = {100 - side * 1.0: 1.0}
    bids, offered = (opposite, levels) if side > 0 else (levels, opposite)
    tape = tape_of("only", [*book_rows(bids, offered), (10 * S, SELL_TRADE, 99.5, 1)])
    found = run([tape], parents_of({"side": side, "qty": qty / 1000}), slicing="immediate")
    left, walked = qty, {}
    for cents in sorted(asks):
        walked[10_000 + side * cents] = min(left, asks[cents])
        left -= walked[10_000 + side * cents]
    expected = {px: size for px, size in walked.items() if size}
    got = {int(row["px_1e9"]) * 100 // USD: int(row["qty_1e8"]) * 1000 // COIN for row in found.children}
    assert got == expected
    assert found.parents["filled_1e8"][0] == (qty - left) * COIN // 1000
    assert found.parents["fees_1e9"][0] == 0


def test_what_a_parent_took_is_gone_until_the_tape_sets_the_level_again() -> None:
    rows = [*book_rows({99: 5}, {100: 1, 101: 5}), (3 * S + S // 2, ASK, 100, 2), (60 * S, BID, 98, 1)]
    found = run([tape_of("only", rows)], parents_of({"qty": 4, "horizon": 4 * S}))
    fills = [(int(f["slice"]), int(f["px_1e9"]) // USD, int(f["qty_1e8"]) // COIN) for f in found.children]
    # Slices at 1, 2, 3 and 4 s: the level at 100 is gone after the first, and set anew before the last.
    assert fills == [(0, 100, 1), (1, 101, 1), (2, 101, 1), (3, 100, 1)]


def test_parents_do_not_meet_each_other() -> None:
    tapes = market(8)
    parents = orders_for(tapes, 8, 30)
    whole = run(tapes, parents)
    for at in (0, 7, 29):
        alone = run(tapes, ParentOrders("BTC-USD", (parents.ids[at],), parents.rows[at : at + 1]))
        assert alone.parents[0] == whole.parents[at]


@pytest.mark.parametrize("faults", [None, FaultPlan()], ids=["replay", "sandbox"])
def test_what_comes_later_changes_nothing_before(faults: FaultPlan | None) -> None:
    tapes = market(11)
    parents = orders_for(tapes, 4, 60)
    then = int(np.median(parents.rows["arrival_ns"]))
    random = np.random.Generator(np.random.PCG64(9))
    scrambled = []
    for tape in tapes:
        events = tape.events.copy()
        after = np.maximum(events["receive_ns"], events["exchange_ns"]) > then
        events["px_1e9"][after] += random.integers(-20, 20, after.sum()) * USD
        events["sz_1e8"][after] = random.integers(0, 50, after.sum()) * 1_000
        scrambled.append(Tape(events, tape.info))
    before, after_all = (run(each, parents, faults=faults, impact=ROOT_LAW) for each in (tapes, scrambled))

    def early(found: RoutingRun) -> Any:
        # What happened at the exchange may have been received later: fills before its earliest scrambled row.
        return found.children[found.children["filled_ns"] < then - 20_000_000]

    assert len(early(before)) > 50
    assert (early(before) == early(after_all)).all()
    assert before.digest() != after_all.digest()


def test_cutting_the_tape_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    tapes = market(2)
    parents = orders_for(tapes, 2, 30)
    for faults in (None, FaultPlan()):
        digests = set()
        for rows in (1 << 16, 997, 61):

            class Cut:
                def __init__(self, tape: Tape, rows: int = rows) -> None:
                    self.info, self._tape, self._rows = tape.info, tape, rows

                def chunks(self) -> Any:
                    return self._tape.chunks(self._rows)

            digests.add(run([Cut(tape) for tape in tapes], parents, faults=faults).digest())  # type: ignore[misc]
        assert len(digests) == 1


AGAIN = """
from tests.evals.routing.test_replay import market, orders_for, run, CHRISS
from evals.routing.settings import FaultPlan
tapes = market(6)
for faults in (None, FaultPlan()):
    print(run(tapes, orders_for(tapes, 6, 30), faults=faults, impact=CHRISS, single_venues=True).digest())
"""


def test_another_process_comes_to_the_same() -> None:
    tapes = market(6)
    mine = [
        run(tapes, orders_for(tapes, 6, 30), faults=faults, impact=CHRISS, single_venues=True).digest()
        for faults in (None, FaultPlan())
    ]
    root = str(Path(__file__).parents[3])
    other = subprocess.run(
        [sys.executable, "-c", AGAIN],
        env=os.environ | {"PYTHONHASHSEED": "4711", "PYTHONPATH": root},
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    assert other.stdout.split() == mine
    assert mine[0] != mine[1]


def test_twap_and_vwap_are_those_of_the_whole_market() -> None:
    one = [*book_rows({99: 5}, {101: 5}), (3 * S, BUY_TRADE, 101, 2), (4 * S, BID, 100, 1), (60 * S, BID, 98, 1)]
    two = [*book_rows({98: 5}, {102: 5}), (5 * S, SELL_TRADE, 98, 1), (60 * S, BID, 97, 1)]
    found = run(
        [tape_of("one", one), tape_of("two", two)], parents_of({"qty": 1, "horizon": 8 * S}), slicing="immediate"
    )
    # From 1 s to 9 s: the mid is 100 for three seconds, then 100.5 for five.
    assert found.parents["twap_1e9"][0] == (3 * 100 * USD + 5 * 100_500_000_000) // 8
    assert found.parents["vwap_1e9"][0] == (2 * 101 + 1 * 98) * USD // 3


def test_a_venue_alone_is_compared_as_if_it_had_filled_as_much() -> None:
    small = tape_of("small", [*book_rows({99: 5}, {100: 1}), (60 * S, BID, 98, 1)], taker_fee_ppm=1_000)
    large = tape_of("large", [*book_rows({99: 5}, {101: 9}), (60 * S, BID, 98, 1)], taker_fee_ppm=2_000)
    found = run([small, large], parents_of({"qty": 3}), slicing="immediate", single_venues=True)
    mid = (99 + 100) * USD // 2
    alone = run([small, large], parents_of({"qty": 3}), slicing="immediate", only=["small"])
    assert alone.parents["filled_1e8"][0] == COIN
    # What it did not fill pays its fee at the end's mid: 2 coins at 0.1 %.
    assert found.single_venues_1e9[0, 0] == alone.parents["shortfall_1e9"][0] + 2 * mid // 1_000
    dear = run([small, large], parents_of({"qty": 3}), slicing="immediate", only=["large"])
    assert found.single_venues_1e9[0, 1] == dear.parents["shortfall_1e9"][0]


def test_v3_turns_away_from_a_venue_that_rejects() -> None:
    rows = [*book_rows({99: 500}, {100: 500}), (500 * S, BID, 98, 1)]
    tapes = [tape_of("risky", rows), tape_of("dear", rows)]
    costs = {"risky": {"reject_cost_ppm": 400}, "dear": {"adverse_selection_ppm": 100}}
    orders = parents_of(*({"qty": 0.1, "at": (1 + at) * S} for at in range(6)))
    faults = FaultPlan(reject_ppm=1_000_000, partial_fill_ppm=0, stale_ppm=0, burst_ppm=0)
    venues = {}
    for version, more in (("V2", {}), ("V3", {"prior_orders": 6})):
        model = model_of("risky", "dear", version=version, costs=costs, **more)
        found = run(tapes, orders, slicing="immediate", model=model, faults=faults)
        venues[version] = found.children["venue"].tolist()
        assert found.parents["rejects"].sum() == len(found.children)
    assert venues["V2"] == [0] * 6
    # After n rejects the penalty is n / (6 + n) of 400 ppm: the other venue's 100 ppm at the second, more at the third.
    # Equal costs are shared, so the third order goes to both; each is rejected on its own.
    assert venues["V3"] == [0, 0, 0, 1, 1, 1, 1]
