"""Differences between two algos of which neither is better: the shapes that such series take, in money x 1e9."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Floats]


def independent(random: np.random.Generator, n: int) -> Floats:
    return random.normal(size=n)


def autocorrelated(random: np.random.Generator, n: int, phi: float = 0.5) -> Floats:
    noise, values = random.normal(size=n + 200), np.zeros(n + 200)
    for i in range(1, n + 200):
        values[i] = phi * values[i - 1] + noise[i]
    return values[200:]


def moving_average(random: np.random.Generator, n: int) -> Floats:
    noise = random.normal(size=n + 3)
    return noise[3:] + 0.8 * noise[2:-1] + 0.5 * noise[1:-2] + 0.3 * noise[:-3]


def making_up(random: np.random.Generator, n: int) -> Floats:
    """What is lost in one interval is mostly won back in the next, as when a mark bounces between bid and ask."""
    noise = random.normal(size=n + 1)
    return noise[1:] - 0.6 * noise[:-1]


def rare(random: np.random.Generator, n: int) -> Floats:
    """Nineteen intervals of twenty are exactly equal."""
    return np.where(random.random(n) < 0.05, random.choice([-1.0, 1.0], size=n) * random.exponential(size=n), 0.0)


def bursts(random: np.random.Generator, n: int) -> Floats:
    """Clusters of differences with heavy tails, exact zeros in between."""
    dice, active, values = random.random(n), False, random.standard_t(3, size=n)
    for i in range(n):
        active = bool(dice[i] < (0.8 if active else 0.02))
        values[i] *= active
    return values


def inventory(random: np.random.Generator, n: int) -> Floats:
    """A difference of positions that stays for a while, times moves with heavy tails."""
    position = np.zeros(n)
    for i in range(1, n):
        position[i] = 0.97 * position[i - 1] + (random.random() < 0.1) * random.integers(-2, 3)
    return np.rint(position) * random.standard_t(4, size=n)


def market_makers(random: np.random.Generator, n: int) -> Floats:
    """Fills in waves open small positions, which are held for a time and closed; the mid moves meanwhile."""
    moves = np.diff(np.cumsum(random.normal(size=n) * np.exp(0.5 * random.normal(size=n))), prepend=0.0)
    wave, position, values = 0.0, 0.0, np.zeros(n)
    for i in range(n):
        wave = 0.9 * wave + (random.random() < 0.03)
        if random.random() < min(0.9, 0.3 * wave):
            position += random.choice([-1, 1])
        if random.random() < 0.05:
            position = 0.0
        values[i] = position * moves[i]
    return values


def rare_losses(random: np.random.Generator, n: int) -> Floats:
    """Many small gains that ten times larger losses, one interval in a hundred, make up for."""
    return np.where(random.random(n) < 0.1, 1.0, 0.0) - 10.0 * (random.random(n) < 0.01)


NULLS: dict[str, Draw] = {
    draw.__name__: draw
    for draw in (
        independent,
        autocorrelated,
        moving_average,
        making_up,
        rare,
        bursts,
        inventory,
        market_makers,
        rare_losses,
    )
}


def differences(draw: Draw, seed: int, n: int, shift: float = 0.0) -> NDArray[np.int64]:
    """A seeded series in money x 1e9; ``shift`` is added to every interval."""
    return np.rint((draw(np.random.default_rng(seed), n) + shift) * 1e9).astype(np.int64)


def recursive(n: int, seed: int = 1) -> NDArray[np.int64]:
    """An AR(1) series with phi = 1/2 in integers alone, which anyone can make again: splitmix64 is its noise."""
    values, value, state = [], 0, seed
    for _ in range(n):
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        mixed = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB % 2**64
        noise = (mixed ^ (mixed >> 31)) >> 32
        value = value // 2 + noise - 2**31
        values.append(value)
    return np.array(values, np.int64)
