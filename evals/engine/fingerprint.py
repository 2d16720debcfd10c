"""The digests of everything that computes a result: of the kernels, and of the whole engine around them."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).parents[2]
_KERNELS: Final = ("evals/engine", "evals/wasm")
TAPE_SOURCES: Final = (
    "evals/market/book.py",
    "evals/market/dataset_tape.py",
    "evals/market/datasets.py",
    "evals/market/days.py",
    "evals/market/joining.py",
    "evals/market/levels.py",
    "evals/market/parquet.py",
    "evals/market/partitions.py",
    "evals/market/rules.py",
    "evals/market/schema.py",
    "evals/market/source.py",
    "evals/market/tape.py",
    "evals/market/validation.py",
    "evals/market/walk.py",
)
"""What reads recorded tapes, for engines of all kinds; importers and generators of tapes are not part of it."""

_AROUND: Final = (
    "bundles/mm_types.py",
    "evals/evaluation.py",
    "evals/latency_trace.py",
    *TAPE_SOURCES,
    "evals/metrics",
    "evals/replay.py",
)
"""What lies outside the kernels and still shapes a record: layouts, tapes, metrics, the digest itself."""


@functools.cache
def kernel_digest() -> str:
    """Return ``sha256:<hex>`` over the names and contents of the modules in evals/engine and evals/wasm."""
    return _digest(_kernel_sources())


@functools.cache
def engine_digest() -> str:
    """Return ``sha256:<hex>`` over all sources that an evaluation's outcome depends on."""
    return _digest([*_kernel_sources(), *_sources(_AROUND)])


def sources_digest(*names: str) -> str:
    """Return ``sha256:<hex>`` over modules and folders of modules, named by their paths from the project's root."""
    return _digest(_sources(names))


def _kernel_sources() -> list[Path]:
    return _sources(_KERNELS)


def _sources(names: Iterable[str]) -> list[Path]:
    """Return the files of that name, and the modules of the folders of that name."""
    found = [_ROOT / name for name in names]
    return [path for each in found for path in (sorted(each.glob("*.py")) if each.is_dir() else [each])]


def _digest(sources: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in sources:
        content = path.read_bytes()
        digest.update(f"{path.relative_to(_ROOT).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return f"sha256:{digest.hexdigest()}"
