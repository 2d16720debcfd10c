"""A chunk of tape becomes three streams: levels and trades, in the order in which they happened, and packets.

When a row happened is its ``exchange_ns``, with three corrections that make the order well defined and the look ahead
finite: a row did not happen after it was received, nor longer than LATEST_NS before; and neither levels nor trades
overtake one another, because each is a sequence whatever its clock says. At equal times the order of the packets holds,
and in a packet trades come before levels: a level that a trade made smaller shrank because of it.

What the loop needs to know of a row is worked out here once, in a pass that waits for nothing but memory.
"""

from __future__ import annotations

from evals.engine.books import whole_ticks
from evals.engine.kernel import inlined, kernel
from evals.engine.layout import NO_TICK, PACKET, ROW, Record
from evals.engine.tables import get_byte, get_word, packet_at, prefetch_to_read, row_at
from evals.market import schema

LATEST_NS = 10_000_000_000
"""The longest that a row may be under way; a row that is older by its own clock counts as this old."""

_LAST, _BUY_TRADE, _SELL_TRADE = schema.LAST_OF_PACKET, schema.BUY_TRADE, schema.SELL_TRADE
_BID = schema.BID
_ROW_BYTES, _PACKET_BYTES = ROW.itemsize, PACKET.itemsize
_FETCHED_BYTES = 2_048
"""How far ahead the tape is fetched into the cache."""


@inlined
def happened_ns(exchange_ns: int, receive_ns: int) -> int:
    """Return when a row happened, other rows left aside."""
    return min(max(exchange_ns, receive_ns - LATEST_NS), receive_ns)


@kernel
def split(chunk: Record, tick_size_1e9: int, ticks_per_1e9: float) -> None:
    """Fill the streams of a chunk; what it says of its predecessor's end is brought to its own."""
    # In local variables: the compiler has to assume that a store to a table changes the chunk's record.
    exchange, receive, px, sz = chunk.exchange.at, chunk.receive.at, chunk.px.at, chunk.sz.at
    kinds, flags, first_row = chunk.kind.at, chunk.flags.at, chunk.first_row
    exchange_step, receive_step, px_step, sz_step = (
        chunk.exchange.step,
        chunk.receive.step,
        chunk.px.step,
        chunk.sz.step,
    )
    kind_step, flag_step = chunk.kind.step, chunk.flags.step
    level, trade, packet = chunk.levels, chunk.trades, chunk.packets
    number, level_ns, trade_ns, receive_ns, last = chunk.packet, chunk.level_ns, chunk.trade_ns, 0, 0
    for at in range(chunk.rows):
        prefetch_to_read(px + _FETCHED_BYTES)
        receive_ns = get_word(receive, 0)
        at_ns = happened_ns(get_word(exchange, 0), receive_ns)
        kind, px_1e9 = get_byte(kinds), get_word(px, 0)
        if kind in (_BUY_TRADE, _SELL_TRADE):
            row = row_at(trade, 0)
            trade += _ROW_BYTES
            trade_ns = max(trade_ns, at_ns)
            row.at_ns = trade_ns
        else:
            row = row_at(level, 0)
            level += _ROW_BYTES
            level_ns = max(level_ns, at_ns)
            row.at_ns = level_ns
            tick = whole_ticks(px_1e9, tick_size_1e9, ticks_per_1e9)
            row.tick = NO_TICK if tick <= 0 else tick if kind == _BID else -tick
        row.px_1e9 = px_1e9
        row.sz_1e8 = get_word(sz, 0)
        row.row = first_row + at
        row.packet = number
        row.kind = kind
        last = get_byte(flags) & _LAST
        end = packet_at(packet, 0)
        end.receive_ns = receive_ns
        end.row = first_row + at
        packet += last * _PACKET_BYTES
        number += last
        exchange += exchange_step
        receive += receive_step
        px += px_step
        sz += sz_step
        kinds += kind_step
        flags += flag_step
    chunk.level_count = (level - chunk.levels) // _ROW_BYTES
    chunk.trade_count = (trade - chunk.trades) // _ROW_BYTES
    chunk.packet_count = number - chunk.packet
    chunk.level_ns = level_ns
    chunk.trade_ns = trade_ns
    chunk.packet = number
    chunk.last_ns = receive_ns
    chunk.open_ns = 0 if last else receive_ns


@inlined
def next_ns(stream: Record) -> int:
    """Return when the next row of a stream happened; without one, before when none can have happened."""
    if stream.at < stream.end:
        return row_at(stream.rows, stream.at).at_ns  # type: ignore[no-any-return]
    return stream.after_ns  # type: ignore[no-any-return]


@inlined
def seek_level(asset: Record) -> None:
    """Look up when the next level happened, and so the next row of all."""
    asset.level_ns = next_ns(asset.levels)
    asset.exchange_ns = min(asset.level_ns, asset.trade_ns)


@inlined
def seek_trade(asset: Record) -> None:
    """Look up when the next trade happened, and so the next row of all."""
    asset.trade_ns = next_ns(asset.trades)
    asset.exchange_ns = min(asset.level_ns, asset.trade_ns)


@inlined
def trade_is_next(asset: Record) -> bool:
    """Return whether the next row at the exchange is a trade, as far as is known."""
    if asset.trade_ns != asset.level_ns:
        return asset.trade_ns < asset.level_ns  # type: ignore[no-any-return]
    levels, trades = asset.levels, asset.trades
    if trades.at < trades.end and levels.at < levels.end:
        return row_at(trades.rows, trades.at).packet <= row_at(levels.rows, levels.at).packet  # type: ignore[no-any-return]
    return trades.at == trades.end  # type: ignore[no-any-return]
