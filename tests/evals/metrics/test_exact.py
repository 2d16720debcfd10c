"""Array arithmetic equals Python's integers, at the edges of 64 bits too."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from evals.metrics.exact import dot, times_1e8, total

INT64 = st.one_of(st.integers(-(2**63), 2**63 - 1), st.sampled_from((-(2**63), -1, 0, 1, 2**63 - 1)))


@given(pairs=st.lists(st.tuples(INT64, INT64), max_size=50))
def test_sums_and_products_lose_nothing(pairs: list[tuple[int, int]]) -> None:
    left, right = np.array(pairs, np.int64).reshape(-1, 2).T
    assert total(left) == sum(a for a, _ in pairs)
    assert dot(left, right) == sum(a * b for a, b in pairs)


@given(left=st.integers(0, 2**63 - 1), product=st.integers(0, 2**63 - 1))
def test_scaled_products_are_rounded_down(left: int, product: int) -> None:
    right = min(product * 10**8 // left if left else 0, 2**63 - 1)
    found = times_1e8(np.array([left]), np.array([right]))
    assert found.tolist() == [left * right // 10**8]
