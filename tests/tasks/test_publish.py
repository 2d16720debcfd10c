"""What people read in Prefect: names and notes come from people and must not become markup."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundles.gates import Check
from tasks.publish import artifact_key, checklist, inline


@given(st.text())
def test_any_text_stays_one_harmless_line(text: str) -> None:
    shown = inline(text)
    assert "\n" not in shown
    assert not re.search(r"(?<!\\)(\\\\)*[`*_<>|\[\]#]", shown)


@given(st.text(min_size=1))
def test_artifact_keys_are_those_that_prefect_takes(text: str) -> None:
    assert re.fullmatch(r"[a-z0-9-]+", artifact_key("gate", text))


@pytest.mark.parametrize(("ok", "mark"), [(True, "✓"), (False, "✗"), (None, "?")])
def test_a_checklist_marks_each_check_and_tells_dry_runs(ok: bool | None, mark: str) -> None:
    assert checklist([Check("fills 3 >= 20", ok)]) == f"**{mark}** fills 3 \\>= 20"
    assert checklist([Check("fills 3", ok, dry_run=True)]).endswith("*(dry run)*")
