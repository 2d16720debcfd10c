"""Every structure that the kernels share: the run, its symbols and assets, their orders, fills and equity samples.

An *asset* is one symbol on one venue: it has a tape, an exchange and a book of its own. A *symbol* is what the algo
has one position and one list of orders in; its assets are the venues that it trades on.

Prices are x 10^9, sizes x 10^8, money x 10^9, times ns. A price, mid or time of 0 means "none". Field order of
the logs is part of the result digest: append, never reorder.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from evals.wasm import abi

Record: TypeAlias = Any
"""One row of a structured array; numba reads its fields as attributes."""

Int64s: TypeAlias = npt.NDArray[np.int64]
Records: TypeAlias = npt.NDArray[np.void]

NEVER: Final = 2**63 - 1
"""A time that does not come."""

BUY, SELL = 0, 1
"""Sides as array indices; a price level of side BUY is a bid."""

# What became of an action, in the order log.
OPEN, FILLED, CANCELED, EXPIRED, REJECTED, REFUSED, DONE, TOO_LATE, IN_FLIGHT, NOT_SENT = range(10)
OUTCOMES: Final = (
    "open",
    "filled",
    "canceled",
    "expired",
    "rejected",
    "refused",
    "done",
    "too_late",
    "in_flight",
    "not_sent",
)
"""Names of the outcomes: resting when the tape ended, filled, cancelled by the algo, unfilled rest of a MARKET or IOC
order, rejected by the exchange, refused by the host, a cancel or amend that worked, one whose order was gone, sent but
not arrived when the tape ended, emitted in on_shutdown."""

# Why a fill happened.
QUEUE_FRONT, TRADE_THROUGH, CROSSED_BOOK, TAKER = range(4)
FILL_REASONS: Final = ("queue_front", "trade_through", "crossed_book", "taker")

# Why an action was rejected or refused; the platform's code is coarser.
(
    NO_REASON,
    BAD_TYPE,
    BAD_SIDE,
    BAD_PRICE,
    BAD_QUANTITY,
    BELOW_MINIMUM,
    BELOW_NOTIONAL,
    DUPLICATE_ID,
    UNKNOWN_ORDER,
    WOULD_CROSS,
    CANNOT_FILL,
    SELF_TRADE,
    TOO_MANY_ORDERS,
    OVER_POSITION,
    OVER_NOTIONAL,
    OVER_RATE,
    FAR_FROM_MARKET,
    LOSS_PAUSE,
    OTHER_VENUE,
) = range(19)
REASONS: Final = (
    "",
    "unknown order type",
    "side is neither 1 nor -1",
    "price not a positive multiple of the tick",
    "quantity not a positive multiple of the lot",
    "below the minimum quantity",
    "below the minimum notional",
    "order id already open",
    "no such order",
    "post-only would cross",
    "fill-or-kill cannot fill",
    "would trade with own order",
    "more than 32 open orders",
    "position limit",
    "order notional limit",
    "order rate limit",
    "price too far from the market",
    "daily loss limit",
    "a venue, pool or symbol that this run does not have",
)

MARKOUT_HORIZONS_NS: Final = (100_000_000, 1_000_000_000, 10_000_000_000)

FILL_LOG: Final = np.dtype(
    [
        ("order_id", "<u8"),
        ("exchange_ns", "<i8"),
        ("receive_ns", "<i8"),
        ("px_1e9", "<i8"),
        ("qty_1e8", "<i8"),
        ("fee_1e9", "<i8"),
        ("queue_ahead_1e8", "<i8"),
        ("mid_1e9", "<i8"),
        ("mid_100ms_1e9", "<i8"),
        ("mid_1s_1e9", "<i8"),
        ("mid_10s_1e9", "<i8"),
        ("position_1e8", "<i8"),
        ("order_row", "<i8"),
        ("side", "<i4"),
        ("reason", "<i4"),
        ("asset", "<i4"),
        ("pad", "<i4"),
    ]
)
"""One fill. ``queue_ahead_1e8`` is what stood ahead just before; ``position_1e8`` is the symbol's true position just
after; ``order_row`` is the row in the order log. ``side``: 1 buy, -1 sell."""

ORDER_LOG: Final = np.dtype(
    [
        ("order_id", "<u8"),
        ("decided_ns", "<i8"),
        ("arrived_ns", "<i8"),
        ("done_ns", "<i8"),
        ("px_1e9", "<i8"),
        ("qty_1e8", "<i8"),
        ("filled_1e8", "<i8"),
        ("kind", "<i4"),
        ("order_type", "<i4"),
        ("side", "<i4"),
        ("outcome", "<i4"),
        ("reject_code", "<i4"),
        ("reason", "<i4"),
        ("asset", "<i4"),
        ("pad", "<i4"),
    ]
)
"""One action: ``kind`` is the SDK's (0 place, 1 cancel, 2 amend, 3 intent); ``reject_code`` is -1 for no reject."""

