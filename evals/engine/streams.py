"""Three readers of a tape: of levels and of trades, in the order in which they happened, and of packets.

When a row happened is its ``exchange_ns``, with three corrections that make the order well defined and the look ahead
finite: a row did not happen after it was received, nor longer than LATEST_NS before; and neither levels nor trades
overtake one another, because each is a sequence whatever its clock says. At equal times the order of the packets holds,
and in a packet trades come before levels: a level that a trade made smaller shrank because of it.

What the loop needs to know of a row is worked out here once, some thousands of rows at a time, in a pass that waits for
nothing but memory; it still lies in the cache when it is used.
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
_FETCHED_BYTES = 4_096
"""How far ahead the tape is fetched into the cache."""


@inlined
def happened_ns(exchange_ns: int, receive_ns: int) -> int:
    """Return when a row happened, other rows left aside."""
    return min(max(exchange_ns, receive_ns - LATEST_NS), receive_ns)


@kernel
def _refill_levels(asset: Record) -> None:
    """Work out the next levels of a chunk; at its end, before when no further can have happened."""
    stream, book = asset.levels, asset.book
    tape = stream.tape
    # In local variables: the compiler has to assume that a store to a table changes the records.
    tick_size_1e9, ticks_per_1e9 = book.tick_size_1e9, book.ticks_per_1e9
    start, end, first_row = tape.at, min(tape.at + PIECE_ROWS, tape.rows), tape.first_row
    exchange_step, receive_step, px_step = tape.exchange.step, tape.receive.step, tape.px.step
    sz_step, kind_step, flag_step = tape.sz.step, tape.kind.step, tape.flags.step
    exchange, receive = tape.exchange.at + start * exchange_step, tape.receive.at + start * receive_step
    px, sz = tape.px.at + start * px_step, tape.sz.at + start * sz_step
    kinds, flags = tape.kind.at + start * kind_step, tape.flags.at + start * flag_step
    level, number, level_ns = stream.rows, stream.packet, stream.last_ns
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
    _note_piece(stream, (level - stream.rows) // _ROW_BYTES, level_ns, number)


@kernel
def _refill_trades(asset: Record) -> None:
    """Pick the next trades out of a chunk; at its end, work out before when no further can have happened."""
    stream = asset.trades
    tape, trade, number, trade_ns = stream.tape, stream.rows, stream.packet, stream.last_ns
    end, kind_step, flag_step = min(tape.at + PIECE_ROWS, tape.rows), tape.kind.step, tape.flags.step
    kinds, flags = tape.kind.at + tape.at * kind_step, tape.flags.at + tape.at * flag_step
    for at in range(tape.at, end):
        prefetch_to_read(kinds + _FETCHED_BYTES)
        if get_byte(kinds) in (_BUY_TRADE, _SELL_TRADE):
            row = row_at(trade, 0)
            trade += _ROW_BYTES
            trade_ns = max(trade_ns, happened_ns(word_of(tape.exchange, at), word_of(tape.receive, at)))
            _copy_trade(row, tape, at)
            row.at_ns = trade_ns
            row.packet = number
        number += get_byte(flags) & _LAST
        kinds += kind_step
        flags += flag_step
    tape.at = end
    _note_piece(stream, (trade - stream.rows) // _ROW_BYTES, trade_ns, number)


@inlined
def _copy_trade(row: Record, tape: Record, at: int) -> None:
    row.px_1e9 = word_of(tape.px, at)
    row.sz_1e8 = word_of(tape.sz, at)
    row.row = tape.first_row + at
    row.kind = byte_of(tape.kind, at)


@inlined
def _note_piece(stream: Record, count: int, last_ns: int, packet: int) -> None:
    stream.at = 0
    stream.end = count
    stream.last_ns = last_ns
    stream.packet = packet
    if stream.tape.at == stream.tape.rows:
        stream.after_ns = max(last_ns, stream.tape.last_ns - LATEST_NS)


@kernel
def refill_packets(asset: Record) -> None:
    """Pick the next ends of packets out of a chunk, and the trades in them if somebody hears of those."""
    stream, heard = asset.packets, asset.heard
    tape, packet, trade, number = stream.tape, stream.rows, heard.rows, stream.packet
    end, kind_step, flag_step = min(tape.at + PIECE_ROWS, tape.rows), tape.kind.step, tape.flags.step
    kinds, flags = tape.kind.at + tape.at * kind_step, tape.flags.at + tape.at * flag_step
    hears, last = asset.features != 0, 0
    for at in range(tape.at, end):
        if hears and get_byte(kinds) in (_BUY_TRADE, _SELL_TRADE):
            _copy_trade(row_at(trade, 0), tape, at)
            trade += _ROW_BYTES
        last = get_byte(flags) & _LAST
        if last:
            ended = packet_at(packet, 0)
            packet += _PACKET_BYTES
            ended.receive_ns = word_of(tape.receive, at)
            ended.row = tape.first_row + at
        number += last
        kinds += kind_step
        flags += flag_step
    tape.at = end
    heard.at = 0
    heard.end = (trade - heard.rows) // _ROW_BYTES
    _note_piece(stream, (packet - stream.rows) // _PACKET_BYTES, 0, number)
    if end == tape.rows and last == 0:
        asset.packet_open_ns = tape.last_ns
        asset.packet_open_row = tape.first_row + end - 1


@inlined
def used_up(stream: Record) -> bool:
    """Return whether a reader is past what was worked out for it, and there is more in its chunk."""
    return stream.at == stream.end and stream.tape.at < stream.tape.rows


@inlined
def next_ns(stream: Record) -> int:
    """Return when the next row of a stream happened; without one, before when none can have happened."""
    if stream.at < stream.end:
        return row_at(stream.rows, stream.at).at_ns
    return stream.after_ns


@inlined
def seek_level(asset: Record) -> None:
    """Look up when the next level happened, and so the next row of all."""
    while used_up(asset.levels):
        _refill_levels(asset)
    asset.level_ns = next_ns(asset.levels)
    asset.exchange_ns = min(asset.level_ns, asset.trade_ns)


@inlined
def seek_trade(asset: Record) -> None:
    """Look up when the next trade happened, and so the next row of all."""
    while used_up(asset.trades):
        _refill_trades(asset)
    asset.trade_ns = next_ns(asset.trades)
    asset.exchange_ns = min(asset.level_ns, asset.trade_ns)


@inlined
def trade_is_next(asset: Record) -> bool:
    """Return whether the next row at the exchange is a trade, as far as is known."""
    if asset.trade_ns != asset.level_ns:
        return asset.trade_ns < asset.level_ns
    levels, trades = asset.levels, asset.trades
    if trades.at < trades.end and levels.at < levels.end:
        return row_at(trades.rows, trades.at).packet <= row_at(levels.rows, levels.at).packet
    return trades.at == trades.end
