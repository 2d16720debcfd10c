"""Synthetic tapes of one symbol on several venues."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from evals.market.synthetic import DEFAULT_INSTRUMENT, synthetic_tape
from evals.market.tape import Tape


@pytest.fixture(scope="session")
def tape() -> Tape:
    return synthetic_tape(7, duration_s=600)


@pytest.fixture(scope="session")
def venue() -> Callable[..., Tape]:
    def make(name: str, seed: int, duration_s: int = 60) -> Tape:
        instrument = DEFAULT_INSTRUMENT.model_copy(update={"venue": name})
        return synthetic_tape(seed, duration_s=duration_s, instrument=instrument)

    return make
