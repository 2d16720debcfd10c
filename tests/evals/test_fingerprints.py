"""An engine's fingerprint covers every module that computes its results: none changes and leaves the fingerprint."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import grimp
import pytest

from bundles.evidence import EngineFingerprint
from evals import assignment, live_review, replay, shadow
from evals.engine import fingerprint
from evals.routing import evaluating

ROOT = Path(__file__).resolve().parents[2]
DOOR = "evals.evaluation"
"""Opens every engine; what one engine computes does not depend on the others."""
ENGINES = {
    "assignment": (["evals.assignment"], assignment.engine_fingerprint),
    "live review of algos": (["evals.recordings.review", "evals.replay"], live_review.engine_fingerprint),
    "live review of policies": (["evals.recordings.policies", "evals.assignment"], live_review.policy_fingerprint),
    "replay": (["evals.replay"], replay.engine_fingerprint),
    "routing": (["evals.routing.evaluating"], evaluating.engine_fingerprint),
    "shadow": (["evals.shadow"], shadow.engine_fingerprint),
}
BEHIND_THE_DOOR = {"evals.assignment", "evals.live_review", "evals.replay", "evals.routing.evaluating", "evals.shadow"}
COMPUTES_NOTHING = {
    "evals/engine/fingerprint.py",  # the lists themselves
    "evals/engine/kernel.py",  # compiles
    "evals/engine/layout.py",  # for policies: names of array types
    "evals/errors.py",
    "evals/wasm/abi.py",  # for policies: names of orders in the metrics of algos
}


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    graph = grimp.build_graph("evals", exclude_type_checking_imports=True, cache_dir=None)
    for engine in graph.find_modules_directly_imported_by(DOOR) & BEHIND_THE_DOOR:
        graph.remove_import(importer=DOOR, imported=engine)
    return graph


@pytest.mark.parametrize("name", sorted(ENGINES))
def test_what_an_engine_imports_is_in_its_fingerprint(
    name: str, imports: grimp.ImportGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules, fingerprint_of = ENGINES[name]
    needed = {path_of(each) for root in modules for each in (root, *imports.find_upstream_modules(root))}
    assert len(needed) > 20
    assert needed - COMPUTES_NOTHING - covered(fingerprint_of, monkeypatch) == set()


def covered(fingerprint_of: Callable[[], EngineFingerprint], monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Return the files whose contents a fingerprint is made of."""
    found: set[str] = set()
    digest = fingerprint._digest

    def watched(sources: Iterable[Path]) -> str:
        files = list(sources)
        found.update(path.relative_to(ROOT).as_posix() for path in files)
        return digest(files)

    monkeypatch.setattr(fingerprint, "_digest", watched)
    fingerprint.engine_digest.cache_clear()
    fingerprint_of()
    assert found
    return found


def path_of(module: str) -> str:
    path = ROOT / module.replace(".", "/")
    found = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return found.relative_to(ROOT).as_posix()
