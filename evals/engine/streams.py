"""A chunk of tape becomes three streams: levels and trades, in the order in which they happened, and packets.

When a row happened is its ``exchange_ns``, with three corrections that make the order well defined and the look ahead
finite: a row did not happen after it was received, nor longer than LATEST_NS before; and neither levels nor trades
overtake one another, because each is a sequence whatever its clock says. At equal times the order of the packets holds,
and in a packet trades come before levels: a level that a trade made smaller shrank because of it.

What the loop needs to know of a row is worked out here once, in passes that wait for nothing but memory. There are few
trades and packets, so a chunk's are picked out when it is handed over. Levels are worked out some thousands at a time:
they still lie in the cache when they are used.
"""

from __future__ import annotations

from evals.engine.books import whole_ticks
from evals.engine.kernel import inlined, kernel
from evals.engine.layout import NO_TICK, PACKET, PIECE_ROWS, ROW, Record
from evals.engine.tables import byte_of, get_byte, get_word, packet_at, prefetch_to_read, row_at, word_of
from evals.market import schema

LATEST_NS = 10_000_000_000
"""The longest that a row may be under way; a row that is older by its own clock counts as this old."""

_LAST, _BUY_TRADE, _SELL_TRADE = schema.LAST_OF_PACKET, schema.BUY_TRADE, schema.SELL_TRADE
_BID, _ASK = schema.BID, schema.ASK
_ROW_BYTES, _PACKET_BYTES = ROW.itemsize, PACKET.itemsize
_FETCHED_BYTES = 2_048
"""How far ahead the tape is fetched into the cache."""


@inlined
def happened_ns(exchange_ns: int, receive_ns: int) -> int:
    """Return when a row happened, other rows left aside."""
    return min(max(exchange_ns, receive_ns - LATEST_NS), receive_ns)


@kernel
def split(chunk: Record) -> None:
    """Pick trades and the ends of packets out of a chunk; what it says of the one before is brought to its own end."""
    # In local variables: the compiler has to assume that a store to a table changes the chunk's record.
    kinds, flags, kind_step, flag_step = chunk.kind.at, chunk.flags.at, chunk.kind.step, chunk.flags.step
    rows, first_row, trade, packet = chunk.rows, chunk.first_row, chunk.trades, chunk.packets
    number, trade_ns = chunk.packet, chunk.trade_ns
    for at in range(rows):
        prefetch_to_read(kinds + _FETCHED_BYTES)
        kind = get_byte(kinds)
        if kind in (_BUY_TRADE, _SELL_TRADE):
            row = row_at(trade, 0)
            trade += _ROW_BYTES
            trade_ns = max(trade_ns, happened_ns(word_of(chunk.exchange, at), word_of(chunk.receive, at)))
            row.at_ns = trade_ns
            row.px_1e9 = word_of(chunk.px, at)
            row.sz_1e8 = word_of(chunk.sz, at)
            row.row = first_row + at
            row.packet = number
            row.kind = kind
        if get_byte(flags) & _LAST:
            end = packet_at(packet, 0)
            packet += _PACKET_BYTES
            end.receive_ns = word_of(chunk.receive, at)
            end.row = first_row + at
            number += 1
        kinds += kind_step
        flags += flag_step
    chunk.trade_count = (trade - chunk.trades) // _ROW_BYTES
    chunk.packet_count = (packet - chunk.packets) // _PACKET_BYTES
    chunk.trade_ns = trade_ns
    chunk.packet = number
    chunk.last_ns = word_of(chunk.receive, rows - 1)
    chunk.open_ns = 0 if byte_of(chunk.flags, rows - 1) & _LAST else chunk.last_ns


@kernel
def _refill(asset: Record) -> None:
    """Work out the next levels of the chunk that the exchange is in; at its end, before when no further can happen."""
    tape, book, stream = asset.tape, asset.book, asset.levels
    tick_size_1e9, ticks_per_1e9 = book.tick_size_1e9, book.ticks_per_1e9
    start, end, first_row = tape.at, min(tape.at + PIECE_ROWS, tape.rows), tape.first_row
    exchange_step, receive_step, px_step = tape.exchange.step, tape.receive.step, tape.px.step
    sz_step, kind_step, flag_step = tape.sz.step, tape.kind.step, tape.flags.step
    exchange, receive = tape.exchange.at + start * exchange_step, tape.receive.at + start * receive_step
    px, sz = tape.px.at + start * px_step, tape.sz.at + start * sz_step
    kinds, flags = tape.kind.at + start * kind_step, tape.flags.at + start * flag_step
    level, number, level_ns = stream.rows, asset.level_packet, asset.last_level_ns
    for at in range(first_row + start, first_row + end):
        kind = get_byte(kinds)
        if kind not in (_BUY_TRADE, _SELL_TRADE):
            row = row_at(level, 0)
            level += _ROW_BYTES
            level_ns = max(level_ns, happened_ns(get_word(exchange, 0), get_word(receive, 0)))
            px_1e9 = get_word(px, 0)
            tick = whole_ticks(px_1e9, tick_size_1e9, ticks_per_1e9)
            row.at_ns = level_ns
            row.px_1e9 = px_1e9
            row.sz_1e8 = get_word(sz, 0)
            row.tick = tick * (1 - 2 * (kind - _BID)) if tick > 0 and kind <= _ASK else NO_TICK
            row.row = at
            row.packet = number
            row.kind = kind
        number += get_byte(flags) & _LAST
        exchange += exchange_step
        receive += receive_step
        px += px_step
        sz += sz_step
        kinds += kind_step
        flags += flag_step
    tape.at = end
    asset.level_packet = number
    asset.last_level_ns = level_ns
    stream.at = 0
    stream.end = (level - stream.rows) // _ROW_BYTES
    if end == tape.rows:
        stream.after_ns = max(level_ns, tape.last_ns - LATEST_NS)


@inlined
def next_ns(stream: Record) -> int:
    """Return when the next row of a stream happened; without one, before when none can have happened."""
    if stream.at < stream.end:
        return row_at(stream.rows, stream.at).at_ns  # type: ignore[no-any-return]
    return stream.after_ns  # type: ignore[no-any-return]


@inlined
def seek_level(asset: Record) -> None:
    """Look up when the next level happened, and so the next row of all."""
    while asset.levels.at == asset.levels.end and asset.tape.at < asset.tape.rows:
        _refill(asset)
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
