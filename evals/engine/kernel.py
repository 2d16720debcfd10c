"""The decorator of every kernel: compiled by Numba, without the GIL, cached under the digest of the whole engine.

Numba's cache knows when the file of a function changed, but not when a function that it calls did. Machine code from
yesterday's `books.py` inside today's `loop.py` would give a result that no fingerprint describes, so the stamp covers
all sources.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
from numba.core import types

from evals.engine.fingerprint import kernel_digest

_njit: Any = numba.njit  # its stubs do not know `_nrt`
_Function = TypeVar("_Function", bound=Callable[..., Any])


def kernel(function: _Function) -> _Function:
    """Compile a function; the Python types stay visible to the type checker."""
    return _compiled(function)


def inlined(function: _Function) -> _Function:
    """Compile a function into its callers: for what runs on every row, where a call costs as much as the work."""
    return _compiled(function, forceinline=True)


def _compiled(function: _Function, **options: bool) -> _Function:
    # No reference counts (kernels hold no Python objects), no checks for division by zero (divisors are checked where
    # they enter).
    compiled = _njit(function, cache=True, nogil=True, _nrt=False, error_model="numpy", **options)
    stamp_cache(compiled)
    _forget_literals(compiled)
    return compiled


def _forget_literals(compiled: Any) -> None:
    """Compile one version for all integers: Numba would make one for each combination of literal arguments."""
    template_of = compiled.get_call_template
    compiled.get_call_template = lambda args, kws: template_of(tuple(_plain(a) for a in args), kws)


def _plain(kind: Any) -> Any:
    return numba.int64 if isinstance(kind, types.Integer | types.Boolean | types.Literal) else kind


def stamp_cache(compiled: Any) -> None:
    """Make the on-disk cache of a compiled function depend on the sources of the whole engine."""
    cache_file = compiled._cache._cache_file  # noqa: SLF001 -- Numba has no public way to widen the stamp
    cache_file._source_stamp = (cache_file._source_stamp, kernel_digest())  # noqa: SLF001
