"""The same figures by the package `arch`, which shares no code with ours; tests keep what it says of `recursive`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def circular_length(values: NDArray[np.float64]) -> float:
    from arch.bootstrap import optimal_block_length

    return float(optimal_block_length(values)["circular"].iloc[0])


def studentised_quantiles(values: NDArray[np.float64], length: int, draws: int, levels: list[float]) -> list[float]:
    """Quantiles of (mean of a draw - mean) / (its standard error by the blocks it consists of)."""
    from arch.bootstrap import CircularBlockBootstrap

    assert len(values) % length == 0
    blocks, found = len(values) // length, []
    for (drawn,), _ in CircularBlockBootstrap(length, values, seed=1).bootstrap(draws):
        means = drawn.reshape(blocks, length).mean(axis=1)
        found.append((means.mean() - values.mean()) / (means.std(ddof=1) / blocks**0.5))
    return [float(each) for each in np.quantile(found, levels)]