EQUITY_LOG: Final = np.dtype(
    [
        ("exchange_ns", "<i8"),
        ("cash_1e9", "<i8"),
        ("position_1e8", "<i8"),
        ("mid_1e9", "<i8"),
        ("equity_1e9", "<i8"),
        ("fees_1e9", "<i8"),
        ("symbol", "<i4"),
        ("pad", "<i4"),
    ]
)
"""Sampled on the exchange's clock, one row a symbol: cash after fees, position, mid, cash plus the position at it."""

SLOT: Final = np.dtype(
    [
        # As the algo knows the order.
        ("order_id", "<i8"),
        ("px_1e9", "<i8"),
        ("qty_1e8", "<i8"),
        ("filled_1e8", "<i8"),
        ("used", "<i8"),
        ("status", "<i8"),
        ("side", "<i8"),
        ("order_type", "<i8"),
        ("order_row", "<i8"),
        ("asset", "<i8"),
        # As the exchange knows it.
        ("resting", "<i8"),
        ("ex_px_1e9", "<i8"),
        ("ex_qty_1e8", "<i8"),
        ("ex_filled_1e8", "<i8"),
        ("queue_ahead_1e8", "<i8"),
        ("traded_1e8", "<i8"),
    ]
)
"""One of a symbol's 32 open orders, from the algo's decision until the last word about it has come back.

``traded_1e8`` is what traded at its price since the tape last set that level.
"""

MESSAGE: Final = np.dtype(
    [
        ("at_ns", "<i8"),
        ("order_id", "<i8"),
        ("px_1e9", "<i8"),
        ("qty_1e8", "<i8"),
        ("kind", "<i8"),
        ("slot", "<i8"),
        ("row", "<i8"),
        ("code", "<i8"),
    ]
)
"""A request to the exchange or an answer from it; ``row`` is the order-log row, for a fill the fill-log row."""

# Kinds of answers; requests use the kinds of actions.
ACK, FILL, END, REJECT, AMENDED, SILENT = range(6)

QUEUE: Final = np.dtype([("at", "<i8"), ("room", "<i8"), ("head", "<i8"), ("tail", "<i8"), ("last_ns", "<i8")])
"""Messages in order of their time: address and length of the table, first waiting and first free row, last time."""

ACCOUNT: Final = np.dtype(
    [
        ("cash_1e9", "<i8"),
        ("position_1e8", "<i8"),
        ("cost_1e9", "<i8"),
        ("realized_1e9", "<i8"),
        ("session_1e9", "<i8"),
        ("session_day", "<i8"),
        ("fees_1e9", "<i8"),
        ("fills", "<i8"),
    ]
)
"""Cash and position. ``cost_1e9``: the value at which the open position was entered; realised is after fees."""

