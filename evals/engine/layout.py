"""Every structure that the kernels share: records of orders, fills, equity samples and of the run itself.

Prices are x 10^9, sizes x 10^8, money x 10^9, times ns. A price, mid or time of 0 means "none". Field order is part
of the result digest: append, never reorder.
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
    "another venue, pool or symbol",
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
    ]
)
"""One fill. ``queue_ahead_1e8`` is what stood ahead just before; ``position_1e8`` is the true position just after;
``order_row`` is the row in the order log. ``side``: 1 buy, -1 sell."""

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
    ]
)
"""Sampled on the exchange's clock: cash after fees, position, mid, and cash plus the position at that mid."""

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
        # As the exchange knows it.
        ("resting", "<i8"),
        ("ex_px_1e9", "<i8"),
        ("ex_qty_1e8", "<i8"),
        ("ex_filled_1e8", "<i8"),
        ("queue_ahead_1e8", "<i8"),
    ]
)
"""One of the 32 open orders, from the algo's decision until the last word about it has come back."""

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

RUN: Final = np.dtype(
    [
        # Where the run stands.
        ("now_ns", "<i8"),
        ("tape_at", "<i8"),
        ("packet_at", "<i8"),
        ("packet_end", "<i8"),
        ("packet_ns", "<i8"),
        ("heartbeat_ns", "<i8"),
        ("housekeeping_ns", "<i8"),
        ("equity_ns", "<i8"),
        ("markout_at", "<i8", 3),
        ("first_ns", "<i8"),
        ("last_ns", "<i8"),
        ("event_index", "<i8"),
        # How full the logs and queues are.
        ("fills", "<i8"),
        ("orders", "<i8"),
        ("samples", "<i8"),
        ("requests_head", "<i8"),
        ("requests_tail", "<i8"),
        ("answers_head", "<i8"),
        ("answers_tail", "<i8"),
        ("last_arrival_ns", "<i8"),
        ("last_answer_ns", "<i8"),
        ("open_orders", "<i8"),
        ("resting", "<i8"),
        ("state_dirty", "<i8"),
        ("mid_1e9", "<i8"),
        ("local_mid_1e9", "<i8"),
        # Risk.
        ("rate_head", "<i8"),
        ("paused_day", "<i8"),
        # What became of the run.
        ("callbacks", "<i8"),
        ("fuel_total", "<i8"),
        ("fuel_max", "<i8"),
        ("failure", "<i8"),
        ("failed_callback", "<i8"),
        ("failed_fuel", "<i8"),
        ("failed_value", "<i8"),
        # Time integrals, in ns.
        ("quoted_since_ns", "<i8"),
        ("both_sides_ns", "<i8"),
        ("at_touch_ns", "<i8"),
        ("quoting", "<i8"),
        ("touching", "<i8"),
        ("max_abs_position_1e8", "<i8"),
    ]
)

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
        # Risk limits.
        ("max_position_1e8", "<i8"),
        ("max_order_notional_1e9", "<i8"),
        ("max_order_rate", "<i8"),
        ("max_daily_loss_1e9", "<i8"),
        ("max_price_deviation_bps", "<i8"),
        # Latencies and intervals.
        ("entry_ns", "<i8", 4),
        ("response_ns", "<i8", 4),
        ("equity_interval_ns", "<i8"),
        ("fuel_per_callback", "<i8"),
    ]
)
"""What does not change during a run. Latencies are indexed by the kind of action."""


LEVEL: Final = np.dtype([("px_1e9", "<i8"), ("sz_1e8", "<i8"), ("taken_1e8", "<i8")])
"""A price level; ``taken_1e8`` is what our own orders took since the tape last set it."""

BOOK: Final = np.dtype(
    [("levels", "<i8"), ("capacity", "<i8"), ("first", "<i8", 2), ("depth", "<i8", 2), ("changed", "<i8", (2, 2))]
)
"""One order book. ``levels`` is the address of ``2 * capacity`` levels, a side after the other, worst first, best last.

A side's levels begin at ``first[side]``; ``depth[side]`` counts them. ``changed[side]`` is the range of depths (0 is
the best) that changed since the guest's copy was written.
"""

SIM: Final = np.dtype(
    [
        # The tape: its address, its rows, and the address of the rows in order of exchange time (0: they are in that
        # order).
        ("tape", "<i8"),
        ("tape_rows", "<i8"),
        ("exchange_order", "<i8"),
        ("rules", RULES),
        ("run", RUN),
        # The exchange: the true account, its book, our orders in it in order of their arrival.
        ("account", ACCOUNT),
        ("book", BOOK),
        ("resting", "<i8", abi.MAX_ORDERS),
        # The algo: what it knows of its account and of the market, its open orders in order of placement.
        ("known", ACCOUNT),
        ("local", BOOK),
        ("open_slots", "<i8", abi.MAX_ORDERS),
        # The actions of the current callback, copied out of the guest before anything else runs in it, and those
        # refused.
        ("inbox", "<i8", (abi.MAX_ACTIONS, 4)),
        ("refused", "<i8", (abi.MAX_ACTIONS, 2)),
        # Addresses: order slots, logs and queues (with their room), and what belongs to the guest.
        ("slots", "<i8"),
        ("fills", "<i8"),
        ("fills_room", "<i8"),
        ("orders", "<i8"),
        ("orders_room", "<i8"),
        ("equity", "<i8"),
        ("equity_room", "<i8"),
        ("answers", "<i8"),
        ("answers_room", "<i8"),
        ("requests", "<i8"),
        ("requests_room", "<i8"),
        ("words", "<i8"),
        ("host", "<i8"),
        ("log", "<i8"),
        ("fuel_counts", "<i8"),
        # When the last accepted orders and amends were sent: a ring of as many as one second may hold.
        ("order_times", "<i8"),
        ("order_times_room", "<i8"),
    ]
)
"""One run. ``words`` is the guest's linear memory; ``host`` and ``log`` are described in `evals.wasm.native`."""


# Codes of ``run.failure``.
NO_FAILURE, TRAPPED, HOST_ERROR, BAD_POINTER, TOO_MANY_ACTIONS, UNKNOWN_ACTION = range(6)

# What a stretch of the loop ends with.
RUNNING, ENDED, FAILED, FULL = range(4)

MAX_ORDERS: Final = abi.MAX_ORDERS
