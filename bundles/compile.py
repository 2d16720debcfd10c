"""Turn the parts of a bundle into its manifest: pure, so the same parts give the same bundle id anywhere.

Only the first eight bytes of a WASM module are looked at here; whether it can be an algo is checked where it can be
run.
"""

from __future__ import annotations

from typing import Final

from bundles.canonical import digest_of, read_document
from bundles.errors import InvalidModuleError
from bundles.manifests import AssignmentBundle, BlobRef, EdgeBundle, SorBundle
from bundles.mm_types import MmConfig, MmRiskLimits

WASM_PREAMBLE: Final = b"\0asm\1\0\0\0"
"""Magic number and version of a core module (WebAssembly specification, binary format, 5.5.16)."""


def compile_edge(
    wasm: bytes,
    *,
    sdk_abi: str,
    artifact: str,
    strategy: str = "mm-pro",
    risk_version: str = "v1",
    risk_limits: MmRiskLimits,
    config: MmConfig,
) -> EdgeBundle:
    """Return the manifest of an edge algo.

    Raises:
        InvalidModuleError: the bytes are not a WASM module.
        MalformedDocumentError: a name does not fit the schema.

    """
    if not wasm.startswith(WASM_PREAMBLE):
        raise InvalidModuleError(
            f"These {len(wasm)} bytes are not a WASM module: they begin with "
            f"{wasm[:8].hex(' ') or 'nothing'}, not with "
            f"{WASM_PREAMBLE.hex(' ')}. Give the .wasm file that `sequence build` writes."
        )
    fields = {
        "wasm": BlobRef(digest=digest_of(wasm), size_bytes=len(wasm)),
        "sdk_abi": sdk_abi,
        "artifact": artifact,
        "strategy": strategy,
        "risk_version": risk_version,
        "risk_limits": risk_limits,
        "config": config,
    }
    return read_document(EdgeBundle, fields, "The edge bundle")


def compile_sor(*, routing_model: str, impact_model: str, slicing_policy: str = "vwap") -> SorBundle:
    """Return the manifest of a smart-order-routing policy; MalformedDocumentError if a name does not fit."""
    fields = {"routing_model": routing_model, "impact_model": impact_model, "slicing_policy": slicing_policy}
    return read_document(SorBundle, fields, "The SOR bundle")


def compile_assignment(
    *,
    artifact: str,
    edge_threshold_1e9: int = 1_000_000_000_000,
    sor_threshold_1e9: int = 1_000_000_000_000,
    min_venues: int = 2,
) -> AssignmentBundle:
    """Return the manifest of an assignment policy; MalformedDocumentError if a threshold does not fit."""
    fields = {
        "artifact": artifact,
        "edge_threshold_1e9": edge_threshold_1e9,
        "sor_threshold_1e9": sor_threshold_1e9,
        "min_venues": min_venues,
    }
    return read_document(AssignmentBundle, fields, "The assignment bundle")
