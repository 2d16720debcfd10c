"""Decimal strings become integers without a digit lost."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.errors import TapeError
from evals.market.decimals import scaled


@given(st.integers(0, 2**63 - 1), st.integers(0, 12), st.sampled_from([8, 9]))
def test_agrees_with_decimal_arithmetic(value: int, places: int, digits: int) -> None:
    exact = Decimal(value).scaleb(-places)
    text = f"{exact:f}"
    expected = exact.scaleb(digits)
    if expected == int(expected):
        assert scaled(text, digits) == int(expected)
    else:
        with pytest.raises(TapeError, match="decimals"):
            scaled(text, digits)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "1.",
        ".5",
        "-1",
        "+1",
        "1e3",
        "1_0",
        " 1",
        "\N{ARABIC-INDIC DIGIT ONE}",
        "0x1",
        "nan",
        "1.2.3",
        "9" * 65,
    ],
)
def test_refuses_what_is_not_a_plain_decimal(text: str) -> None:
    with pytest.raises(TapeError, match="plain"):
        scaled(text, 9)
