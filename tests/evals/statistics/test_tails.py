"""Draws too rare to be seen are extended as far as exact tails, many more draws and another solver say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from evals.statistics.bootstrap import resample
from evals.statistics.levels import DRAWS, PERCENTS, side_level
from evals.statistics.paired import compare_paired
from evals.statistics.tails import Side
from tests.evals.statistics.series import NULLS, differences, recursive

RARE = (1e-4, 1.5e-5, 3e-6, 5e-9)


def side_of(values: NDArray[np.float64], blocks: int, weights: NDArray[np.float64] | None = None) -> Side:
    """Draws of a mean from some blocks, upwards."""
    deviations = values - values.mean()
    found = np.empty(DRAWS)
    random = np.random.default_rng(1)
    for draw in range(DRAWS):
        drawn = deviations[random.integers(0, len(values), blocks)]
        found[draw] = drawn.mean() / max(drawn.std(ddof=1) / math.sqrt(blocks), 1e-300)
    found.sort()
    return Side(found, deviations, np.ones(len(values)) if weights is None else weights, blocks)


@pytest.mark.parametrize("blocks", [20, 60, 900])
def test_normal_blocks_have_the_tail_of_student(blocks: int) -> None:
    from scipy import stats

    side = side_of(stats.norm.ppf((np.arange(4000) + 0.5) / 4000), blocks)
    for miss in RARE[:3]:
        ours = side._farthest(miss) / side._farthest(2.5e-3)
        assert ours == pytest.approx(stats.t.isf(miss, blocks - 1) / stats.t.isf(2.5e-3, blocks - 1), rel=0.02)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.8])
def test_blocks_of_two_values_have_the_tail_of_a_binomial(share: float) -> None:
    from scipy import stats

    blocks = 300
    side = side_of((np.arange(1000) < share * 1000).astype(float), blocks)
    many = np.arange(1, blocks)
    errors = (many / blocks - share) / np.sqrt(many / blocks * (1 - many / blocks) / (blocks - 1))
    for miss in RARE:
        beyond = stats.binom.sf(many[errors > side.distance(miss)].min() - 1, blocks, share)
        assert miss / 30 < beyond < 1.6 * miss  # what the draws alone could say of 5e-9 is 5e-4


def test_another_solver_reaches_no_farther() -> None:
    from scipy import optimize, stats

    random = np.random.default_rng(3)
    deviations, weights, blocks = random.standard_t(3, 12), random.uniform(0.2, 2, 12), 40
    side = Side(np.ones(DRAWS), deviations - weights * deviations.sum() / weights.sum(), weights, blocks)

    def shares(logs: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.exp(logs - logs.max()) / np.exp(logs - logs.max()).sum()

    def errors(logs: NDArray[np.float64]) -> float:
        moved = shares(logs) @ side.deviations / (shares(logs) @ weights)
        left = side.deviations - moved * weights
        return float(shares(logs) @ side.deviations / math.sqrt(shares(logs) @ left**2) * math.sqrt(blocks - 1))

    def divergence(logs: NDArray[np.float64]) -> float:
        return float(shares(logs) @ np.log(shares(logs) * 12))

    for miss in (1e-2, 1e-4, 1e-6):
        most = stats.norm.isf(miss) ** 2 / (2 * blocks)
        limit = {"type": "ineq", "fun": lambda logs, most=most: most - divergence(logs)}
        end = optimize.minimize(lambda logs: -errors(logs), np.zeros(12), constraints=[limit])
        assert divergence(end.x) == pytest.approx(most, rel=1e-4)
        assert side._farthest(miss) == pytest.approx(errors(end.x), rel=1e-5)


def beyond(name: str, seed: int, draws: int, look: int) -> float:
    """How many times as often as it may a draw lies beyond the bound of 95 % of a look that 2,000 draws set."""
    values, ones = differences(NULLS[name], seed, 900), np.ones(900, np.int64)
    few = resample(values, ones, draws=DRAWS, seed=1)
    many = resample(values, ones, draws=draws, seed=2)
    assert few
    assert many
    miss = side_level(95, look)
    errors = max(side.distance(miss) for side in few.sides)
    return max(np.count_nonzero(side.distances > errors) / draws / miss for side in many.sides)


def test_a_skewed_tail_is_longer_than_that_of_student() -> None:
    # By Student's t it would be 10 times as often.
    assert beyond("rare_losses", 0, 200_000, look=20) < 3


@pytest.mark.long
@pytest.mark.parametrize("name", NULLS)
def test_a_million_draws_lie_beyond_the_bounds_no_more_often_than_stated(name: str) -> None:
    for look in (5, 40):
        assert np.mean([beyond(name, seed, 1_000_000, look) for seed in range(3)]) < 2.5


def reaches(values: NDArray[np.int64], looks: list[int]) -> list[list[float]]:
    """By look and then by percent; what cannot be told reaches without end."""
    found = resample(values, np.ones(len(values), np.int64), draws=DRAWS, seed=1)
    if found is None:
        return []
    told = [[found.reach(side_level(percent, look)) for percent in PERCENTS] for look in looks]
    return [[math.inf if reach is None else reach for reach in each] for each in told]


SERIES = st.one_of(
    st.builds(differences, st.sampled_from(list(NULLS.values())), st.integers(0, 10**6), st.integers(30, 400)),
    st.lists(st.integers(-3, 3), min_size=30, max_size=90).map(lambda values: np.array(values, np.int64)),
)


@settings(max_examples=60)
@given(SERIES, st.lists(st.integers(1, 10_000), min_size=2, max_size=5, unique=True).map(sorted))
def test_later_looks_and_higher_levels_are_never_narrower(values: NDArray[np.int64], looks: list[int]) -> None:
    found = reaches(values, looks)
    for each in found:
        assert each == sorted(each)
    for percent in zip(*found, strict=True):
        assert list(percent) == sorted(percent)


@pytest.mark.parametrize("name", NULLS)
def test_a_thousandth_look_has_bounds(name: str) -> None:
    found = compare_paired(differences(NULLS[name], 1, 900), capital_1e9=10**15, look=1000, seed=1)
    bounds = [value for key, value in found.metrics("pnl_diff").items() if key[-2:].isdigit()]
    assert len(bounds) == 6
    assert all(value is not None and math.isfinite(value) for value in bounds)


def test_a_difference_that_is_there_is_found_at_a_late_look() -> None:
    values = recursive(600) + 2**31
    assert compare_paired(values, capital_1e9=10**13, look=1000, seed=1).comparison == 1


def test_what_few_rows_carry_is_not_told_at_late_looks() -> None:
    # A draw of 500 rows holds none of the ten with a probability of 4e-5, and then it knows of no spread at all.
    values = np.zeros(500, np.int64)
    values[::50] = [7, 9, 5, 8, 6, 7, 7, 9, 5, 6]
    found = resample(values, np.ones(500, np.int64), draws=DRAWS, seed=1)
    assert found
    assert found.reach(1e-4) is not None
    assert found.reach(1e-6) is None
