"""False passes stay below the stated level, large enough differences are found, the same is exactly nothing."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from evals.statistics.levels import side_level
from evals.statistics.paired import Paired, compare_paired
from tests.evals.statistics.series import NULLS, autocorrelated, differences

CAPITAL_1E9 = 10**15
TRIALS = 500
ONE_SIDE = 0.025
"""Stated: lower95 lies above the truth with at most this probability, at any of all looks."""


def compared(values: np.ndarray, look: int = 1, seed: int = 1) -> Paired:
    return compare_paired(values, capital_1e9=CAPITAL_1E9, look=look, seed=seed)


@cache
def false_sides(name: str, n: int) -> tuple[int, int]:
    """How often a null was called better, and worse."""
    sides = []
    for seed in range(TRIALS):
        found = compared(differences(NULLS[name], seed, n), seed=seed)
        lower = found.metrics("pnl_diff")["pnl_diff_bps_lower95"]
        assert (found.comparison == 1) == (lower is not None and lower > 0)
        sides.append(found.comparison)
    return sides.count(1), sides.count(-1)


@pytest.mark.parametrize("name", NULLS)
def test_false_passes_on_nulls_stay_below_the_stated_level(name: str) -> None:
    better, worse = false_sides(name, 900)
    assert better <= ONE_SIDE * TRIALS
    assert worse <= ONE_SIDE * TRIALS


@pytest.mark.parametrize("name", sorted(NULLS.keys() - {"rare_losses"}))
def test_five_minutes_keep_the_level_too(name: str) -> None:
    # But not against losses that come three times in five minutes: in one window of twenty none is seen.
    better, worse = false_sides(name, 300)
    assert max(better, worse) <= ONE_SIDE * TRIALS


def test_over_all_nulls_the_first_look_spends_no_more_than_its_share() -> None:
    sides = [each for name in NULLS for each in false_sides(name, 900)]
    assert side_level(95, 1) == ONE_SIDE / 2
    assert sum(sides) <= ONE_SIDE / 2 * TRIALS * len(sides)


def test_the_nulls_bite() -> None:
    """An interval that takes neighbours for independent passes far more often than the 1.25 % that it states."""
    false = 0
    for seed in range(200):
        values = differences(autocorrelated, seed, 900)
        false += values.mean() > 2.24 * values.std() / 30
    assert false / 200 > 0.08


def sequential(name: str, trials: int, step: int = 300, looks: int = 5) -> float:
    """The share of nulls that are told from nothing at any look at a growing window."""
    false = 0
    for seed in range(trials):
        values = differences(NULLS[name], seed, step * looks)
        false += any(compared(values[: step * look], look, seed).comparison in {-1, 1} for look in range(1, looks + 1))
    return false / trials


def test_five_looks_together_keep_the_level() -> None:
    assert sequential("autocorrelated", 100) <= 0.05


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(NULLS.keys() - {"rare_losses"}))
def test_five_looks_together_keep_the_level_over_500_trials(name: str) -> None:
    assert sequential(name, TRIALS) <= 0.05


@pytest.mark.parametrize("look", [1, pytest.param(3, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", NULLS)
def test_a_shift_of_one_and_a_half_times_the_detectable_is_always_found(name: str, look: int) -> None:
    for seed in range(20):
        null = differences(NULLS[name], seed, 1800)
        detectable = compared(null, look, seed).detectable_1e9
        assert detectable is not None
        shift = 1.5 * detectable / 1800 / 1e9
        assert compared(differences(NULLS[name], seed, 1800, shift), look, seed).comparison == 1
        assert compared(differences(NULLS[name], seed, 1800, -shift), look, seed).comparison == -1


def test_the_detectable_difference_is_found_nine_times_in_ten() -> None:
    found = 0
    for seed in range(300):
        detectable = compared(differences(autocorrelated, seed, 1800), seed=seed).detectable_1e9
        assert detectable is not None
        shift = detectable / 1800 / 1e9
        found += compared(differences(autocorrelated, 1000 + seed, 1800, shift), seed=seed).comparison == 1
    assert 0.85 <= found / 300 <= 0.96


def test_a_fee_of_one_tick_at_each_fill_is_found() -> None:
    for seed in range(20):
        fills = np.random.default_rng(seed).random(600) < 0.1
        assert compared(-(10**7) * fills.astype(np.int64), seed=seed).comparison == -1


@pytest.mark.parametrize("n", [1, 29, 30, 3600])
@pytest.mark.parametrize("look", [1, 40])
def test_the_same_is_exactly_nothing(n: int, look: int) -> None:
    found = compared(np.zeros(n, np.int64), look)
    figures = found.metrics("pnl_diff")
    assert found.comparison == 0
    assert figures["pnl_diff_1e9"] == 0
    assert isinstance(figures["pnl_diff_1e9"], int)
    bounds = {name: value for name, value in figures.items() if name.endswith("_bps") or name[-2:].isdigit()}
    assert len(bounds) == 1 + 6 + 1
    assert set(bounds.values()) == {0.0}
    assert (figures["block_length"], figures["bootstrap_draws"], figures["look"]) == (None, 0, look)


@pytest.mark.parametrize("values", [[], [5] * 29, [0] * 500 + [7] * 9])
def test_too_little_is_not_told(values: list[int]) -> None:
    found = compared(np.array(values, np.int64))
    figures = found.metrics("pnl_diff")
    assert found.comparison is None
    assert found.total_1e9 == figures["pnl_diff_1e9"] == sum(values)
    assert {value for name, value in figures.items() if name[-2:].isdigit()} == {None}
    assert figures["detectable_diff_bps"] is None


def test_the_names_are_those_of_the_figure() -> None:
    figures = compared(differences(autocorrelated, 1, 300)).metrics("pnl_drift")
    bounds = {f"pnl_drift_bps_{end}{percent}" for end in ("lower", "upper") for percent in (90, 95, 99)}
    others = {"pnl_drift_1e9", "pnl_drift_bps", "detectable_drift_bps", "block_length", "bootstrap_draws", "look"}
    assert set(figures) == bounds | others


def test_the_bounds_are_nested_and_around_the_figure() -> None:
    figures = compared(differences(autocorrelated, 1, 900)).metrics("pnl_diff")
    ends = ["lower99", "lower95", "lower90", None, "upper90", "upper95", "upper99"]
    values = [figures["pnl_diff_bps" + (f"_{end}" if end else "")] for end in ends]
    assert None not in values
    assert values == sorted(values)  # type: ignore[type-var]
    assert figures["pnl_diff_bps"] == figures["pnl_diff_1e9"] / CAPITAL_1E9 * 1e4  # type: ignore[operator]


def test_a_later_look_sees_less_in_the_same_window() -> None:
    values = differences(autocorrelated, 1, 900)
    lowers = [compared(values, look).metrics("pnl_diff")["pnl_diff_bps_lower95"] for look in (1, 2, 3, 5, 8)]
    assert None not in lowers
    assert lowers == sorted(lowers, reverse=True)  # type: ignore[type-var]


def test_the_total_is_exact_beyond_64_bits() -> None:
    assert compared(np.full(40, 2**62, np.int64)).total_1e9 == 40 * 2**62


def test_what_comes_later_changes_nothing() -> None:
    tape = differences(autocorrelated, 1, 3600)
    before = [compared(tape[:end], look).metrics("pnl_diff") for look, end in enumerate((300, 900, 1800), start=1)]
    for seed in range(3):
        scrambled = tape.copy()
        scrambled[1800:] = np.random.default_rng(seed).integers(-(10**12), 10**12, 1800)
        after = [compared(scrambled[:end], k).metrics("pnl_diff") for k, end in enumerate((300, 900, 1800), start=1)]
        assert after == before


def test_the_share_of_all_looks_adds_up_to_the_level() -> None:
    spent = sum(2 * side_level(95, look) for look in range(1, 10_001))
    assert spent == pytest.approx(0.05, rel=1e-3)
    assert spent < 0.05


def test_impossible_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="capital must be positive"):
        compare_paired(np.zeros(3, np.int64), capital_1e9=0, look=1, seed=1)
    with pytest.raises(ValueError, match="no look 0"):
        compare_paired(np.zeros(3, np.int64), capital_1e9=1, look=0, seed=1)
