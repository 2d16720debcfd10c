"""Memory layouts and exports of `sequence-algo-sdk` 0.1.0, 0.3.2 and 0.4.0, as numpy dtypes and offsets.

Read from the published crate (structures are `repr(C)`, little-endian, on wasm32). `docs/abi.md` explains what the
host does with them. Sizes are checked against what a compiled algo reads back in `tests/evals/wasm/test_layouts.py`.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np

BOOK_LEVELS: Final = 20
MAX_ACTIONS: Final = 16
MAX_ORDERS: Final = 32
MAX_MESH_PEERS: Final = 16
SYMBOL_NAME_BYTES: Final = 16

LEVEL: Final = np.dtype([("px_1e9", "<u8"), ("sz_1e8", "<u8")])

L2_BOOK: Final = np.dtype(
    [
        ("bids", LEVEL, BOOK_LEVELS),
        ("asks", LEVEL, BOOK_LEVELS),
        ("bid_ct", "u1"),
        ("ask_ct", "u1"),
        ("symbol_id", "<u2"),
        ("pad", "<u4"),
        ("recv_ns", "<u8"),
    ]
)

OPEN_ORDER: Final = np.dtype(
    [
        ("order_id", "<u8"),
        ("px_1e9", "<u8"),
        ("qty_1e8", "<i8"),
        ("filled_1e8", "<i8"),
        ("side", "i1"),
        ("status", "u1"),
        ("pad", "u1", 6),
    ]
)

SYMBOL_META: Final = np.dtype(
    [
        ("tick_size_1e9", "<u8"),
        ("lot_size_1e8", "<u8"),
        ("min_qty_1e8", "<u8"),
        ("min_notional_1e9", "<u8"),
        ("price_precision", "u1"),
        ("qty_precision", "u1"),
        ("pad", "u1", 6),
    ]
)

RISK_SNAPSHOT: Final = np.dtype(
    [
        ("max_position_1e8", "<i8"),
        ("max_daily_loss_1e9", "<i8"),
        ("max_order_notional_1e9", "<u8"),
        ("max_order_rate", "<u4"),
        ("reduce_only", "u1"),
        ("pad", "u1", 3),
    ]
)

_STATE_0_1: Final = [
    ("position_1e8", "<i8"),
    ("avg_entry_1e9", "<u8"),
    ("realized_pnl_1e9", "<i8"),
    ("unrealized_pnl_1e9", "<i8"),
    ("orders", OPEN_ORDER, MAX_ORDERS),
    ("order_ct", "u1"),
    ("pad", "u1", 7),
]

ALGO_STATE_0_1: Final = np.dtype(_STATE_0_1)
"""What a 0.1.0 algo reads: 1,320 bytes."""

ALGO_STATE: Final = np.dtype(
    [
        *_STATE_0_1,
        ("session_pnl_1e9", "<i8"),
        ("total_fill_count", "<u8"),
        ("symbol", SYMBOL_META),
        ("risk", RISK_SNAPSHOT),
        ("mesh_id", "<u8"),
        ("mesh_peer_count", "u1"),
        ("mesh_pad", "u1", 7),
        ("mesh_peers", "<u8", MAX_MESH_PEERS),
        ("symbol_id", "<u2"),
        ("sym_pad", "u1", 6),
        ("symbol_name", "u1", SYMBOL_NAME_BYTES),
    ]
)
"""What a 0.4.0 algo reads: 1,576 bytes. Older algos read a prefix of it, so the host always writes this one."""

FILL: Final = np.dtype(
    [
        ("order_id", "<u8"),
        ("px_1e9", "<u8"),
        ("qty_1e8", "<i8"),
        ("recv_ns", "<u8"),
        ("side", "i1"),
        ("symbol_id", "u1", 2),
        ("pad", "u1", 5),
    ]
)

REJECT: Final = np.dtype([("order_id", "<u8"), ("code", "u1"), ("symbol_id", "u1", 2), ("pad", "u1", 5)])

ACTION: Final = np.dtype(
    [
        ("order_id", "<u8"),
        ("px_1e9", "<u8"),
        ("qty_1e8", "<i8"),
        ("side", "i1"),
        ("is_cancel", "u1"),
        ("order_type", "u1"),
        ("venue_id", "u1"),
        ("pool_idx", "u1"),
        ("symbol_idx", "u1"),
        ("pad", "u1", 2),
    ]
)

WASM_ACTIONS: Final = np.dtype([("count", "<u4"), ("pad", "<u4"), ("actions", ACTION, MAX_ACTIONS)])

ONLINE_FEATURES_AT: Final = 0x1A000
ONLINE_FEATURES: Final = np.dtype(
    [
        ("version", "<u2"),
        ("flags", "<u2"),
        ("pad0", "u1", 4),
        ("microprice_1e9", "<u8"),
        ("ofi_1level_1e8", "<i8"),
        ("ofi_5level_1e8", "<i8"),
        ("mlofi_10_1e8", "<i8"),
        ("ofi_ewma_1e6", "<i8"),
        ("trade_sign_imbalance_1e6", "<i8"),
        ("trade_arrival_rate_1e3", "<u4"),
        ("vpin_1e4", "<u2"),
        ("pad1", "<u2"),
        ("spread_regime", "u1"),
        ("pad2a", "u1"),
        ("spread_zscore_1e3", "<i2"),
        ("cancel_rate_1e4", "<u2"),
        ("depth_imbalance_1e4", "<i2"),
        ("rv_1m_bps", "<u4"),
        ("rv_5m_bps", "<u4"),
        ("rv_1h_bps", "<u4"),
        ("pad3", "<u4"),
        ("pred_dir_up_1e4", "<u2"),
        ("pred_dir_flat_1e4", "<u2"),
        ("pred_dir_down_1e4", "<u2"),
        ("pred_stress_normal_1e4", "<u2"),
        ("pred_stress_widening_1e4", "<u2"),
        ("pred_stress_crisis_1e4", "<u2"),
        ("pred_toxic_1e4", "<u2"),
        ("prediction_age_ms", "<u2"),
        ("fill_prob_bid_1e4", "<u2"),
        ("fill_prob_ask_1e4", "<u2"),
        ("queue_decay_rate_1e4", "<u2"),
        ("fill_pad", "<u2"),
        ("feature_ts_ns", "<u8"),
        ("reserved", "u1", 136),
    ]
)
"""What each field means here: `docs/features.md`."""

VPIN_VALID: Final = 1
"""Bit of ``ONLINE_FEATURES.flags``."""

CONFIG_REGION_AT: Final = 0x24000
CONFIG_REGION: Final = np.dtype(
    [
        ("version", "u1"),
        ("param_count", "u1"),
        ("update_seq", "<u2"),
        ("pad", "u1", 4),
        ("update_ns", "<u8"),
        ("params", "<i8", 32),
        ("types", "u1", 32),
    ]
)

MAX_VENUES: Final = 20
VENUE_BOOKS_AT: Final = 0x10000
"""Where SDK 0.3 reads the venues' books; SDK 0.4 is handed the address."""

