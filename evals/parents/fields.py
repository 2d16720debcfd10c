"""The cells of a table of orders as people keep it, turned exactly into whole numbers. Nothing is rounded."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from bundles.errors import InvalidInputError
from evals.market.decimals import PX_DIGITS, SZ_DIGITS, scaled

_TIME: Final = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)[T ](?P<time>\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d{1,9}))?"
    r"(?P<zone>Z|[+-]\d\d:?\d\d)?"
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SIDES: Final = {"buy": 1, "b": 1, "1": 1, "sell": -1, "s": -1, "-1": -1}
_URGENCIES: Final = {"low": 0, "medium": 1, "high": 2, "0": 0, "1": 1, "2": 2}

Reader = Callable[[str], int]
"""Turns the text of a cell into a number; ValueError says what is wrong with it."""


@dataclass(frozen=True)
class Column:
    """One way in which people write a field of a parent order."""

    field: str
    """The column of PARENT that it fills."""
    read: Reader
    optional: bool = True
    """Whether a cell may be empty."""


def _whole(factor: int = 1) -> Reader:
    def read(text: str) -> int:
        if not re.fullmatch(r"\d{1,19}", text):
            raise ValueError("is not a whole number without sign")
        return int(text) * factor

    return read


def _decimal(digits: int) -> Reader:
    def read(text: str) -> int:
        try:
            return scaled(text, digits)
        except InvalidInputError:
            raise ValueError(f"is not a plain decimal number of at most {digits} decimals") from None

    return read


def _word(words: Mapping[str, int]) -> Reader:
    def read(text: str) -> int:
        if text.lower() not in words:
            raise ValueError(f"is none of {', '.join(words)}")
        return words[text.lower()]

    return read


def read_time(text: str) -> int:
    """Return ns since 1970 UTC of a time in ISO 8601 with its zone, or of whole ns.

    Raises:
        ValueError: for anything else. A time without a zone is not guessed at.

    """
    if re.fullmatch(r"\d{18,19}", text):
        return int(text)
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError("is neither ISO 8601 to the second or finer nor whole ns since 1970")
    if found["zone"] is None:
        raise ValueError("has no time zone: end it in Z or in an offset such as +01:00")
    zone = "+00:00" if found["zone"] == "Z" else found["zone"]
    try:
        moment = datetime.strptime(f"{found['day']}T{found['time']}{zone}", "%Y-%m-%dT%H:%M:%S%z")
    except ValueError:
        raise ValueError("is no day or time that there is") from None
    seconds = (moment - _EPOCH) // timedelta(seconds=1)
    return seconds * 10**9 + int((found["fraction"] or "").ljust(9, "0"))


_PX = Column("limit_px_1e9", _decimal(PX_DIGITS))
_PX_SCALED = Column("limit_px_1e9", _whole())
_QTY = Column("qty_1e8", _decimal(SZ_DIGITS), optional=False)
_TIME_COLUMN = Column("arrival_ns", read_time, optional=False)
_NS = Column("arrival_ns", _whole(), optional=False)

NUMBERS: Final[dict[str, Column]] = {
    **dict.fromkeys(("time", "timestamp", "arrival", "arrival_time", "created_at"), _TIME_COLUMN),
    **dict.fromkeys(("arrival_ns", "time_ns"), _NS),
    "side": Column("side", _word(_SIDES), optional=False),
    **dict.fromkeys(("qty", "quantity", "size"), _QTY),
    "qty_1e8": Column("qty_1e8", _whole(), optional=False),
    **dict.fromkeys(("limit_price", "limit_px", "max_price"), _PX),
    **dict.fromkeys(("limit_px_1e9", "limit_price_1e9", "max_price_1e9"), _PX_SCALED),
    "horizon_ns": Column("horizon_ns", _whole()),
    "horizon_ms": Column("horizon_ns", _whole(10**6)),
    "horizon_s": Column("horizon_ns", _whole(10**9)),
    "participation_limit_bps": Column("participation_ppm", _whole(100)),
    "participation_ppm": Column("participation_ppm", _whole()),
    "urgency": Column("urgency", _word(_URGENCIES)),
}
"""Every known name of a column, in lower case."""

IDS: Final = ("parent_id", "client_order_id", "client_request_id", "order_id", "id")
"""The names that an id may have; where several are there, the first of these is taken."""

SYMBOL: Final = "symbol"
