"""Manifests depend on nothing but their parts."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bundles.compile import WASM_PREAMBLE, compile_assignment, compile_edge, compile_sor
from bundles.errors import InvalidModuleError, MalformedDocumentError
from bundles.mm_types import MmConfig, MmRiskLimits

EDGE = {"sdk_abi": "0.4.0", "artifact": "art_a", "risk_limits": MmRiskLimits(), "config": MmConfig()}


def test_defaults_are_the_documented_ones() -> None:
    edge = compile_edge(WASM_PREAMBLE, **EDGE)
    assert (edge.strategy, edge.risk_version, edge.wasm.size_bytes) == ("mm-pro", "v1", 8)
    assert compile_sor(routing_model="art_a", impact_model="art_b").slicing_policy == "vwap"
    assignment = compile_assignment(artifact="art_a")
    assert (assignment.edge_threshold_1e9, assignment.sor_threshold_1e9) == (10**12, 10**12)
    assert assignment.min_venues == 2


def test_ids_do_not_depend_on_process_or_hash_seed() -> None:
    code = (
        "from bundles.compile import *; from bundles.mm_types import *;"
        "print(compile_edge(WASM_PREAMBLE, sdk_abi='0.4.0', artifact='art_a', risk_limits=MmRiskLimits(), "
        "config=MmConfig()).bundle_id)"
    )
    ids = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            check=True,
        )
        .stdout.decode()
        .strip()
        for seed in ("0", "1")
    }
    assert ids == {compile_edge(WASM_PREAMBLE, **EDGE).bundle_id}


@pytest.mark.parametrize("wasm", [b"", b"\0asm", b"\0asm\2\0\0\0", b"\x7fELF\2\1\1\0", b"(module)"])
def test_bytes_that_are_no_module(wasm: bytes) -> None:
    with pytest.raises(InvalidModuleError, match="not a WASM module"):
        compile_edge(wasm, **EDGE)


@pytest.mark.parametrize(
    ("build", "place"),
    [
        (lambda: compile_edge(WASM_PREAMBLE, **EDGE | {"artifact": "research"}), "artifact"),
        (lambda: compile_edge(WASM_PREAMBLE, **EDGE | {"strategy": ""}), "strategy"),
        (lambda: compile_sor(routing_model="art_a", impact_model="b"), "impact_model"),
        (lambda: compile_sor(routing_model="art_a", impact_model="art_b", slicing_policy="x"), "slicing_policy"),
        (lambda: compile_assignment(artifact="art_a", min_venues=0), "min_venues"),
        (lambda: compile_assignment(artifact="art_a", edge_threshold_1e9=-1), "edge_threshold_1e9"),
        (
            lambda: compile_assignment(artifact="art_a", edge_threshold_1e9=2, sor_threshold_1e9=1),
            "edge threshold 2 lies above",
        ),
    ],
)
def test_parts_that_do_not_fit_are_named(build, place: str) -> None:
    with pytest.raises(MalformedDocumentError, match=place):
        build()


def test_importing_the_room_brings_in_nothing_heavy() -> None:
    code = (
        "import sys, bundles, bundles.catalog, bundles.promotion, bundles.audit, bundles.store;"
        "print(sorted({'boto3', 'botocore', 'yaml', 'cryptography', 'numpy', 'prefect'} & set(sys.modules)))"
    )
    made = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}, capture_output=True, check=True
    )
    assert made.stdout.decode().strip() == "[]"


def test_the_public_face_is_all_there() -> None:
    import bundles

    for name in bundles.__all__:
        assert getattr(bundles, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        _ = bundles.nonsense  # type: ignore[attr-defined]
