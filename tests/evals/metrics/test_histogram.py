"""Quantiles: exact where promised, close elsewhere, and the same whatever the order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.metrics.histogram import Histogram, quantile_bucket

EDGES = [0, 1, 2047, 2048, 2**53 - 1, 2**53, 2**53 + 1, 2**62, 2**63 - 1, *(2**k - 1 for k in range(54, 63))]
VALUES = st.lists(st.one_of(st.integers(0, 2**63 - 1), st.integers(0, 5_000), st.sampled_from(EDGES)), min_size=1)


@given(values=VALUES, percent=st.integers(1, 100))
def test_a_quantile_is_the_least_value_that_enough_do_not_exceed(values: list[int], percent: int) -> None:
    histogram = Histogram()
    for piece in np.array_split(np.array(values, np.int64), 3):
        histogram.add(piece)
    found = histogram.quantile(percent)
    assert found is not None
    exact = min(v for v in values if sum(each <= v for each in values) * 100 >= len(values) * percent)
    assert found == exact if exact < 2048 else exact * (1 - 1 / 1024) < found <= exact


def test_without_values_there_is_no_quantile() -> None:
    assert Histogram().quantile(50) is None
    assert quantile_bucket(np.zeros(4, np.int64), 50) is None


@pytest.mark.parametrize("percent", [1, 50, 99, 100])
def test_numpy_has_the_same_quantiles(percent: int) -> None:
    values = np.random.default_rng(1).integers(0, 2_000, 1_001)
    histogram = Histogram()
    histogram.add(values)
    assert histogram.quantile(percent) == np.percentile(values, percent, method="inverted_cdf")
