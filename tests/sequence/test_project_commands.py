"""`sequence init` and `build`: a fresh project from the template to a module that this product runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bundles.errors import LadderError
from bundles.project import read_project
from bundles.toolchain import find_toolchain
from evals.wasm import inspect_module

if TYPE_CHECKING:
    from conftest import Command


def _has_rust() -> bool:
    try:
        find_toolchain()
    except LadderError:
        return False
    return True


def test_init_copies_the_template_under_the_new_name(sequence: Command) -> None:
    document = sequence.json("init", "my_Algo-2")
    project = Path(document["path"])
    own = {"Cargo.toml", "README.md", "Sequence.toml", "src/lib.rs", "tests/quoting.rs"}
    assert set(document["files"]) == own | {".cargo/config.toml", ".gitignore"}
    text = "".join((project / name).read_text() for name in document["files"])
    assert "mm-algo-template" not in text
    assert "mm_algo_template" not in text
    assert "use my_Algo_2::MarketMaker;" in text
    settings = read_project(project / "Sequence.toml")
    assert (settings.name, settings.symbol, list(settings.risk)) == ("my_Algo-2", "BTC-USD", ["v1"])


def test_init_refuses_what_exists(sequence: Command) -> None:
    (sequence.folder / "there").mkdir()
    assert "nothing was changed" in sequence("init", "there", exit_code=3).stderr
    assert not list((sequence.folder / "there").iterdir())


@pytest.mark.parametrize("name", ["", "../up", "9lives", "-x", "a b", "a/b", "core", "ü", "x" * 65])
def test_init_refuses_names_that_rust_would(sequence: Command, name: str) -> None:
    sequence("init", "--", name, exit_code=5)
    assert not list(sequence.folder.parent.rglob("Cargo.toml"))


def test_build_without_a_project_says_how_to_start_one(sequence: Command) -> None:
    if not _has_rust():
        pytest.skip("no Rust with the WASM target; run python -m bundles.toolchain to see what is missing")
    assert "sequence init NAME" in sequence("build", exit_code=5).stderr


def test_the_template_builds_and_can_be_an_algo(sequence: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    if not _has_rust():
        pytest.skip("no Rust with the WASM target; run python -m bundles.toolchain to see what is missing")
    sequence("init", "my-algo")
    monkeypatch.chdir(sequence.folder / "my-algo")
    result = sequence("build", "--json")
    document = json.loads(result.stdout)
    module = Path(document["wasm"])
    assert module.name == "my_algo.wasm"
    assert 5_000 < document["size_bytes"] == module.stat().st_size < 50_000
    facts = inspect_module(module.read_bytes())
    assert facts.abi == "0.4.0"
    assert str(sequence.folder).encode() not in module.read_bytes()
