"""The documents hold what they show: links lead somewhere, Python examples run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from evals.market.tape import read_tape

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_the_tape_examples_write_a_tape_and_read_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (ROOT / "docs" / "tape.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for example in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(example, "docs/tape.md", "exec"), {})
    tape = read_tape(list(tmp_path.rglob("*.parquet")))
    assert len(tape.events) == 2
    assert tape.info.instrument.venue == "kraken"