RULES: Final = np.dtype(
    [
        # Instrument.
        ("tick_size_1e9", "<i8"),
        ("lot_size_1e8", "<i8"),
        ("min_qty_1e8", "<i8"),
        ("min_notional_1e9", "<i8"),
        ("inverse", "<i8"),
        ("contract_size_1e8", "<i8"),
        ("maker_fee_ppm", "<i8"),
        ("taker_fee_ppm", "<i8"),
        # How orders wait and fill.
        ("queue_model", "<i8"),
        ("queue_exponent", "<i8"),
        ("partial_fills", "<i8"),
        ("off_market_bps", "<i8"),
        # Latencies, by kind of action.
        ("latency_model", "<i8"),
        ("entry_ns", "<i8", 4),
        ("response_ns", "<i8", 4),
        ("burst_ppm", "<i8"),
        ("burst_ns", "<i8"),
        ("burst_factor", "<i8"),
        # Maker adverse selection; 0 is off.
        ("adverse", "<i8"),
        ("adverse_skip_ppm", "<i8"),
        ("adverse_penalty_ppm", "<i8"),
        ("adverse_bias_ppm", "<i8"),
    ]
)
"""What does not change for an asset during a run. Latencies are indexed by the kind of action."""

LIMITS: Final = np.dtype(
    [
        ("max_position_1e8", "<i8"),
        ("max_order_notional_1e9", "<i8"),
        ("max_order_rate", "<i8"),
        ("max_daily_loss_1e9", "<i8"),
        ("max_price_deviation_bps", "<i8"),
    ]
)
"""Risk limits; they hold for each symbol."""

FAR_LEVEL: Final = np.dtype([("px_1e9", "<i8"), ("sz_1e8", "<i8"), ("taken_1e8", "<i8")])
"""A price level outside the book's window; ``taken_1e8`` is what our orders took since the tape last set it."""

NO_KEY: Final = -(1 << 62)
"""The key of no level: worse than every price."""

RANKS: Final = 32
"""Room for the best levels' keys of a side: as many as are in view, and NO_KEY up to the width of vectors."""

WINDOW: Final = 1 << 18
"""Ticks of a side that a book holds in an array; prices further away are held in sorted order."""

BOOK: Final = np.dtype(
    [
        ("tick_size_1e9", "<i8"),
        ("ticks_per_1e9", "<f8"),
        # The window: per side the key of its first tick (a key grows towards better prices), and whether it is placed.
        ("base", "<i8", 2),
        ("placed", "<i8"),
        ("misplaced", "<i8", 2),
        ("wants_care", "<i8"),
        ("sizes", "<i8"),
        ("taken", "<i8"),
        ("words", "<i8"),
        ("summary", "<i8"),
        ("taken_levels", "<i8"),
        # Levels outside the window: per side sorted, best last, with room at both ends.
        ("far", "<i8"),
        ("far_capacity", "<i8"),
        ("far_first", "<i8", 2),
        ("far_depth", "<i8", 2),
        ("far_best_key", "<i8", 2),
        ("far_last", "<i8", 2),
        # The best levels' keys, best first, with the address of these, and the number of levels of a side.
        ("ranks", "<i8"),
        ("top", "<i8", (2, RANKS)),
        ("top_levels", "<i8", 2),
        ("worst_key", "<i8", 2),
        ("depth", "<i8", 2),
        # What the last change did.
        ("change", "<i8"),
        ("change_depth", "<i8"),
        ("before_1e8", "<i8"),
        ("tail_px_1e9", "<i8"),
        ("tail_sz_1e8", "<i8"),
    ]
)
"""One order book. A *key* is the price of a bid and minus the price of an ask, so the larger is always the better.

``sizes`` and ``taken`` are the addresses of ``2 * WINDOW`` words, ``words`` and ``summary`` of bitmaps of the levels
that exist and of the words that are not empty.
"""

CHANGES_MARGIN: Final = 64
"""Room for changes that one row of the tape may need."""

# What a change did to the best levels.
UNSEEN, RESIZED, INSERTED, REMOVED, CLEARED = range(5)

CHANGE: Final = np.dtype(
    [
        ("row", "<i8"),
        ("px_1e9", "<i8"),
        ("sz_1e8", "<i8"),
        ("tail_px_1e9", "<i8"),
        ("tail_sz_1e8", "<i8"),
        ("best_px_1e9", "<i8"),
        ("change", "<i4"),
        ("side", "<i4"),
        ("depth", "<i4"),
        ("levels", "<i4"),
    ]
)
"""A change of the best levels on its way from the exchange's book to the algo's.

``depth`` is where it happens (0 is the best); when a level goes, ``tail`` is the one that comes into view at the end.
``best_px_1e9`` and ``levels`` are what the side shows afterwards.
"""

