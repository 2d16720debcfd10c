"""Import the full channel of GDAX (Coinbase): single orders (L3) folded into price levels (L2).

Input is a start book ``{sequence, bids, asks}`` of orders ``[price, size, order_id]``, and a JSON array of messages
that continue it, each plain or gzip.

- An order is on the book from ``open``, not from ``received``. ``done`` for an order that is not on the book (a taker,
  or a maker already used up) changes nothing.
- ``match`` reduces the maker and is a trade; its ``side`` is the maker's, so the aggressor is the other one.
- Every message that changes the book or trades is one packet; a trade comes before the level it reduces.
- Price levels too high for a tape's 64 bits (there are asks at 9999999999 dollars) are left out and counted.
- There are no local receive times: ``receive_ns`` is the exchange's time plus a constant feed latency.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from evals.errors import TapeError
from evals.market.captures import json_document
from evals.market.decimals import PX_DIGITS, SZ_DIGITS, scaled
from evals.market.packets import PacketWriter, Row
from evals.market.schema import ASK, BID, BUY_TRADE, CLEAR, SELL_TRADE, SNAPSHOT, Instrument, TapeInfo
from evals.market.tape import Tape
from evals.market.validation import validate

FEED_LATENCY_NS: Final = 5_000_000

BTC_USD: Final = Instrument(
    venue="coinbase",
    symbol="BTC-USD",
    tick_size_1e9=10_000_000,
    lot_size_1e8=1,
    min_qty_1e8=100_000,
    maker_fee_ppm=0,
    taker_fee_ppm=3_000,
)
"""Trading rules and fees of July 2018."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SIDES: Final = {"buy": BID, "sell": ASK}
_NOT_ON_THE_BOOK: Final = frozenset({"received", "activate"})


def import_gdax(
    start_book: Path, messages: Path, *, instrument: Instrument = BTC_USD, feed_latency_ns: int = FEED_LATENCY_NS
) -> Tape:
    """Read a start book and its messages into a tape that has passed validation.

    Raises:
        TapeError: for a damaged file or message, another product than the instrument's, a gap in the sequence, or a
            tape that validation refuses.

    """
    feed = _Feed(read_book(start_book), instrument.symbol, feed_latency_ns)
    for number, message in enumerate(json_document(messages), 1):
        try:
            feed.take(message)
        except TapeError as error:
            raise TapeError(f"{messages} message {number}: {error}") from error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise TapeError(
                f"{messages} message {number} is not a GDAX full-channel message ({error!r}). Check the file."
            ) from error
    if not feed.counts["messages"]:
        raise TapeError(f"{messages} holds no messages. Give the full channel that follows {start_book}.")
    info = TapeInfo(instrument=instrument, importer="gdax-l3", importer_version="1", feed=feed.counts)
    tape = Tape(feed.packets.events(0), info)
    validate(tape).raise_if_refused(str(messages))
    return tape


class _Feed:
    """The state of one import, moved on by each message."""

    def __init__(self, book: OrderBook, product: str, latency_ns: int) -> None:
        self.packets = PacketWriter()
        self.counts = dict.fromkeys(("messages", "rows_out_of_range", "trade_id_gaps", "trade_id_duplicates"), 0)
        self._book = book
        self._product = product
        self._latency_ns = latency_ns
        self._trade_id: int | None = None

    def take(self, message: dict[str, Any]) -> None:
        if message["product_id"] != self._product:
            raise TapeError(f"it is of {message['product_id']}, not {self._product}. Import one symbol at a time.")
        exchange_ns = _time_ns(message["time"])
        if not self.counts["messages"]:
            self._add(exchange_ns, self._book.snapshot(), SNAPSHOT)
        self.counts["messages"] += 1
        rows = self._book.apply(message)
        if rows and message["type"] == "match":
            self._check_trade_id(message["trade_id"])
        self._add(exchange_ns, rows)

    def _check_trade_id(self, trade_id: int) -> None:
        if self._trade_id is not None:
            self.counts["trade_id_gaps"] += trade_id > self._trade_id + 1
            self.counts["trade_id_duplicates"] += trade_id <= self._trade_id
        self._trade_id = trade_id

    def _add(self, exchange_ns: int, rows: list[Row], flags: int = 0) -> None:
        kept = [row for row in rows if row[1] < 2**63]
        self.counts["rows_out_of_range"] += len(rows) - len(kept)
        self.packets.add(exchange_ns, exchange_ns + self._latency_ns, kept, flags)


