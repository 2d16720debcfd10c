"""The block length is that of an independent implementation, and follows how long a series remembers."""

from __future__ import annotations

import numpy as np
import pytest

from evals.statistics.blocks import memory_of
from tests.evals.statistics.series import NULLS, differences, recursive
from tests.evals.statistics.with_arch import circular_length

BY_ARCH = {100: 4.026346330069075, 600: 9.3859956502809, 3600: 19.033378932681945, 20_000: 36.65493835912374}
"""`circular_length(recursive(n))` by arch 8.0.0."""


@pytest.mark.parametrize("n", BY_ARCH)
def test_the_length_is_that_of_arch(n: int) -> None:
    assert memory_of(recursive(n).astype(float)).block_length == pytest.approx(BY_ARCH[n], rel=1e-9)


def test_where_the_long_run_has_no_variance_blocks_are_as_long_as_they_may_be() -> None:
    # Steps of a stationary series cancel out; arch says 180 too.
    memory = memory_of(np.diff(recursive(3601)).astype(float))
    assert memory.block_length == 180
    assert memory.long_run_variance < 0.05 * memory.variance


@pytest.mark.parametrize("name", NULLS)
def test_arch_says_the_same_of_every_kind_of_series(name: str) -> None:
    pytest.importorskip("arch", reason="the recorded figures hold without it")
    for seed in range(5):
        values = differences(NULLS[name], seed, 900).astype(float)
        assert memory_of(values).block_length == pytest.approx(circular_length(values), rel=1e-9)


def test_the_long_run_variance_is_that_of_the_process() -> None:
    # AR(1) with phi = 1/2 and noise that is uniform on 2^32 values: noise variance / (1 - phi)^2.
    expected = 2**64 / 12 / 0.25
    found = [memory_of(recursive(3600, seed).astype(float)).long_run_variance for seed in range(40)]
    assert np.mean(found) == pytest.approx(expected, rel=0.05)


def test_longer_memory_takes_longer_blocks() -> None:
    independent = memory_of(differences(NULLS["independent"], 1, 3600).astype(float)).block_length
    remembering = memory_of(differences(NULLS["autocorrelated"], 1, 3600).astype(float)).block_length
    assert independent < 4
    assert remembering > 12


def test_no_variance_no_memory() -> None:
    assert memory_of(np.full(50, 7.0)).block_length == 1