VENUE_BOOKS_0_3: Final = np.dtype(
    [
        ("merged", L2_BOOK),
        ("book_ct", "u1"),
        ("pad", "u1", 7),
        ("venue_ids", "u1", MAX_VENUES),
        ("gap", "u1", 4),
        ("books", L2_BOOK, MAX_VENUES),
    ]
)
"""What `export_multi_venue_algo!` of SDK 0.3 reads: 13,808 bytes. The ``gap`` aligns what follows."""

VENUE_BOOKS: Final = np.dtype(
    [
        ("merged", L2_BOOK),
        ("book_ct", "u1"),
        ("gap0", "u1"),
        ("symbol_id", "<u2"),
        ("pad", "u1", 5),
        ("venue_ids", "u1", MAX_VENUES),
        ("venue_region_ids", "u1", MAX_VENUES),
        ("gap1", "u1", 7),
        ("books", L2_BOOK, MAX_VENUES),
    ]
)
"""What SDK 0.4 reads: 13,832 bytes."""

NBBO: Final = np.dtype(
    [
        ("nbbo_bid_px_1e9", "<u8"),
        ("nbbo_ask_px_1e9", "<u8"),
        ("nbbo_bid_sz_1e8", "<u8"),
        ("nbbo_ask_sz_1e8", "<u8"),
        ("nbbo_bid_venue", "u1"),
        ("nbbo_ask_venue", "u1"),
        ("venue_ct", "u1"),
        ("symbol_id", "u1"),
        ("sequence", "<u4"),
        ("venue_ids", "u1", MAX_VENUES),
        ("gap0", "u1", 4),
        ("venue_bid_px", "<u8", MAX_VENUES),
        ("venue_ask_px", "<u8", MAX_VENUES),
        ("venue_bid_sz", "<u4", MAX_VENUES),
        ("venue_ask_sz", "<u4", MAX_VENUES),
        ("venue_update_ms", "<u2", MAX_VENUES),
        ("recv_ns", "<u8"),
        ("venue_region_ids", "u1", MAX_VENUES),
        ("gap1", "u1", 4),
    ]
)
"""What SDK 0.4 reads: 616 bytes. SDK 0.3 reads the first 592, and ``symbol_id`` is padding to it."""

UNKNOWN_REGION: Final = 255
STALE_MS: Final = 65_535
"""``NBBO.venue_update_ms`` of a venue that has not been heard of for so long, or never."""