COLUMN: Final = np.dtype([("at", "<i8"), ("step", "<i8")])
"""Address of a column's first value, and bytes from one to the next."""

NO_TICK: Final = -(1 << 62)
"""The tick of a price that is not on one."""

ROW: Final = np.dtype(
    [
        ("at_ns", "<i8"),
        ("px_1e9", "<i8"),
        ("sz_1e8", "<i8"),
        ("tick", "<i8"),
        ("row", "<i8"),
        ("packet", "<i4"),
        ("kind", "<i4"),
    ]
)
"""A row of the tape as the exchange sees it: when it happened, and for a level the tick of its key."""

PACKET: Final = np.dtype([("receive_ns", "<i8"), ("row", "<i8")])
"""The end of a packet: when it is received, and its last row."""

TAPE: Final = np.dtype(
    [
        ("at", "<i8"),
        ("rows", "<i8"),
        ("first_row", "<i8"),
        ("last_ns", "<i8"),
        ("exchange", COLUMN),
        ("receive", COLUMN),
        ("px", COLUMN),
        ("sz", COLUMN),
        ("kind", COLUMN),
        ("flags", COLUMN),
    ]
)
"""A chunk of tape as a reader has it: next row, how many, number of the first, when the last was received, columns."""

PIECE_ROWS: Final = 4_096
"""Rows of a tape that a reader works out at a time."""

PADDING_ROWS: Final = 32
"""Rows behind the last of a piece that are looked at when the cache is asked for what comes next."""

STREAM: Final = np.dtype(
    [
        ("tape", TAPE),
        ("rows", "<i8"),
        ("at", "<i8"),
        ("end", "<i8"),
        ("last_ns", "<i8"),
        ("packet", "<i8"),
        ("after_ns", "<i8"),
    ]
)
"""What one reader has worked out: a table of PIECE_ROWS with the next one and the end, when the last of them happened,
packets so far, and before when none that follow can have happened. ``tape`` is where the rest comes from."""

TOXICITY: Final = np.dtype(
    [
        ("at_ns", "<i8"),
        ("size_1e8", "<i8"),
        ("flow_1e8", "<i8", 2),
        ("fast_path", "<i8"),
        ("slow_path", "<i8"),
        ("fast_weight", "<i8"),
        ("slow_weight", "<i8"),
        ("spread_1e9", "<i8"),
        ("slow_spread", "<i8"),
        ("penalty_1e9", "<i8"),
        ("draws", "<i8"),
    ]
)
"""What the model of adverse selection remembers of an asset's market: last step, usual size of a trade, decaying sums
(volume by aggressor, the mid's way, the spread); what a passive fill costs now, how often it has drawn."""

FEATURES: Final = np.dtype(
    [
        # What the algo is shown.
        ("shown", abi.ONLINE_FEATURES),
        # The book that the algo sees, in host memory: levels as in abi.L2_BOOK; its best ten a side one packet before.
        ("book", "<i8", 4 * abi.BOOK_LEVELS),
        ("levels", "<i8", 2),
        ("before", "<i8", 40),
        ("best_px_1e9", "<i8", 2),
        ("mid_1e9", "<i8"),
        ("spread_1e10", "<i8"),
        # Order flow imbalance: sums of 1, 5 and 10 levels by stretch of 100 ms, the last stretch, 32 x the EWMA.
        ("ofi", "<i8", (3, 10)),
        ("ofi_stretch", "<i8"),
        ("ofi_ewma_x32", "<i8"),
        # Buys, sells, size traded, size removed: of the packet that comes, by second, and the last second.
        ("coming", "<i8", 4),
        ("flow", "<i8", (4, 10)),
        ("flow_second", "<i8"),
        # VPIN: trades and size before there is a bucket size, that size, the open bucket, the last 50.
        ("calibration_trades", "<i8"),
        ("calibration_1e8", "<i8"),
        ("bucket_1e8", "<i8"),
        ("bucket_filled_1e8", "<i8"),
        ("bucket_net_1e8", "<i8"),
        ("buckets", "<i8"),
        ("imbalances_1e8", "<i8", 50),
        ("imbalance_1e8", "<i8"),
        # Samples of each second: mid, squared returns of an hour and their sums, the spread's mean and variance.
        ("second", "<i8"),
        ("sampled_mid_1e9", "<i8"),
        ("samples", "<i8"),
        ("squares_1e16", "<i8", 3_600),
        ("variances_1e16", "<i8", 3),
        ("spread_samples", "<i8"),
        ("spread_mean_1e10", "<i8"),
        ("spread_variance_1e20", "<i8"),
        ("spread_deviation_1e10", "<i8"),
    ]
)
"""What the online features of an asset are computed from; see `evals.engine.features`."""

