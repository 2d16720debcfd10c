"""The rows of a tape in the order in which they happened at the exchange.

When a row happened is its ``exchange_ns``, with three corrections that make the order well defined and the look ahead
finite: a row did not happen after it was received, nor longer than LATEST_NS before; and neither book rows nor trades
overtake one another, because each is a sequence whatever its clock says. At equal times the order of the packets holds,
and in a packet trades come before levels: a level that a trade made smaller shrank because of it.

Both sequences are read where they lie, each by a reader of its own that skips the rows of the other.
"""

from __future__ import annotations

from evals.engine.books import tick_of, want_level
from evals.engine.kernel import inlined, kernel
from evals.engine.layout import NEVER, Record
from evals.engine.tables import byte_of, word_of
from evals.market import schema

LATEST_NS = 10_000_000_000
"""The longest that a row may be under way; a row that is older by its own clock counts as this old."""

_LAST, _BUY_TRADE, _SELL_TRADE = schema.LAST_OF_PACKET, schema.BUY_TRADE, schema.SELL_TRADE
_BID = schema.BID
_AHEAD = 6
"""How many rows ahead a level is fetched into the cache."""


@inlined
def seek_book_row(asset: Record) -> None:
    """Find the next row that is not a trade, and when it happened; without one, before when none can have happened."""
    tape = asset.book_rows
    at = tape.at
    while at < tape.end:
        kind = byte_of(tape.kind, at)
        if kind not in (_BUY_TRADE, _SELL_TRADE):
            tape.at = at
            asset.book_found = 1
            asset.book_ns = max(asset.book_ns, _happened_ns(tape, at))
            asset.exchange_ns = min(asset.book_ns, asset.trade_ns)
            asset.book_tick = tick_of(asset.book, word_of(tape.px, at))
            if at + _AHEAD < tape.end:
                ahead = byte_of(tape.kind, at + _AHEAD) - _BID
                want_level(asset.book, ahead, tick_of(asset.book, word_of(tape.px, at + _AHEAD)))
            return
        tape.packet += byte_of(tape.flags, at) & _LAST
        at += 1
    tape.at = at
    asset.book_found = 0
    asset.book_ns = _earliest_ns(tape, asset.book_ns)
    asset.exchange_ns = min(asset.book_ns, asset.trade_ns)


@kernel
def seek_trade_row(asset: Record) -> None:
    """Find the next trade, and when it happened; without one, before when none can have happened."""
    tape = asset.trade_rows
    at = tape.at
    while at < tape.end:
        kind = byte_of(tape.kind, at)
        if kind in (_BUY_TRADE, _SELL_TRADE):
            tape.at = at
            asset.trade_found = 1
            asset.trade_ns = max(asset.trade_ns, _happened_ns(tape, at))
            asset.exchange_ns = min(asset.book_ns, asset.trade_ns)
            return
        tape.packet += byte_of(tape.flags, at) & _LAST
        at += 1
    tape.at = at
    asset.trade_found = 0
    asset.trade_ns = _earliest_ns(tape, asset.trade_ns)
    asset.exchange_ns = min(asset.book_ns, asset.trade_ns)


@inlined
def happened_ns(exchange_ns: int, receive_ns: int) -> int:
    """Return when a row happened, other rows left aside."""
    return min(max(exchange_ns, receive_ns - LATEST_NS), receive_ns)


@inlined
def _happened_ns(tape: Record, at: int) -> int:
    return happened_ns(word_of(tape.exchange, at), word_of(tape.receive, at))


@kernel
def _earliest_ns(tape: Record, latest_ns: int) -> int:
    """Return before when no row of chunks that are still to come can have happened."""
    if tape.exhausted:
        return NEVER
    if tape.end == 0:
        return latest_ns
    return max(latest_ns, word_of(tape.receive, tape.end - 1) - LATEST_NS)


@inlined
def skip(tape: Record) -> int:
    """Step over the row that was found; return its position."""
    at = tape.at
    tape.packet += byte_of(tape.flags, at) & _LAST
    tape.at = at + 1
    return at  # type: ignore[no-any-return]


@inlined
def trade_is_next(asset: Record) -> bool:
    """Return whether the next row at the exchange is a trade, as far as is known."""
    if asset.trade_ns != asset.book_ns:
        return asset.trade_ns < asset.book_ns  # type: ignore[no-any-return]
    if asset.trade_found and asset.book_found:
        return asset.trade_rows.packet <= asset.book_rows.packet  # type: ignore[no-any-return]
    return asset.trade_found == 0  # type: ignore[no-any-return]
