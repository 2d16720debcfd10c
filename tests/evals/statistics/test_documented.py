"""The page on statistics tells every figure, and its worked example is what comes out."""

from __future__ import annotations

import re
from pathlib import Path

from evals.labels import METRICS
from evals.statistics.levels import DRAWS, side_level
from evals.statistics.paired import compare_paired
from tests.evals.statistics.series import recursive

PAGE = (Path(__file__).parents[3] / "docs/statistics.md").read_text(encoding="utf-8")
FIGURES = (
    "probabilistic_sharpe",
    "deflated_sharpe",
    "trials",
    "min_track_s",
    "look",
    "block_length",
    "bootstrap_draws",
)


def test_every_figure_has_a_label_and_a_row() -> None:
    for name in FIGURES:
        assert name in METRICS
        assert f"\n| `{name}` |" in PAGE


def test_the_worked_example() -> None:
    first, second = (compare_paired(recursive(600), capital_1e9=10**13, look=look, seed=1) for look in (1, 2))
    figures, later = first.metrics("pnl_diff"), second.metrics("pnl_diff")
    assert first.resampled is not None
    error = first.resampled.standard_error
    reach = first.resampled.reach(side_level(95, 1))
    assert reach is not None
    for value in (
        f"total | \N{MINUS SIGN}{-first.total_1e9 / 1e9:.9f}, or",
        f"so {first.block_length} (the package",
        f"s | {error / 1e9:.4f} each interval",
        f"first look | {reach / error:.3f} |",
        f"look 1 | \N{MINUS SIGN}{-figures['pnl_diff_bps_lower95']:.2f} … {figures['pnl_diff_bps_upper95']:.2f} bps",
        f"look 2 | \N{MINUS SIGN}{-later['pnl_diff_bps_lower95']:.2f} … {later['pnl_diff_bps_upper95']:.2f} bps",
        f"detectable at look 1 | {figures['detectable_diff_bps']:.2f} bps",
    ):
        assert value in PAGE, value


def test_the_table_of_looks() -> None:
    rows = re.findall(r"^\| ([\d,]+) \| ([\d.]+) % \| ([\d.]+) % \|$", PAGE, re.MULTILINE)
    assert len(rows) == 6
    for look, of_95, of_99 in rows:
        for percent, stated in ((95, of_95), (99, of_99)):
            assert f"{100 * side_level(percent, int(look.replace(',', ''))):.2g}" == f"{float(stated):.2g}"
    assert f"{DRAWS:,} draws" in PAGE
