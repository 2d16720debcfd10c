"""Random numbers that are the same everywhere: splitmix64 (Steele, Lea, Flood 2014), many at a time."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

_GAMMA: Final = 0x9E3779B97F4A7C15
_MASK: Final = 2**64 - 1


def draws(seed: int, stream: int, count: int, below: int) -> NDArray[np.int64]:
    """Return ``count`` uniform integers in ``[0, below)``, ``below`` up to 2^32; the bias is under 2^-32.

    Streams of one seed do not depend on each other, nor on how many numbers are taken from them.
    """
    start = int(_mixed(np.array([(seed ^ stream << 56) & _MASK], np.uint64))[0])
    with np.errstate(over="ignore"):
        steps = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_GAMMA) + np.uint64(start)
        high = _mixed(steps) >> np.uint64(32)
        return ((high * np.uint64(below)) >> np.uint64(32)).astype(np.int64)


def _mixed(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    with np.errstate(over="ignore"):
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))
