"""A seeded synthetic market: order flow around a wandering fair price, with trades at the touch. Never crossed.

Everything is integer arithmetic on our own generator (splitmix64, Steele et al. 2014), so the same arguments give the
same bytes on every machine. It is a market to exercise engines with, not a model to draw conclusions from.

Every packet is one of: a limit order that sets the size of a level near the fair price, a cancellation, or a market
order that trades through the best levels. The fair price steps up or down now and then; orders that it runs into are
taken out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numba import njit, uint64
from numpy.typing import NDArray

from evals.errors import TapeError
from evals.market.schema import (
    ASK,
    BID,
    BUY_TRADE,
    CLEAR,
    LAST_OF_PACKET,
    SELL_TRADE,
    SNAPSHOT,
    TAPE_DTYPE,
    Events,
    Instrument,
    TapeInfo,
)
from evals.market.tape import Tape

DEFAULT_START_NS: Final = 1_767_225_600 * 10**9
"""2026-01-01T00:00:00Z."""

DEFAULT_INSTRUMENT: Final = Instrument(
    venue="synthetic",
    symbol="BTC-USD",
    tick_size_1e9=5 * 10**8,
    lot_size_1e8=1_000,
    min_qty_1e8=1_000,
    maker_fee_ppm=0,
    taker_fee_ppm=500,
)

_LADDER: Final = 1 << 16
"""Price levels that the market can reach; the fair price turns back before the ends."""
_MARGIN: Final = 1 << 10
_DEPTH: Final = 20
"""Levels a side that get orders."""
_SWEEP: Final = 6
"""Most levels that one market order takes."""
_PACKETS_PER_STEP: Final = 32
"""Packets, on average, between two steps of the fair price."""
_SEED_STEP: Final = 0xD1B54A32D192ED03
"""Sets the seeds of venues far apart."""
_CHUNK_ROWS: Final = 1 << 18
_ROWS_PER_PACKET: Final = 2 * _SWEEP

# Slots of the market's state between chunks.
_EXCHANGE_NS: Final = 0
_RECEIVE_NS: Final = 1
_FAIR: Final = 2
_BEST_BID: Final = 3
_BEST_ASK: Final = 4
_SLOTS: Final = 5


def synthetic_tape(
    seed: int,
    *,
    duration_s: int = 600,
    packets_per_s: int = 100,
    start_px_1e9: int = 60_000 * 10**9,
    start_ns: int = DEFAULT_START_NS,
    instrument: Instrument = DEFAULT_INSTRUMENT,
    fair_path: NDArray[np.int64] | None = None,
) -> Tape:
    """Return a synthetic tape that begins with a snapshot.

    ``start_px_1e9`` is rounded down to a tick; the tick size scales how far the price wanders. It wanders by itself,
    or along ``fair_path``: levels of the ladder, equally far apart in time.

    Raises:
        TapeError: for a duration or rate that is not positive, or a price too low for the ladder.

    """
    if duration_s <= 0 or not 0 < packets_per_s <= 10**6:
        raise TapeError("duration_s must be positive and packets_per_s within 1 and 1,000,000.")
    tick = instrument.tick_size_1e9
    lowest = start_px_1e9 // tick - _LADDER // 2
    if lowest <= 0:
        raise TapeError(f"start_px_1e9 must be more than {_LADDER // 2} ticks ({_LADDER // 2 * tick}) above zero.")
    random = np.array([seed % 2**64], np.uint64)
    path = np.empty(0, np.int64) if fair_path is None else fair_path
    sizes = np.zeros((2, _LADDER), np.int64)
    state = np.empty(_SLOTS, np.int64)
    end_ns = start_ns + duration_s * 10**9
    chunks = [_open(random, sizes, state, start_ns, lowest, tick, instrument.lot_size_1e8)]
    while state[_EXCHANGE_NS] < end_ns:
        chunk = np.empty(_CHUNK_ROWS, TAPE_DTYPE)
        rows = _advance(
            chunk,
            random,
            sizes,
            state,
            path,
            start_ns,
            end_ns,
            10**9 // packets_per_s,
            lowest,
            tick,
            instrument.lot_size_1e8,
        )
        chunks.append(chunk[:rows])
    info = TapeInfo(instrument=instrument, importer="synthetic", importer_version="1")
    return Tape(np.concatenate(chunks), info)


def synthetic_venues(
    seed: int,
    instruments: Sequence[Instrument],
    *,
    duration_s: int = 600,
    packets_per_s: int = 100,
    start_px_1e9: int = 60_000 * 10**9,
    start_ns: int = DEFAULT_START_NS,
) -> list[Tape]:
    """Return a synthetic tape for each venue of one symbol: order flow of their own around one fair price.

    The instruments differ in venue and may differ in fees, lots and minimums; they share the tick.

    Raises:
        TapeError: as `synthetic_tape`, and for instruments that do not go together.

    """
    same = {(each.symbol, each.tick_size_1e9) for each in instruments}
    if len(same) != 1 or len({each.venue for each in instruments}) < len(instruments):
        raise TapeError("Synthetic venues share one symbol and one tick size, and each has a name of its own.")
    steps = duration_s * packets_per_s // _PACKETS_PER_STEP + 1
    path = _fair_path(np.array([seed % 2**64], np.uint64), max(steps, 1))
    return [
        synthetic_tape(
            (seed + (number + 1) * _SEED_STEP) % 2**64,
            duration_s=duration_s,
            packets_per_s=packets_per_s,
            start_px_1e9=start_px_1e9,
            start_ns=start_ns,
            instrument=instrument,
            fair_path=path,
        )
        for number, instrument in enumerate(instruments)
    ]


@njit(cache=True)
def _fair_path(random: NDArray[np.uint64], steps: int) -> NDArray[np.int64]:
    """Return a walk of the fair price in levels, one step up or down each time, that turns back before the ends."""
    path = np.empty(steps, np.int64)
    fair = _LADDER // 2
    for i in range(steps):
        path[i] = fair
        fair = min(max(fair + 2 * _draw(random, 2) - 1, _MARGIN), _LADDER - _MARGIN)
    return path


def _open(
    random: NDArray[np.uint64],
    sizes: NDArray[np.int64],
    state: NDArray[np.int64],
    start_ns: int,
    lowest: int,
    tick: int,
    lot: int,
) -> Events:
    """Fill the book around the middle of the ladder and return its snapshot packet."""
    fair = _LADDER // 2
    state[:] = (start_ns, start_ns, fair, fair - 1, fair + 1)
    events = np.zeros(1 + 2 * _DEPTH, TAPE_DTYPE)
    events["kind"][0] = CLEAR
    row = 1
    for side, kind, step in ((0, BID, -1), (1, ASK, 1)):
        for offset in range(1, _DEPTH + 1):
            level = fair + step * offset
            sizes[side, level] = _order_size(random, lot)
            events[row] = (0, 0, (lowest + level) * tick, sizes[side, level], kind, 0)
            row += 1
    events["exchange_ns"] = start_ns
    events["receive_ns"] = start_ns + 1_000_000
    events["flags"] = SNAPSHOT
    events["flags"][-1] |= LAST_OF_PACKET
    state[_RECEIVE_NS] = start_ns + 1_000_000
    return events


@njit(cache=True)
def _draw(random: NDArray[np.uint64], below: int) -> int:
    """Return a uniform integer in ``[0, below)`` (``below`` up to 2^31; the bias is under 2^-32)."""
    random[0] += uint64(0x9E3779B97F4A7C15)
    z = random[0]
    z = (z ^ (z >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> uint64(27))) * uint64(0x94D049BB133111EB)
    z ^= z >> uint64(31)
    return np.int64(((z >> uint64(32)) * uint64(below)) >> uint64(32))  # type: ignore[return-value]  # an int in Numba


@njit(cache=True)
def _geometric(random: NDArray[np.uint64], most: int) -> int:
    """Return the number of heads before the first tail, at most ``most``."""
    heads = 0
    while heads < most and _draw(random, 2) == 1:
        heads += 1
    return heads


@njit(cache=True)
def _waiting_time(random: NDArray[np.uint64], mean_ns: int) -> int:
    """Return a time of about exponential distribution: a piecewise linear one with the same halving."""
    return max(1, (_geometric(random, 30) * 65_536 + _draw(random, 65_536)) * mean_ns // 98_304)


@njit(cache=True)
def _order_size(random: NDArray[np.uint64], lot: int) -> int:
    """Return a size in lots: mostly small, seldom large."""
    return lot * (1 + _draw(random, 1 << (4 + _geometric(random, 8))))


@njit(cache=True)
def _advance(
    out: Events,
    random: NDArray[np.uint64],
    sizes: NDArray[np.int64],
    state: NDArray[np.int64],
    path: NDArray[np.int64],
    start_ns: int,
    end_ns: int,
    mean_ns: int,
    lowest: int,
    tick: int,
    lot: int,
) -> int:
    """Fill ``out`` with packets until it is full or the time is up; return the rows used."""
    now, received, fair, bid, ask = state[0], state[1], state[2], state[3], state[4]
    rows = 0
    while rows + _ROWS_PER_PACKET <= len(out):
        now += _waiting_time(random, mean_ns)
        if now >= end_ns:
            now = end_ns
            break
        if len(path) > 0:
            fair = path[min((now - start_ns) // (mean_ns * _PACKETS_PER_STEP), len(path) - 1)]
        elif _draw(random, _PACKETS_PER_STEP) == 0:
            fair += 2 * _draw(random, 2) - 1
            fair = min(max(fair, _MARGIN), _LADDER - _MARGIN)
        first = rows
        action = _draw(random, 32)
        # Orders on the wrong side of the fair price are taken at once.
        buyer = fair >= ask or (fair > bid and _draw(random, 2) == 1)
        if fair >= ask or fair <= bid or action == 0:
            side = 1 if buyer else 0
            step = 1 if buyer else -1
            level = ask if buyer else bid
            left = _order_size(random, lot)
            swept = 0
            while left > 0 and swept < _SWEEP:
                if sizes[side, level] > 0:
                    taken = min(left, sizes[side, level])
                    left -= taken
                    sizes[side, level] -= taken
                    px = (lowest + level) * tick
                    out[rows]["kind"] = BUY_TRADE if buyer else SELL_TRADE
                    out[rows]["px_1e9"] = px
                    out[rows]["sz_1e8"] = taken
                    out[rows + 1]["kind"] = ASK if buyer else BID
                    out[rows + 1]["px_1e9"] = px
                    out[rows + 1]["sz_1e8"] = sizes[side, level]
                    rows += 2
                    swept += 1
                    if left == 0:
                        break
                level += step
                # Orders far from the fair price are out of reach.
                if level < fair - _DEPTH or level > fair + _DEPTH:
                    break
        else:
            side = _draw(random, 2)
            offset = 1 + (_draw(random, _DEPTH) if _draw(random, 2) == 1 else _geometric(random, 6))
            level = fair - offset if side == 0 else fair + offset
            size = 0
            if action < 24 or sizes[side, level] == 0:
                size = _order_size(random, lot)
            if (side == 0 and level < ask) or (side == 1 and level > bid):
                sizes[side, level] = size
                out[rows]["kind"] = BID if side == 0 else ASK
                out[rows]["px_1e9"] = (lowest + level) * tick
                out[rows]["sz_1e8"] = size
                rows += 1
        bid = _best(sizes, 0, max(bid, fair), -1)
        ask = _best(sizes, 1, min(ask, fair), 1)
        if rows > first:
            received = max(received, now + 1_000_000 + 200_000 * _geometric(random, 10) + _draw(random, 200_000))
            for i in range(first, rows):
                out[i]["exchange_ns"] = now
                out[i]["receive_ns"] = received
                out[i]["flags"] = 0
            out[rows - 1]["flags"] = LAST_OF_PACKET
    state[0], state[1], state[2], state[3], state[4] = now, received, fair, bid, ask
    return rows


@njit(cache=True)
def _best(sizes: NDArray[np.int64], side: int, level: int, step: int) -> int:
    """Return the first level with a size from ``level`` on; the ladder's end if there is none."""
    while 0 < level < _LADDER - 1 and sizes[side, level] == 0:
        level += step
    return level
