"""Validation figures as metrics."""

from __future__ import annotations

from evals.metrics import validation_metrics


def test_figures_get_a_prefix() -> None:
    assert validation_metrics({"gaps": 2, "rows": 9}) == {"tape_gaps": 2, "tape_rows": 9}
    assert validation_metrics({}) == {}


def test_counts_of_several_datasets_add_up_and_of_extremes_the_largest_stays() -> None:
    one = {"gaps": 2, "longest_gap_ms": 70, "bid_levels_max": 5}
    two = {"gaps": 1, "longest_gap_ms": 30, "bid_levels_max": 9, "trade_id_gaps": 4}
    assert validation_metrics(one, two) == {
        "tape_gaps": 3,
        "tape_longest_gap_ms": 70,
        "tape_bid_levels_max": 9,
        "tape_trade_id_gaps": 4,
    }