ASSET: Final = np.dtype(
    [
        ("rules", RULES),
        ("symbol", "<i8"),
        ("index", "<i8"),
        ("venue_id", "<i8"),
        ("slot", "<i8"),
        ("home", "<i8"),
        # The exchange: its tape, its book, our orders in order of arrival, the keys they span per side.
        ("levels", STREAM),
        # Whether the next level is likely to go unnoticed, as the last ones did.
        ("unnoticed", "<i8"),
        ("trades", STREAM),
        ("level_ns", "<i8"),
        ("trade_ns", "<i8"),
        ("exchange_ns", "<i8"),
        ("book", BOOK),
        ("mid_1e9", "<i8"),
        ("resting", "<i8", abi.MAX_ORDERS),
        ("resting_count", "<i8"),
        ("low_key", "<i8", 2),
        ("high_key", "<i8", 2),
        ("requests", QUEUE),
        ("answers", QUEUE),
        # The algo's side: the ends of packets, the trades in them, whether more may follow, the packet that comes next,
        # since when one is open whose end is not known; what it sees of the book.
        ("packets", STREAM),
        ("heard", STREAM),
        ("packets_end", "<i8"),
        ("packet_ns", "<i8"),
        ("packet_row", "<i8"),
        ("packet_open_ns", "<i8"),
        ("packet_open_row", "<i8"),
        ("packets_seen", "<i8"),
        ("changes", "<i8"),
        ("changes_room", "<i8"),
        ("changes_head", "<i8"),
        ("changes_tail", "<i8"),
        ("best_px_1e9", "<i8", 2),
        ("seen_levels", "<i8", 2),
        ("seen_ns", "<i8"),
        ("book_word", "<i8"),
        ("features", "<i8"),
        # Latencies that are not constant.
        ("quantiles", "<i8"),
        ("recorded", "<i8"),
        ("recorded_rows", "<i8"),
        ("recorded_at", "<i8"),
        ("seed", "<i8"),
        ("draws", "<i8"),
        # Models of realism; without the second there is no mirror.
        ("toxicity", TOXICITY),
        ("mirror", "<i8"),
        ("taken_untold", "<i8"),
        ("shown_px_1e9", "<i8", 2),
        ("shown_levels", "<i8", 2),
        # Presence in the market, in ns, and prints far off the market.
        ("quoted_since_ns", "<i8"),
        ("both_sides_ns", "<i8"),
        ("at_touch_ns", "<i8"),
        ("quoting", "<i8"),
        ("touching", "<i8"),
        ("active", "<i8"),
        ("off_market_trades", "<i8"),
        ("off_market_1e8", "<i8"),
        ("last_ns", "<i8"),
    ]
)
"""One symbol on one venue."""

