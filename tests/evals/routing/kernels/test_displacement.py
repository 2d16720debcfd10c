"""What impact models charge, against their formulas in floating point."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundles.routing import ImpactModel
from evals.market.schema import BID
from evals.routing.settings import RoutingSettings
from tests.evals.routing.desk import COIN, USD, S, book_rows, parents_of, tape_of
from tests.evals.routing.test_replay import run

MID = 100.0


def charges(impact: ImpactModel, qty: int, slices: int, side: int = 1) -> Any:
    """Return what each slice is charged, in parts of the mid; the slices are 2 s apart."""
    tape = tape_of("one", [*book_rows({99.9: 9999}, {100.1: 9999}), (500 * S, BID, 99, 1)], lot_size_1e8=1)
    parents = parents_of({"qty": qty, "horizon": slices * 2 * S, "side": side})
    settings = RoutingSettings(slices=slices, market_age_ns=1000 * S)
    children = run([tape], parents, impact=impact, settings=settings).children
    return children["impact_1e9"] / (children["qty_1e8"] / COIN) / USD / MID


@given(y=st.integers(1, 3_000_000), sigma=st.integers(1_000, 100_000), qty=st.integers(4, 4_000))
def test_square_root(y: int, sigma: int, qty: int) -> None:
    volume = 10_000
    impact = ImpactModel(
        form="square-root",
        daily_volume_1e8=volume * COIN,
        half_life_ns=None,
        coefficient_ppm=y,
        daily_volatility_ppm=sigma,
    )
    filled = qty / 4 * np.arange(4)
    expected = y / 1e6 * sigma / 1e6 * np.sqrt(filled / volume)
    assert charges(impact, qty, 4) == pytest.approx(expected, rel=1e-3, abs=1e-9)


@pytest.mark.parametrize("side", [1, -1])
def test_almgren_chriss(side: int) -> None:
    impact = ImpactModel(
        form="almgren-chriss",
        daily_volume_1e8=86_400 * COIN,
        half_life_ns=2 * S,
        permanent_ppm=5_000,
        temporary_ppm=300,
        fixed_ppm=7,
    )
    # 400 coins in 4 slices of 100, 2 s apart, where the market trades a coin a second: a pace of 50.
    push = 300e-6 * 50
    permanent = 5_000e-6 * 100 / 86_400
    expected = [
        0,
        7e-6 + permanent + push / 2,
        7e-6 + 2 * permanent + push / 4 + push / 2,
        7e-6 + 3 * permanent + push / 8 + push / 4 + push / 2,
    ]
    assert charges(impact, 400, 4, side) == pytest.approx(expected, rel=1e-6, abs=1e-10)


def test_the_limit_holds_for_the_price_displaced() -> None:
    impact = ImpactModel(
        form="almgren-chriss",
        daily_volume_1e8=COIN,
        half_life_ns=None,
        permanent_ppm=0,
        temporary_ppm=0,
        fixed_ppm=2_000,
    )
    tape = tape_of("one", [*book_rows({99.9: 99}, {100.1: 99}), (50 * S, BID, 99, 1)])
    settings = RoutingSettings(slices=2)

    def filled(limit: float) -> int:
        parents = parents_of({"qty": 2, "horizon": 4 * S, "limit": limit})
        return int(run([tape], parents, impact=impact, settings=settings).parents["filled_1e8"][0]) // COIN

    # Once it has begun, every fill costs 0.2 more: 100.3 in all.
    assert [filled(100.09), filled(100.1), filled(100.29), filled(100.3)] == [0, 1, 1, 2]
