"""Costs over notionals: their bounds cover the truth, their quantiles weigh by size."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from evals.statistics.ratios import ratio_bounds, weighted_quantiles

TRUE_BPS = 2.0


def parents(seed: int, n: int = 400) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Costs and notionals of parents whose sizes have a heavy tail and whose costs share what the market does."""
    random = np.random.default_rng(seed)
    notionals = np.rint(np.exp(random.normal(size=n)) * 1e12)
    market = np.convolve(random.normal(size=n + 4), np.ones(5) / 5, "valid")
    costs = notionals * (TRUE_BPS + 5 * market + 3 * random.standard_t(4, size=n)) / 1e4
    return np.rint(costs).astype(np.int64), notionals.astype(np.int64)


def test_the_bounds_miss_the_truth_no_more_often_than_they_state() -> None:
    below = above = 0
    for seed in range(500):
        bounds = ratio_bounds(*parents(seed), seed=seed)
        assert bounds["lower95"] is not None
        assert bounds["upper95"] is not None
        above += bounds["lower95"] > TRUE_BPS
        below += bounds["upper95"] < TRUE_BPS
    assert above <= 0.025 * 500
    assert below <= 0.025 * 500
    assert above + below > 0  # an interval that never misses is no interval of 97.5 %


def test_the_names_and_the_order_of_the_bounds() -> None:
    costs, notionals = parents(1)
    bounds = ratio_bounds(costs, notionals, seed=1)
    ordered = [bounds[name] for name in ("lower99", "lower95", "lower90", "upper90", "upper95", "upper99")]
    assert len(bounds) == 6
    assert ordered == sorted(ordered)  # type: ignore[type-var]
    assert ordered[2] < costs.sum() / notionals.sum() * 1e4 < ordered[3]  # type: ignore[operator]
    later = ratio_bounds(costs, notionals, seed=1, look=2)
    assert later["lower95"] < bounds["lower95"]  # type: ignore[operator]


def test_a_constant_cost_has_no_spread() -> None:
    notionals = np.arange(1, 51) * 10**10
    assert set(ratio_bounds(notionals // 10_000, notionals, seed=1).values()) == {1.0}


def test_too_few_orders_have_no_bounds() -> None:
    costs, notionals = parents(1, 29)
    assert set(ratio_bounds(costs, notionals, seed=1).values()) == {None}
    assert set(ratio_bounds(costs, notionals * 0, seed=1).values()) == {None}


def test_a_worked_example_of_quantiles() -> None:
    # Orders of 1, 1 and 8: a tenth of all money paid 5 bps, a tenth 9, the rest 2.
    found = weighted_quantiles(np.array([5.0, 9.0, 2.0]), np.array([1, 1, 8]), [0, 50, 80, 81, 90, 95, 100])
    assert found == {0: 2.0, 50: 2.0, 80: 2.0, 81: 5.0, 90: 5.0, 95: 9.0, 100: 9.0}


@given(
    st.lists(st.tuples(st.integers(-5, 5), st.integers(0, 4)), min_size=1, max_size=30).filter(
        lambda rows: any(weight for _, weight in rows)
    ),
    st.integers(1, 100),
)
def test_weights_count_as_repetitions(rows: list[tuple[int, int]], percent: int) -> None:
    repeated = sorted(value for value, weight in rows for _ in range(weight))
    expected = repeated[math.ceil(percent * len(repeated) / 100) - 1]
    values, weights = np.array(rows).T
    assert weighted_quantiles(values.astype(float), weights, [percent]) == {percent: expected}


def test_without_weight_there_is_no_quantile() -> None:
    assert weighted_quantiles(np.array([1.0]), np.array([0]), [50]) == {50: None}
    assert weighted_quantiles(np.array([]), np.array([], np.int64), [5, 95]) == {5: None, 95: None}
    with pytest.raises(ValueError, match="in pairs"):
        weighted_quantiles(np.array([1.0]), np.array([1, 2]), [50])
