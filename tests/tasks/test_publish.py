"""What people read in Prefect: names and notes come from people and must not become markup."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundles.gates import Check
from evals.reports.figures import figures_markdown
from tasks.publish import artifact_key, checklist, inline, publish_figures
from tests.evals.reports import made, stored


@given(st.text())
def test_any_text_stays_one_harmless_line(text: str) -> None:
    shown = inline(text)
    assert "\n" not in shown
    assert not re.search(r"(?<!\\)(\\\\)*[`*_<>|\[\]#]", shown)


@given(st.text(min_size=1))
def test_artifact_keys_are_those_that_prefect_takes(text: str) -> None:
    assert re.fullmatch(r"[a-z0-9-]+", artifact_key("gate", text))


def test_figures_go_to_prefect_as_the_markdown_of_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = stored.open_catalog(tmp_path)
    evaluation = stored.record(catalog, made.sor(parents=50), stored.bundle(catalog, "sor"))
    shown: dict[str, str] = {}

    def create(markdown: str, *, key: str, description: str) -> None:
        assert evaluation.eval_id in description
        shown[key] = markdown

    monkeypatch.setattr("tasks.publish.create_markdown_artifact", create)
    publish_figures.fn(evaluation, made.PASS, store=tmp_path.as_uri())
    key = artifact_key("figures", evaluation.eval_id)
    assert shown == {key: figures_markdown(catalog, evaluation, made.PASS)}
    assert "What the shortfall is made of" in shown[key]


@pytest.mark.parametrize(("ok", "mark"), [(True, "✓"), (False, "✗"), (None, "?")])
def test_a_checklist_marks_each_check_and_tells_dry_runs(ok: bool | None, mark: str) -> None:
    assert checklist([Check("fills 3 >= 20", ok)]) == f"**{mark}** fills 3 \\>= 20"
    assert checklist([Check("fills 3", ok, dry_run=True)]).endswith("*(dry run)*")
