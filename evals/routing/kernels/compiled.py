"""The decorator of this room's kernels: the engine's, with a cache that also depends on every kernel of this room."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from evals.engine.fingerprint import sources_digest
from evals.engine.kernel import kernel as engine_kernel

_Function = TypeVar("_Function", bound=Callable[..., Any])
_SOURCES = sources_digest("evals/routing/kernels", "evals/routing/layout.py")


def kernel(function: _Function) -> _Function:
    """Compile a function; the Python types stay visible to the type checker."""
    compiled: Any = engine_kernel(function)
    cache_file = compiled._cache._cache_file  # noqa: SLF001 -- Numba has no public way to widen the stamp
    cache_file._source_stamp = (cache_file._source_stamp, _SOURCES)  # noqa: SLF001
    return compiled
