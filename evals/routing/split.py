"""Which version of a model routes a parent: decided by the parent's id, so it never changes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from evals.routing.settings import RoutingSettings

_MILLION: Final = 10**6
NUMBERS: Final = {"V1": 1, "V2": 2, "V3": 3}
"""What stands in the column ``version``."""


def share_ppm(salt: str, parent_id: str) -> int:
    """Return where a parent stands in a split, in [0, 10^6).

    The first 8 bytes (big-endian) of SHA-256 over salt, a zero byte and the id, modulo 10^6. It depends on nothing
    else: not on the other parents, the data, or the run.
    """
    word = hashlib.sha256(salt.encode() + b"\0" + parent_id.encode()).digest()[:8]
    return int.from_bytes(word, "big") % _MILLION


def versions_of(ids: Sequence[str], version: str, settings: RoutingSettings) -> NDArray[np.int64]:
    """Return the version that routes each parent: the control's for the lowest ``control_ppm``, else the model's."""
    own = NUMBERS[version]
    if settings.control_version is None:
        return np.full(len(ids), own, np.int64)
    control = NUMBERS[settings.control_version]
    places = (share_ppm(settings.split_salt, each) for each in ids)
    return np.array([control if place < settings.control_ppm else own for place in places], np.int64)


def identity_of(name: str) -> int:
    """Return a 64-bit word for a parent or a venue, for draws that depend on nothing but its name."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little", signed=True)
