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
    # Numba has no public way to widen the stamp of a cache.
    cache_file = compiled._cache._cache_file  # noqa: SLF001
    cache_file._source_stamp = (cache_file._source_stamp, _SOURCES)  # noqa: SLF001
    cache_file._load_index = _forgiving(cache_file._load_index)  # noqa: SLF001
    return compiled


def _forgiving(load: Callable[[], dict[Any, Any]]) -> Callable[[], dict[Any, Any]]:
    """Let a cache that names types which are gone be one of another release, not an error.

    Kernels take named tuples, whose types Numba pickles before it looks at the stamp.
    """

    def loaded() -> dict[Any, Any]:
        try:
            return load()
        except AttributeError:
            return {}

    return loaded
