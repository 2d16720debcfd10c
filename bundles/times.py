"""Moments as people and spreadsheets read them: in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def in_utc(at_ns: int) -> str:
    """Return nanoseconds since 1970 to the second, such as ``2026-11-22T17:06:58Z``."""
    return datetime.fromtimestamp(at_ns // 10**9, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def in_utc_to_the_us(at_ns: int) -> str:
    """Return nanoseconds since 1970 to the microsecond, such as ``2026-11-22 17:06:58.012345Z``."""
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at_ns // 1000)
    return at.strftime("%Y-%m-%d %H:%M:%S.%fZ")