VENUE_IDS: Final = {
    "kraken": 1,
    "coinbase": 2,
    "binance": 3,
    "bitget": 4,
    "cryptocom": 5,
    "bitmart": 6,
    "dex": 7,
    "okx": 8,
    "bybit": 9,
    "unknown": 10,
    "dex-eth": 11,
    "dex-arb": 12,
    "dex-base": 13,
    "dex-op": 14,
    "dex-poly": 15,
    "dex-sol": 16,
    "hyperliquid": 17,
}
"""The platform's venue ids by the SDK's names."""

MAX_MESSAGE_BYTES: Final = 256
MESH_TABLE_AT: Final = 0x24200
MAX_LABEL_BYTES: Final = 32
MESH_TABLE: Final = np.dtype(
    [
        ("self_label", "u1", MAX_LABEL_BYTES),
        ("self_mesh_id", "<u8"),
        ("peer_count", "u1"),
        ("pad", "u1", 7),
        ("peers", [("label", "u1", MAX_LABEL_BYTES), ("mesh_id", "<u8")], MAX_MESH_PEERS),
    ]
)
FIXED_REGIONS_FROM: Final = VENUE_BOOKS_AT
FIXED_REGIONS_END: Final = MESH_TABLE_AT + MESH_TABLE.itemsize
"""The addresses at which 0.3.2 and 0.4.0 algos read what is not passed by pointer."""

NEW, CANCEL, AMEND, INTENT = 0, 1, 2, 3
"""Values of an action's ``is_cancel``."""

LIMIT, MARKET, IOC, FOK, POST_ONLY = 0, 1, 2, 3, 4
"""Values of an action's ``order_type``."""

PENDING, ACKED, PARTIAL, DEAD = 0, 1, 2, 3
"""Values of an open order's ``status``."""

INVALID_PARAMS: Final = 2
RISK: Final = 100
POSITION_LIMIT: Final = 101
PRICE_DEVIATION: Final = 103
DAILY_LOSS_LIMIT: Final = 104
BAD_VENUE: Final = 105

REJECT_CODES: Final = {
    0: "unknown",
    1: "insufficient_balance",
    INVALID_PARAMS: "invalid_params",
    3: "rate_limit",
    4: "exchange_busy",
    5: "network",
    6: "auth",
    RISK: "risk",
    POSITION_LIMIT: "position_limit",
    102: "kill_switch",
    PRICE_DEVIATION: "price_deviation",
    DAILY_LOSS_LIMIT: "daily_loss_limit",
    BAD_VENUE: "bad_venue",
    106: "stale_venue",
}
"""Reject codes by number; 100 and above come from the platform's own risk checks."""

Signature: TypeAlias = tuple[tuple[str, ...], tuple[str, ...]]
"""Parameters and results of a function."""

I32, I64 = "i32", "i64"

COMMON_EXPORTS: Final[dict[str, Signature]] = {
    "algo_on_fill": ((I32, I32), ()),
    "algo_on_reject": ((I32,), ()),
    "algo_on_shutdown": ((I32,), (I32,)),
    "algo_alloc": ((I32,), (I32,)),
}
"""Exports that every version has, with parameters and results."""

MULTI_VENUE: Final = "0.3.2 multi-venue"
"""The form of a module made by `export_multi_venue_algo!` of SDK 0.3."""

FORM_EXPORTS: Final[dict[str, dict[str, Signature]]] = {
    "0.1.0": {"algo_on_book": ((I32, I32), (I32,))},
    MULTI_VENUE: {
        "algo_on_nbbo": ((I32, I32, I32), (I32,)),
        "algo_on_book": ((I32, I32), (I32,)),
    },
    "0.3.2": {
        "algo_on_book_v3": ((I32, I32), (I32,)),
        "algo_on_book": ((I32, I32), (I32,)),
        "algo_on_heartbeat": ((I32,), (I32,)),
    },
    "0.4.0": {
        "algo_on_book_v3": ((I32, I32), (I32,)),
        "algo_on_heartbeat": ((I32,), (I32,)),
        "algo_on_nbbo": ((I32, I32, I32), (I32,)),
        "algo_on_message": ((I64, I32, I32, I32), (I32,)),
    },
}
"""Exports that tell the forms of a module apart; a form begins with the SDK's version. `export_algo!` of SDK 0.3 makes
the same exports as 0.1.0's. The ``algo_on_book`` of both other forms of 0.3 is an empty stub."""

LARGEST_ACTION_KIND: Final = {"0.1.0": AMEND, MULTI_VENUE: AMEND, "0.3.2": AMEND, "0.4.0": INTENT}
"""The highest ``is_cancel`` that a form's SDK writes; 0.1.0's has no amend, but SDK 0.3 in the same form does."""

IMPORTS: Final[dict[tuple[str, str], Signature]] = {
    ("env", "host_log_impl"): ((I32, I32, I32), ()),
    ("env", "__seq_send"): ((I64, I32, I32), ()),
}
"""The only functions that an algo may import."""
