"""Exact conversion of the decimal strings that exchanges send into scaled integers; floats never appear."""

from __future__ import annotations

from functools import lru_cache

from evals.errors import TapeError

PX_DIGITS = 9
SZ_DIGITS = 8


@lru_cache(maxsize=1 << 16)
def scaled(text: str, digits: int) -> int:
    """Return ``text`` times 10^digits, exactly: ``scaled("61837.63", 9)`` is 61837630000000.

    Raises:
        TapeError: for anything but plain decimal digits with at most one point, or a value that needs more digits.

    """
    whole, point, fraction = text.partition(".")
    if not (len(text) <= 64 and text.isascii() and whole.isdigit() and (fraction.isdigit() if point else True)):
        raise TapeError(f"{text[:64]!r} is not a plain non-negative decimal number. Check the capture for damage.")
    kept, lost = fraction[:digits], fraction[digits:]
    if lost.strip("0"):
        raise TapeError(
            f"{text!r} has more than the {digits} decimals that a tape keeps. It cannot be imported exactly."
        )
    return int(whole + kept.ljust(digits, "0"))