def read_book(path: Path) -> OrderBook:
    """Read a published book (level 3).

    Raises:
        TapeError: if the file is not one.

    """
    document = json_document(path)
    try:
        return OrderBook(document)
    except TapeError as error:
        raise TapeError(f"{path}: {error}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise TapeError(
            f"{path} is not a level-3 book {{sequence, bids, asks}} ({error!r}). Check the file."
        ) from error


class OrderBook:
    """Every resting order by id, and the size of every price level."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.sequence: int = document["sequence"]
        self.orders: dict[str, Row] = {}
        """Side (as a tape kind), price and size by order id."""
        self.levels: dict[tuple[int, int], int] = {}
        """Size by side and price."""
        for kind, orders in ((BID, document["bids"]), (ASK, document["asks"])):
            for px, sz, order_id in orders:
                self._set(order_id, kind, scaled(px, PX_DIGITS), scaled(sz, SZ_DIGITS))

    def snapshot(self) -> list[Row]:
        """Return the rows that build the book: clear, bids and asks, best first."""
        bids = sorted((px for kind, px in self.levels if kind == BID), reverse=True)
        asks = sorted(px for kind, px in self.levels if kind == ASK)
        return [
            (CLEAR, 0, 0),
            *((BID, px, self.levels[BID, px]) for px in bids),
            *((ASK, px, self.levels[ASK, px]) for px in asks),
        ]

    def apply(self, message: dict[str, Any]) -> list[Row]:
        """Apply one message and return its tape rows.

        Raises:
            TapeError: for a gap in the sequence, an unknown type, or a match with an order that is not on the book.

        """
        sequence: int = message["sequence"]
        if sequence <= self.sequence:
            return []
        if sequence != self.sequence + 1:
            raise TapeError(
                f"the sequence jumps from {self.sequence} to {sequence}, and lost orders cannot be made up for. "
                "Start again from a book taken after the gap."
            )
        self.sequence = sequence
        what, order_id = message["type"], message.get("order_id", "")
        if what == "open":
            px, sz = scaled(message["price"], PX_DIGITS), scaled(message["remaining_size"], SZ_DIGITS)
            return [self._set(order_id, _SIDES[message["side"]], px, sz)]
        if what == "done":
            return [self._resize(order_id, 0)] if order_id in self.orders else []
        if what == "change":
            resized = order_id in self.orders and "new_size" in message
            return [self._resize(order_id, scaled(message["new_size"], SZ_DIGITS))] if resized else []
        if what == "match":
            return self._match(message)
        if what in _NOT_ON_THE_BOOK:
            return []
        raise TapeError(f"unknown type {what!r}. The importer may be older than the format; do not drop such messages.")

    def _match(self, message: dict[str, Any]) -> list[Row]:
        maker, sz = message["maker_order_id"], scaled(message["size"], SZ_DIGITS)
        if maker not in self.orders:
            raise TapeError(
                f"it matches order {maker}, which is not on the book. Check that the start book belongs to it."
            )
        kind, px, resting = self.orders[maker]
        if (kind, px) != (_SIDES[message["side"]], scaled(message["price"], PX_DIGITS)) or sz > resting:
            raise TapeError(f"it does not fit order {maker} on the book. Check that the start book belongs to it.")
        trade = BUY_TRADE if kind == ASK else SELL_TRADE
        return [(trade, px, sz), self._resize(maker, resting - sz)]

    def _resize(self, order_id: str, sz: int) -> Row:
        kind, px, _ = self.orders[order_id]
        return self._set(order_id, kind, px, sz)

    def _set(self, order_id: str, kind: int, px: int, sz: int) -> Row:
        """Set an order's size (0 takes it off) and return its level as a tape row."""
        before = self.orders.pop(order_id, (kind, px, 0))
        if before[:2] != (kind, px):
            raise TapeError(f"order {order_id} is on the book already at another price. Check for repeated messages.")
        if sz:
            self.orders[order_id] = (kind, px, sz)
        total = self.levels.pop((kind, px), 0) + sz - before[2]
        if total:
            self.levels[kind, px] = total
        return kind, px, total


def _time_ns(text: str) -> int:
    """Return nanoseconds since the epoch of ``2018-07-13T20:47:11.025000Z``, without a float on the way."""
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(microseconds=1) * 1_000
