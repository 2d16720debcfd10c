"""Every metric has a label and a row in the documentation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evals.labels import METRICS, meaning_of, replay
from evals.market.schema import Instrument
from evals.metrics import Metrics, RunTotals, band
from evals.wasm.abi import REJECT_CODES

DOCUMENT = Path(__file__).parents[2] / "docs/metrics.md"


@pytest.fixture
def metrics() -> dict[str, Any]:
    """Return the metrics of a run in which nothing happened."""
    facts: dict[str, Any] = dict.fromkeys(RunTotals.__annotations__, 0)
    totals = RunTotals(**facts | {"fuel_counts": np.zeros(1, np.int64), "fuel_of_bucket": int})
    return Metrics([Instrument(venue="v", symbol="s", tick_size_1e9=1, lot_size_1e8=1)], 10**12).finish(totals)


def test_the_labels_are_those_of_the_metrics(metrics: dict[str, Any]) -> None:
    codes = {f"rejects_{name}" for name in REJECT_CODES.values()}
    assert set(metrics) - codes == set(replay.METRICS)
    assert all(meaning_of(name).group == "Rejects by code" for name in codes)


def test_scales_follow_the_names() -> None:
    for name, meaning in METRICS.items():
        assert meaning.scale == (9 if name.endswith("_1e9") else 8 if name.endswith("_1e8") else 0), name


def test_every_metric_is_documented(metrics: dict[str, Any]) -> None:
    rows = [line.split("|")[1] for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    documented = {name for row in rows for name in re.findall(r"`([\w<>]+)`", row)}
    codes = {f"rejects_{name}" for name in REJECT_CODES.values()}
    families = {"rejects_<code>", "band_models", "band_<metric>_low", "band_<metric>_high", "tape_<figure>"}
    assert documented == set(metrics) - codes | families


def test_the_documented_band_is_the_default_one(metrics: dict[str, Any]) -> None:
    text = DOCUMENT.read_text()
    listed = re.search(r"has a band: (.*?)\.\n", text, re.DOTALL)
    assert listed is not None
    names = re.findall(r"`(\w+)`", listed[1])
    assert names == [name[5:-4] for name in band({"m": metrics}) if name.endswith("_low")]
