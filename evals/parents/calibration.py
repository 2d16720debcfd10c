"""What is measured on a tape so that parent orders can be made like it: sizes, arrival, persistence of sides.

The unit is the market order: trades of one aggressor in a row that the exchange stamped alike. Its sign is persistent:
large orders are cut and worked, so buys follow buys (Lillo and Farmer 2004, *The Long Memory of the Efficient Market*).
That memory falls off as a power of the lag; kept here is its first order, the two chances that a side is followed by
itself, which a Markov chain gives back exactly and with a faster decay.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bundles.canonical import Document, Int64
from bundles.errors import InvalidInputError
from bundles.manifests import Name
from evals.market.schema import BUY_TRADE, SELL_TRADE
from evals.market.source import TapeSource

SIZE_STEPS: Final = 256
ARRIVAL_BINS: Final = 64
FEWEST_ORDERS: Final = 50
"""With fewer market orders there is nothing to calibrate on."""

MILLION: Final = 10**6
_Ppm = Annotated[int, Field(ge=0, le=MILLION)]


class Calibration(Document):
    """What one tape showed before ``until_ns``; whole numbers only."""

    schema_version: Literal[1] = 1
    symbol: Name
    lot_size_1e8: Annotated[Int64, Field(gt=0)]
    min_qty_1e8: Annotated[Int64, Field(ge=0)]
    first_ns: Int64
    until_ns: Int64
    """The window that was looked at: from the first row to before this moment."""
    market_orders: Annotated[int, Field(ge=FEWEST_ORDERS)]
    sizes_1e8: Annotated[tuple[Int64, ...], Field(min_length=SIZE_STEPS + 1, max_length=SIZE_STEPS + 1)]
    """Quantiles of their sizes in steps of 1/256, from the least to the largest."""
    arrivals: Annotated[tuple[int, ...], Field(min_length=ARRIVAL_BINS, max_length=ARRIVAL_BINS)]
    """How many arrived in each of 64 equal parts of the window."""
    buys_ppm: _Ppm
    """Share of buys."""
    buy_after_buy_ppm: _Ppm
    sell_after_sell_ppm: _Ppm


def calibrate(tape: TapeSource, *, until_ns: int | None = None) -> Calibration:
    """Measure a tape, of which nothing received at ``until_ns`` or later is looked at.

    Raises:
        InvalidInputError: with fewer than 50 market orders.
        TapeError: for whatever is wrong with the tape before that moment.

    """
    orders = _market_orders(tape, until_ns)
    instrument = tape.info.instrument
    if len(orders.size_1e8) < FEWEST_ORDERS:
        raise InvalidInputError(
            f"The tape of {instrument.venue} {instrument.symbol} holds {len(orders.size_1e8)} market orders in the "
            f"window; {FEWEST_ORDERS} are needed to measure sizes and persistence. Choose a longer window."
        )
    end_ns = orders.last_ns + 1 if until_ns is None else until_ns
    buys = orders.side == 1
    from_buy, to_buy = buys[:-1], buys[1:]
    return Calibration(
        symbol=instrument.symbol,
        lot_size_1e8=instrument.lot_size_1e8,
        min_qty_1e8=instrument.min_qty_1e8,
        first_ns=orders.first_ns,
        until_ns=end_ns,
        market_orders=len(buys),
        sizes_1e8=tuple(quantiles_of(orders.size_1e8, SIZE_STEPS)),
        arrivals=tuple(profile_of(orders.at_ns, orders.first_ns, end_ns)),
        buys_ppm=share_ppm(int(buys.sum()), len(buys)),
        buy_after_buy_ppm=share_ppm(int((from_buy & to_buy).sum()), int(from_buy.sum())),
        sell_after_sell_ppm=share_ppm(int((~from_buy & ~to_buy).sum()), int((~from_buy).sum())),
    )


def share_ppm(part: int, whole: int) -> int:
    """Return part / whole x 10^6, rounded to nearest; one half of the whole where that is nothing."""
    return (part * MILLION + whole // 2) // whole if whole else MILLION // 2


def quantiles_of(values: NDArray[np.int64], steps: int) -> list[int]:
    """Return the quantiles k / steps for k = 0 … steps: the value that this share of them does not exceed."""
    ordered = np.sort(values)
    last = len(ordered) - 1
    return [int(ordered[(k * last + steps // 2) // steps]) for k in range(steps + 1)]


def profile_of(at_ns: NDArray[np.int64], first_ns: int, end_ns: int) -> list[int]:
    """Return how many moments fall into each of 64 equal parts of a window."""
    width = max(1, -(-(end_ns - first_ns) // ARRIVAL_BINS))
    counts: list[int] = np.bincount((at_ns - first_ns) // width, minlength=ARRIVAL_BINS)[:ARRIVAL_BINS].tolist()
    return counts


class _MarketOrders:
    """The market orders of a window in order: when they were received, side and size."""

    def __init__(
        self, first_ns: int, last_ns: int, at_ns: NDArray[np.int64], side: NDArray[np.int64], size: NDArray[np.int64]
    ) -> None:
        self.first_ns, self.last_ns = first_ns, last_ns
        self.at_ns, self.side, self.size_1e8 = at_ns, side, size


def _market_orders(tape: TapeSource, until_ns: int | None) -> _MarketOrders:
    first_ns, last_ns = 0, 0
    pieces: list[NDArray[np.int64]] = []
    for chunk in tape.chunks():
        stop = len(chunk) if until_ns is None else int(np.searchsorted(chunk.receive_ns, until_ns))
        if stop and not last_ns:
            first_ns = int(chunk.receive_ns[0])
        last_ns = int(chunk.receive_ns[stop - 1]) if stop else last_ns
        kinds = chunk.kind[:stop]
        traded = np.flatnonzero(((kinds == BUY_TRADE) | (kinds == SELL_TRADE)) & (chunk.sz_1e8[:stop] > 0))
        sides = np.where(kinds[traded] == BUY_TRADE, 1, -1)
        pieces.append(
            np.stack([chunk.exchange_ns[traded], chunk.receive_ns[traded], sides, chunk.sz_1e8[traded]]).astype(
                np.int64
            )
        )
        if stop < len(chunk):
            break
    exchange_ns, receive_ns, side, size = np.concatenate(pieces or [np.empty((4, 0), np.int64)], axis=1)
    begins = np.ones(len(side), np.bool_)
    begins[1:] = (exchange_ns[1:] != exchange_ns[:-1]) | (side[1:] != side[:-1])
    starts = np.flatnonzero(begins)
    sizes = np.add.reduceat(size, starts) if len(starts) else size
    return _MarketOrders(first_ns, last_ns, receive_ns[starts], side[starts], sizes)
