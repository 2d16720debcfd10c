"""The band over queue models."""

from __future__ import annotations

import pytest

from evals.metrics import band


def test_a_band_spans_all_models() -> None:
    runs = {"risk_averse": {"fills": 2, "x": -1.5}, "power": {"fills": 5, "x": 0}, "optimistic": {"fills": 9, "x": -2}}
    assert band(runs, ("fills", "x")) == {
        "band_models": 3,
        "band_fills_low": 2,
        "band_fills_high": 9,
        "band_x_low": -2,
        "band_x_high": 0,
    }


def test_a_model_without_the_figure_leaves_no_band() -> None:
    figures = band({"a": {"markout_1s_bps": None}, "b": {"markout_1s_bps": 3.0}}, ("markout_1s_bps",))
    assert figures["band_markout_1s_bps_low"] is figures["band_markout_1s_bps_high"] is None
    assert band({}, ("fills",)) == {"band_models": 0, "band_fills_low": None, "band_fills_high": None}


def test_a_metric_that_no_run_has_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        band({"a": {}}, ("fils",))
