"""The draws are those of a slow twin and of an independent implementation; too little data is said to be too little."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from evals.statistics.blocks import memory_of
from evals.statistics.bootstrap import (
    LEAST_BLOCKS,
    LEAST_DEVIATIONS,
    LEAST_ROWS,
    Resampled,
    _block_sums,
    _distances,
    resample,
)
from evals.statistics.tails import Side
from tests.evals.statistics.series import NULLS, differences, recursive

LEVELS = [0.0125, 0.1, 0.5, 0.9, 0.9875]
BY_ARCH = [-2.27570144238986, -1.288146704697864, 0.0011680099790889872, 1.3081817653998253, 2.325260054636586]
"""`studentised_quantiles(recursive(600), 10, 100_000, LEVELS)` by arch 8.0.0."""


def ones(n: int) -> NDArray[np.int64]:
    return np.ones(n, np.int64)


def test_the_draws_are_spread_as_those_of_arch() -> None:
    values = recursive(600).astype(float)
    drawn = _distances(_block_sums(values - values.mean(), 10), np.full(600, 10.0), 60, 100_000, 7)
    assert np.quantile(drawn, LEVELS) == pytest.approx(BY_ARCH, abs=0.03)  # by chance 0.02 at the outer ones


@pytest.mark.parametrize("length", [1, 3, 7])
def test_a_slow_twin_draws_the_same(length: int) -> None:
    random = np.random.default_rng(length)
    costs, notionals = random.integers(-50, 100, 90), random.integers(1, 1000, 90)
    ratio = costs.sum() / notionals.sum()
    blocks, draws, seed = 90 // length, 60, 5
    deviations = costs - ratio * notionals
    quick = _distances(_block_sums(deviations, length), _block_sums(notionals * 1.0, length), blocks, draws, seed)
    generator = np.random.Generator(np.random.PCG64(seed))
    for found, starts in zip(quick, generator.integers(0, 90, (draws, blocks), dtype=np.uint16), strict=True):
        rows = [[(start + i) % 90 for i in range(length)] for start in starts]
        drawn = [(sum(int(costs[i]) for i in each), sum(int(notionals[i]) for i in each)) for each in rows]
        total = sum(notional for _, notional in drawn)
        moved = sum(cost for cost, _ in drawn) / total
        squares = sum((cost - moved * notional) ** 2 for cost, notional in drawn)
        error = math.sqrt(squares * blocks / (blocks - 1)) / total
        assert found == pytest.approx((moved - ratio) / error, rel=1e-9)


@pytest.mark.parametrize("name", ["autocorrelated", "making_up"])
def test_the_standard_error_is_the_larger_of_two(name: str) -> None:
    values, n = differences(NULLS[name], 1, 400), 400
    found = resample(values, ones(n), draws=2000, seed=1)
    assert found
    length, blocks = found.block_length, n // found.block_length
    around = (values - values.mean()).tolist()
    sums = [sum(around[(start + i) % n] for i in range(length)) for start in range(n)]
    by_blocks = sum(each**2 for each in sums) / n / length * blocks / (blocks - 1)
    by_window = memory_of(values.astype(float)).long_run_variance
    assert found.standard_error == pytest.approx(math.sqrt(max(by_blocks, by_window) / n), rel=1e-6)
    assert (by_blocks > by_window) == (name == "making_up")  # so each of the two is the larger one once


def test_equal_arguments_give_equal_draws_and_other_seeds_other_ones() -> None:
    values = recursive(500)
    first, again, other = (resample(values, ones(500), draws=2000, seed=seed) for seed in (1, 1, 2))
    assert all((first, again, other))
    assert first.reach(0.01) == again.reach(0.01) != other.reach(0.01)


def test_units_cancel_out() -> None:
    values, weights = recursive(500), np.arange(1, 501)
    plain = resample(values, weights, draws=2000, seed=1)
    scaled = resample(values * 8, weights * 2, draws=2000, seed=1)
    assert all((plain, scaled))
    assert scaled.ratio == pytest.approx(4 * plain.ratio)
    assert scaled.reach(0.01) == pytest.approx(4 * plain.reach(0.01))  # type: ignore[operator]


def test_joined_neighbours_say_the_same_of_a_long_series() -> None:
    # 86,400 rows become 3,928 cells of 22; the error of the mean is known: sqrt(long-run variance / n).
    found = resample(recursive(86_400), ones(86_400), draws=2000, seed=1)
    assert found
    assert found.block_length % 22 == 0
    assert found.standard_error == pytest.approx(math.sqrt(2**64 / 12 / 0.25 / 86_400), rel=0.1)
    assert found.ratio == pytest.approx(recursive(86_400).mean(), rel=1e-12)


@pytest.mark.parametrize("rows", [0, 1, LEAST_ROWS - 1])
def test_too_few_rows_say_nothing(rows: int) -> None:
    assert resample(recursive(rows), ones(rows), draws=2000, seed=1) is None


def test_too_few_deviations_say_nothing() -> None:
    values = np.zeros(500, np.int64)
    values[: LEAST_DEVIATIONS - 1] = 7
    assert resample(values, ones(500), draws=2000, seed=1) is None
    values[LEAST_DEVIATIONS * 40] = 7
    assert resample(values, ones(500), draws=2000, seed=1) is not None


def test_a_memory_longer_than_a_tenth_of_the_series_says_nothing() -> None:
    walk = np.cumsum(differences(NULLS["independent"], 1, 200))
    assert resample(walk, ones(200), draws=2000, seed=1) is None


def test_where_neighbours_make_up_for_each_other_blocks_are_only_shortened() -> None:
    found = resample(differences(NULLS["making_up"], 1, 300), ones(300), draws=2000, seed=1)
    assert found
    assert found.block_length == 300 // LEAST_BLOCKS


def test_without_variance_the_interval_is_a_point() -> None:
    found = resample(np.full(100, 3, np.int64), np.full(100, 7, np.int64), draws=2000, seed=1)
    assert found
    assert (found.ratio, found.reach(0.01)) == (3 / 7, 0.0)


def test_a_reach_without_end_is_none() -> None:
    endless = Side(np.repeat([1.0, np.inf], 30), np.array([-1.0, 1.0]), np.ones(2), 10)
    assert Resampled(1.0, 1.0, 1, 60, (endless, endless)).reach(0.34) is None
    assert Resampled(1.0, 1.0, 1, 60, (endless, endless)).reach(1e-6) is None


def test_impossible_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match="come in pairs"):
        resample(ones(40), ones(41), draws=2000, seed=1)
    with pytest.raises(ValueError, match="denominator is negative"):
        resample(ones(40), -ones(40), draws=2000, seed=1)
