"""Every figure of a review has a label and a place in the documentation; the worked example is right."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from evals.engine.layout import FILL_LOG
from evals.labels import meaning_of
from evals.labels.live import METRICS
from evals.recordings.gaps import gaps_of
from evals.recordings.matching import match_fills
from evals.recordings.reading import read_folder
from evals.recordings.schema import EVENT_KINDS, SCHEMAS
from evals.reports.page import report_of
from tests.evals.live.conftest import Deployed, Streams, write
from tests.evals.live.test_live_review import reviewed

DOCUMENT = (Path(__file__).parents[3] / "docs/live-review.md").read_text(encoding="utf-8")
OF_POLICIES = {"shortfall_drift_bps", "twin_implementation_shortfall_bps", "twin_fill_ratio"}
BY_THE_STATISTICS = {"comparison", "compared_intervals"}


def test_every_figure_has_a_label(deployed: Deployed, streams: Streams, tmp_path: Path) -> None:
    metrics = reviewed(deployed, write(tmp_path / "r", streams, deployed.digest)).metrics
    unlabelled = {name for name in metrics if meaning_of(name).group == "Other"}
    assert unlabelled <= BY_THE_STATISTICS
    assert set(METRICS) - OF_POLICIES <= set(metrics)
    for name, meaning in METRICS.items():
        assert meaning.scale == (9 if name.endswith("_1e9") else 8 if name.endswith("_1e8") else 0), name


def test_every_figure_of_its_own_is_documented() -> None:
    named = set(re.findall(r"`(\w+)`", DOCUMENT))
    assert {name for name in METRICS if not name.startswith("twin_")} <= named


def test_the_format_is_documented_as_it_is() -> None:
    for stream, schema in SCHEMAS.items():
        assert f"`{stream}`" in DOCUMENT
        for field in schema:
            lines = [line for line in DOCUMENT.splitlines() if f"`{field.name}`" in line and line.startswith("|")]
            assert any(f"| {field.type} |" in line for line in lines), (stream, field.name)
    for number, kind in enumerate(EVENT_KINDS):
        line = next(line for line in DOCUMENT.splitlines() if re.match(rf"\| [\w, ]*{kind}", line))
        assert str(number) in line


def test_the_worked_example() -> None:
    def log(*fills: tuple[int, int, int]) -> np.ndarray:  # type: ignore[type-arg]
        rows = np.zeros(len(fills), FILL_LOG)
        for row, (side, px, qty) in zip(rows, fills, strict=True):
            row["side"], row["px_1e9"], row["qty_1e8"] = side, px, qty
        return rows

    found = match_fills(log((1, 1000, 2), (-1, 1005, 2)), log((1, 999, 2), (-1, 1005, 1)), 1)
    assert found.fill_match == pytest.approx(0.857, abs=1e-3)
    assert found.slippage_bps == pytest.approx(6.66, abs=1e-2)
    assert (found.unmatched, found.unmatched_twin) == (1, 0)


def test_the_example_writes_a_sound_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for example in re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL):
        exec(compile(example, "docs/live-review.md", "exec"), {})
    found, files = read_folder(tmp_path / "recording")
    assert gaps_of(found) == []
    assert sorted(files) == [
        "actions-000001.parquet",
        "events-000001.parquet",
        "events-000002.parquet",
        "fills-000001.parquet",
        "recording.json",
    ]


def test_a_review_has_a_report(deployed: Deployed, streams: Streams, tmp_path: Path) -> None:
    found = reviewed(deployed, write(tmp_path / "r", streams, deployed.digest))
    page = report_of(deployed.catalog, found, None)
    assert "Live-review of bun_" in page
    assert "Fill match" in page
