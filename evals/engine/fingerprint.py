"""The digest of everything that computes a result: the sources of the engine and of the sandbox."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

_ROOMS = ("engine", "wasm")


@functools.cache
def source_digest() -> str:
    """Return ``sha256:<hex>`` over the names and contents of the modules in evals/engine and evals/wasm."""
    digest = hashlib.sha256()
    root = Path(__file__).parents[1]
    for room in _ROOMS:
        for path in sorted((root / room).glob("*.py")):
            content = path.read_bytes()
            digest.update(f"{room}/{path.name} {len(content)}\n".encode())
            digest.update(content)
    return f"sha256:{digest.hexdigest()}"
