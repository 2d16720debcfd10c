"""Import captures of Binance's websocket streams: spot, USD-M futures and COIN-M futures.

A capture is text, mostly gzip: ``<local receive time, ns> <json>`` a line, where the JSON is a message of the combined
stream or, without a ``stream`` key, a REST depth snapshot. Several files are one continuous stream.

- The snapshot comes late and is older than updates already received. Updates wait until it is there; those beyond its
  ``lastUpdateId`` are then applied, at the time the snapshot came. Nothing before the first usable snapshot is on the
  tape, neither depth nor trades.
- Every update must follow its predecessor (spot: ``U == previous u + 1``; futures: ``pu == previous u``). At a break
  the book is cleared, and depth waits for the next snapshot.
- Times of the exchange are ``T`` (matching) where there is one; spot depth has only ``E``.
- If some message would have been received less than ``latency_floor_ns`` after the exchange sent it, the recorder's
  clock is behind: all receive times are moved by one constant so that the quickest message takes the floor. Order and
  spacing stay.
- Best quotes (``bookTicker``) are not put on the tape: another view of the book, not ordered against the trades.

Symbols are base and quote asset: Binance's BTCUSDT is ``BTC-USDT`` at ``binance`` and at ``binance-usdm``, its
BTCUSD_PERP is ``BTC-USD`` at ``binance-coinm``, with sizes in contracts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from evals.errors import TapeError
from evals.market.captures import numbered_lines
from evals.market.decimals import PX_DIGITS, SZ_DIGITS, scaled
from evals.market.packets import PacketWriter, Row
from evals.market.schema import ASK, BID, BUY_TRADE, CLEAR, SELL_TRADE, SNAPSHOT, Instrument, TapeInfo
from evals.market.tape import Tape
from evals.market.validation import validate

Market = Literal["spot", "usdm", "coinm"]

LATENCY_FLOOR_NS: Final = 1_000_000

_NS_PER_MS: Final = 1_000_000

BTC_INSTRUMENTS: Final[dict[Market, Instrument]] = {
    "spot": Instrument(
        venue="binance",
        symbol="BTC-USDT",
        tick_size_1e9=10_000_000,
        lot_size_1e8=1_000,
        min_qty_1e8=1_000,
        min_notional_1e9=5 * 10**9,
        maker_fee_ppm=1_000,
        taker_fee_ppm=1_000,
    ),
    "usdm": Instrument(
        venue="binance-usdm",
        symbol="BTC-USDT",
        tick_size_1e9=100_000_000,
        lot_size_1e8=100_000,
        min_qty_1e8=100_000,
        min_notional_1e9=100 * 10**9,
        maker_fee_ppm=200,
        taker_fee_ppm=500,
    ),
    "coinm": Instrument(
        venue="binance-coinm",
        symbol="BTC-USD",
        tick_size_1e9=100_000_000,
        lot_size_1e8=100_000_000,
        min_qty_1e8=100_000_000,
        contract="inverse",
        contract_size_1e8=100 * 10**8,
        maker_fee_ppm=200,
        taker_fee_ppm=500,
    ),
}
"""Trading rules of the bitcoin markets, with the fees of an account without discounts."""

_BTC_NAMES: Final[dict[Market, str]] = {"spot": "BTCUSDT", "usdm": "BTCUSDT", "coinm": "BTCUSD_PERP"}

_CLEAR_BOOK: Final[Row] = (CLEAR, 0, 0)


def import_binance(
    paths: Sequence[Path],
    *,
    market: Market,
    instrument: Instrument | None = None,
    latency_floor_ns: int = LATENCY_FLOOR_NS,
) -> Tape:
    """Read captures of one symbol, in the order given, into a tape that has passed validation.

    ``instrument`` may be left out for the bitcoin markets (:data:`BTC_INSTRUMENTS`). The info's ``feed`` counts
    messages, sequence breaks, and missing or repeated trade ids.

    Raises:
        TapeError: for a damaged line (named by file and number), several symbols, a symbol without instrument, a local
            clock that goes back, no usable snapshot, or a tape that validation refuses.

    """
    capture = _Capture(market)
    for path in paths:
        for number, line in numbered_lines(path):
            try:
                capture.read(line)
            except TapeError as error:
                raise TapeError(f"{path} line {number}: {error}") from error
            except (KeyError, TypeError, ValueError, RecursionError, AttributeError) as error:
                raise TapeError(
                    f"{path} line {number} is not '<ns> <json>' of a Binance {market} stream ({error!r}). "
                    "Check the market, and the file for a damaged line."
                ) from error
    name = ", ".join(str(path) for path in paths)
    if not capture.snapshots:
        raise TapeError(
            f"{name} holds no depth snapshot that its updates follow on. Give the files of one stream in order, "
            "beginning with the one that holds the snapshot."
        )
    if instrument is None:
        if capture.symbol != _BTC_NAMES[market]:
            raise TapeError(f"The trading rules of {capture.symbol} ({market}) are not built in. Give its instrument.")
        instrument = BTC_INSTRUMENTS[market]
    shift_ns = max(0, latency_floor_ns - capture.least_latency_ns)
    tape = Tape(
        capture.packets.events(shift_ns),
        TapeInfo(
            instrument=instrument,
            importer=f"binance-{market}",
            importer_version="1",
            clock_shift_ns=shift_ns,
            feed=capture.counts,
        ),
    )
    validate(tape).raise_if_refused(name)
    return tape


@dataclass(frozen=True)
class _Update:
    """One depth message."""

    exchange_ns: int
    last_id: int
    follows_id: int
    """Id of the update just before it."""
    rows: list[Row]


class _Capture:
    """The state of one import, moved on by each line."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.symbol = ""
        self.packets = PacketWriter()
        self.least_latency_ns = 2**63
        self.snapshots = 0
        self.counts = dict.fromkeys(
            (
                "depth_messages",
                "book_tickers",
                "trade_messages",
                "other_messages",
                "trades_before_snapshot",
                "trades_outside_matching",
                "unusable_snapshots",
                "sequence_breaks",
                "trade_id_gaps",
                "trade_id_duplicates",
            ),
            0,
        )
        self._local_ns = 0
        self._exchange_ns = 0
        self._book_id: int | None = None
        """Update id that the book is at; None while it is unknown."""
        self._joining = False
        """The book is a snapshot that no update has followed yet."""
        self._waiting: list[_Update] = []
        self._trade_id: int | None = None

    def read(self, line: bytes) -> None:
        """Take one line of the capture."""
        stamp, _, text = line.partition(b" ")
        local_ns, message = int(stamp), json.loads(text)
        if local_ns < self._local_ns:
            raise TapeError(
                f"the local clock goes back from {self._local_ns} to {local_ns}. Give the files in the order they were "
                "captured, or cut the capture there."
            )
        self._local_ns = local_ns
        if "stream" not in message:
            self._snapshot(message)
            return
        data, topic = message["data"], message["stream"].partition("@")[2]
        self._check_symbol(data["s"])
        if topic.startswith("depth"):
            self._depth(data)
        elif topic == "trade":
            self._trade(data)
        else:
            self.counts["book_tickers" if topic == "bookTicker" else "other_messages"] += 1

    def _check_symbol(self, symbol: str) -> None:
        if not self.symbol:
            self.symbol = symbol
        elif symbol != self.symbol:
            raise TapeError(f"the capture holds {self.symbol} and {symbol}. Import one symbol at a time.")

    def _clock(self, exchange_ms: int) -> int:
        exchange_ns = exchange_ms * _NS_PER_MS
        self.least_latency_ns = min(self.least_latency_ns, self._local_ns - exchange_ns)
        self._exchange_ns = exchange_ns
        return exchange_ns

    def _depth(self, data: dict[str, Any]) -> None:
        self.counts["depth_messages"] += 1
        spot = self.market == "spot"
        update = _Update(
            exchange_ns=self._clock(data["E"] if spot else data["T"]),
            last_id=data["u"],
            follows_id=data["U"] - 1 if spot else data["pu"],
            rows=_levels(data["b"], data["a"]),
        )
        if self._book_id is None:
            self._waiting.append(update)
        else:
            self._apply(update)

    def _apply(self, update: _Update) -> None:
        """Put an update on the tape, or notice that one before it is missing."""
        if self._book_id is None or (self._joining and update.last_id <= self._book_id):
            return
        if update.follows_id == self._book_id or (self._joining and update.follows_id < self._book_id):
            self._book_id, self._joining = update.last_id, False
            self._add_book(update.exchange_ns, update.rows)
        else:
            self.counts["sequence_breaks"] += 1
            self._book_id, self._waiting = None, [update]
            self._add_book(update.exchange_ns, [_CLEAR_BOOK])

    def _snapshot(self, document: dict[str, Any]) -> None:
        """Begin the book, unless there is one already or the snapshot is older than the updates that wait."""
        book_id: int = document["lastUpdateId"]
        if self._book_id is not None:
            return
        later = [update for update in self._waiting if update.last_id > book_id]
        if later and later[0].follows_id > book_id:
            self.counts["unusable_snapshots"] += 1
            return
        self.snapshots += 1
        self._book_id, self._joining = book_id, True
        rows = [_CLEAR_BOOK, *_levels(document["bids"], document["asks"])]
        self._add_book(self._snapshot_ns(document, later), rows, SNAPSHOT)
        self._waiting = []
        for update in later:
            self._apply(update)

    def _snapshot_ns(self, document: dict[str, Any], later: Sequence[_Update]) -> int:
        """Return when the exchange took a snapshot: as it says, else as its last update before says."""
        if "T" in document:
            exchange_ns = self._clock(document["T"])
        else:
            before = [update.exchange_ns for update in self._waiting if update.last_id <= document["lastUpdateId"]]
            exchange_ns = before[-1] if before else self._exchange_ns or self._local_ns
        return min(exchange_ns, later[0].exchange_ns) if later else exchange_ns

    def _add_book(self, exchange_ns: int, rows: Sequence[Row], flags: int = 0) -> None:
        self.packets.add(exchange_ns, self._local_ns, rows, flags)

    def _trade(self, data: dict[str, Any]) -> None:
        self.counts["trade_messages"] += 1
        trade_id: int = data["t"]
        exchange_ns = self._clock(data["T"])
        if self._trade_id is not None:
            if trade_id <= self._trade_id:
                self.counts["trade_id_duplicates"] += 1
                return
            self.counts["trade_id_gaps"] += trade_id != self._trade_id + 1
        self._trade_id = trade_id
        if not self.snapshots:
            self.counts["trades_before_snapshot"] += 1
        elif data.get("X", "MARKET") != "MARKET":
            self.counts["trades_outside_matching"] += 1
        else:
            kind = SELL_TRADE if data["m"] else BUY_TRADE
            row = (kind, scaled(data["p"], PX_DIGITS), scaled(data["q"], SZ_DIGITS))
            self.packets.add(exchange_ns, self._local_ns, [row])


def _levels(bids: list[list[str]], asks: list[list[str]]) -> list[Row]:
    rows = [(BID, scaled(px, PX_DIGITS), scaled(sz, SZ_DIGITS)) for px, sz in bids]
    rows += [(ASK, scaled(px, PX_DIGITS), scaled(sz, SZ_DIGITS)) for px, sz in asks]
    return rows
