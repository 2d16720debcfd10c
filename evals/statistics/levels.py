"""What a bound promises when a bundle is looked at again and again.

Whoever looks often enough finds a lucky window. So the error that a bound may make is spent over the looks: look
k = 1, 2, ... has alpha / (k (k + 1)), half of it on each side. These shares add up to alpha, so by the union bound all
intervals of all looks together miss the truth with a probability of at most alpha, however many looks there will be and
whatever made somebody stop. (Lan and DeMets 1983, "Discrete sequential boundaries for clinical trials", spend the error
in this way; the union bound needs nothing to be known of how the looks depend on each other.)
"""

from __future__ import annotations

from typing import Final

PERCENTS: Final = (90, 95, 99)
"""The confidence of the bounds that are told."""

DRAWS: Final = 2_000
"""How many times a bootstrap draws, at every look: what is too rare to be seen in so many is extended from them."""


def side_level(percent: int, look: int) -> float:
    """Return the probability with which one bound of a look may miss.

    Raises:
        ValueError: for a look before the first.

    """
    if look < 1:
        raise ValueError(f"Looks are counted from 1; there is no look {look}.")
    return (100 - percent) / 100 / (look * (look + 1)) / 2
