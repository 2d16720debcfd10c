"""Fills against the twin's: the kernel against its slow twin, and what greedy means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.engine.layout import FILL_LOG
from evals.recordings.matching import WINDOW_NS, match_fills

S = 10**9
TICK = 5
Fill = tuple[int, int, int, int]
"""Time, side, price, quantity."""


def log_of(fills: Sequence[Fill]) -> Any:
    log = np.zeros(len(fills), FILL_LOG)
    for row, (at_ns, side, px, qty) in zip(log, sorted(fills, key=lambda fill: fill[0]), strict=True):
        row["exchange_ns"], row["side"], row["px_1e9"], row["qty_1e8"] = at_ns, side, px, qty
    return log


def slow_match(ours: Any, theirs: Any) -> list[tuple[int, int, int]]:
    left = [int(qty) for qty in theirs["qty_1e8"]]
    found = []
    for i, fill in enumerate(ours):
        wanted = int(fill["qty_1e8"])
        for j, other in enumerate(theirs):
            near = abs(int(fill["exchange_ns"]) - int(other["exchange_ns"])) <= WINDOW_NS
            close = abs(int(fill["px_1e9"]) - int(other["px_1e9"])) <= TICK
            if near and close and fill["side"] == other["side"] and min(wanted, left[j]) > 0:
                qty = min(wanted, left[j])
                wanted, left[j] = wanted - qty, left[j] - qty
                found.append((i, j, qty))
    return found


fills = st.lists(
    st.tuples(
        st.integers(0, 12).map(lambda at: at * S // 3),
        st.sampled_from([1, -1]),
        st.integers(95, 110),
        st.integers(1, 4),
    ),
    max_size=14,
)


@given(fills, fills)
def test_the_kernel_does_as_its_slow_twin(ours: list[Fill], theirs: list[Fill]) -> None:
    a, b = log_of(ours), log_of(theirs)
    found = match_fills(a, b, TICK)
    wanted = slow_match(a, b)
    assert sorted(map(tuple, found.rows.tolist())) == sorted(wanted)
    matched = sum(qty for *_, qty in wanted)
    both = int(a["qty_1e8"].sum() + b["qty_1e8"].sum())
    assert found.fill_match == (2 * matched / both if both else None)
    worse = sum(int(a["side"][i]) * (int(a["px_1e9"][i]) - int(b["px_1e9"][j])) * qty for i, j, qty in wanted)
    notional = sum(int(b["px_1e9"][j]) * qty for _, j, qty in wanted)
    assert found.slippage_bps == (pytest.approx(worse / notional * 1e4) if notional else None)
    for log, column, count in ((a, 0, found.unmatched), (b, 1, found.unmatched_twin)):
        left = log["qty_1e8"].copy()
        for match in wanted:
            left[match[column]] -= match[2]
        assert count == np.count_nonzero(left)


@given(fills)
def test_the_same_fills_match_each_other(ours: list[Fill]) -> None:
    log = log_of(ours)
    found = match_fills(log, log, TICK)
    assert (found.rows["realised_row"] == found.rows["twin_row"]).all()
    assert found.fill_match == (1 if ours else None)
    assert found.slippage_bps == (0 if ours else None)
    assert found.unmatched == found.unmatched_twin == 0


@given(fills, fills, st.integers(0, 14).map(lambda at: at * S // 3))
def test_what_happens_later_changes_no_match(ours: list[Fill], theirs: list[Fill], cut: int) -> None:
    a, b = log_of(ours), log_of(theirs)
    whole = match_fills(a, b, TICK).rows
    earlier = match_fills(a[a["exchange_ns"] <= cut], b[b["exchange_ns"] <= cut + WINDOW_NS], TICK).rows
    settled = a["exchange_ns"] <= cut
    assert whole[settled[whole["realised_row"]]].tolist() == earlier.tolist()


def test_a_worked_example() -> None:
    ours = log_of([(0, 1, 100, 10), (S, 1, 103, 5), (2 * S, -1, 101, 3), (9 * S, -1, 90, 1)])
    theirs = log_of([(S // 2, 1, 101, 12), (2 * S, -1, 103, 3), (3 * S, 1, 200, 4)])
    found = match_fills(ours, theirs, TICK)
    assert found.rows.tolist() == [(0, 0, 10), (1, 0, 2), (2, 1, 3)]
    assert found.fill_match == 2 * 15 / (19 + 19)
    # Bought 10 a unit cheaper and 2 dearer by 2, sold 3 cheaper by 2: 0 worse than the twin.
    assert found.slippage_bps == (-10 + 4 + 6) / (12 * 101 + 3 * 103)
    assert (found.unmatched, found.unmatched_twin) == (2, 1)