SYMBOL: Final = np.dtype(
    [
        ("symbol_id", "<i8"),
        ("first_asset", "<i8"),
        ("assets", "<i8"),
        ("home", "<i8"),
        ("limits", LIMITS),
        # The true account, and the one that the algo has heard about.
        ("account", ACCOUNT),
        ("known", ACCOUNT),
        ("slots", "<i8"),
        ("open_slots", "<i8", abi.MAX_ORDERS),
        ("open_orders", "<i8"),
        ("state_dirty", "<i8"),
        ("local_mid_1e9", "<i8"),
        # What closing the known position at that mid would realise, and the mid for which this was computed.
        ("unrealized_1e9", "<i8"),
        ("marked_mid_1e9", "<i8"),
        ("state_word", "<i8"),
        ("max_abs_position_1e8", "<i8"),
        # When the last accepted orders and amends were sent: a ring of as many as one second may hold.
        ("order_times", "<i8"),
        ("order_times_room", "<i8"),
        ("order_times_at", "<i8"),
        ("paused_day", "<i8"),
        ("nbbo_sequence", "<i8"),
    ]
)
"""What the algo has one position in."""

MAIL: Final = np.dtype([("at_ns", "<i8"), ("sender", "<i8"), ("length", "<i8"), ("text", "<i8", 32)])
"""A message from another instance: when it is delivered, who sent it, its length in bytes, its text."""

RUN: Final = np.dtype(
    [
        # Where the run stands.
        ("now_ns", "<i8"),
        ("heartbeat_ns", "<i8"),
        ("housekeeping_ns", "<i8"),
        ("equity_ns", "<i8"),
        ("markout_at", "<i8", 3),
        ("first_ns", "<i8"),
        ("last_ns", "<i8"),
        ("event_row", "<i8"),
        ("event_asset", "<i8"),
        ("wanted", "<i8"),
        ("reader", "<i8"),
        ("until_ns", "<i8"),
        # How full the logs are.
        ("fills", "<i8"),
        ("orders", "<i8"),
        ("samples", "<i8"),
        # What became of the run.
        ("callbacks", "<i8"),
        ("fuel_total", "<i8"),
        ("fuel_max", "<i8"),
        ("failure", "<i8"),
        ("failed_callback", "<i8"),
        ("failed_fuel", "<i8"),
        ("failed_value", "<i8"),
    ]
)

SIM: Final = np.dtype(
    [
        ("run", RUN),
        ("symbols", "<i8"),
        ("symbol_count", "<i8"),
        ("primary", "<i8"),
        ("assets", "<i8"),
        ("asset_count", "<i8"),
        ("equity_interval_ns", "<i8"),
        ("fuel_per_callback", "<i8"),
        # The actions of the current callback, copied out of the guest before anything else runs in it, and those
        # refused.
        ("inbox", "<i8", (abi.MAX_ACTIONS, 4)),
        ("refused", "<i8", (abi.MAX_ACTIONS, 3)),
        # Logs: addresses, the row number of the first row that is still held, room.
        ("fills", "<i8"),
        ("fills_first", "<i8"),
        ("fills_room", "<i8"),
        ("orders", "<i8"),
        ("orders_first", "<i8"),
        ("orders_room", "<i8"),
        ("orders_limit", "<i8"),
        ("equity", "<i8"),
        ("equity_first", "<i8"),
        ("equity_room", "<i8"),
        # The guest: its linear memory; `evals.wasm.native` describes ``host`` and ``log``.
        ("words", "<i8"),
        ("host", "<i8"),
        ("log", "<i8"),
        ("fuel_counts", "<i8"),
        # The symbol whose venues the algo's NBBO and VenueBooks show, counted from 1; room for their merging.
        ("nbbo_symbol", "<i8"),
        ("merging", "<i8", abi.MAX_VENUES),
        # Messages from other instances, in order of delivery.
        ("mail", "<i8"),
        ("mail_head", "<i8"),
        ("mail_tail", "<i8"),
    ]
)
"""One run of one algo."""


# Codes of ``run.failure``.
NO_FAILURE, TRAPPED, HOST_ERROR, BAD_POINTER, TOO_MANY_ACTIONS, UNKNOWN_ACTION, LOG_FULL = range(7)

# What a stretch of the loop ends with; ``run.wanted`` is the asset that needs rows, ``run.reader`` its reader.
RUNNING, ENDED, FAILED, FULL, NEEDS_ROWS, DISORDERED = range(6)
LEVELS, TRADES, PACKETS = range(3)

MAX_ORDERS: Final = abi.MAX_ORDERS
