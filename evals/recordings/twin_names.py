"""What is shown of a twin; apart from what computes it, because labels load at every start of the command."""

from __future__ import annotations

from typing import Final

TWIN_NAMES: Final = (
    "net_pnl_1e9",
    "fees_1e9",
    "return_bps",
    "max_drawdown_1e9",
    "max_drawdown_pct",
    "sharpe",
    "fills",
    "maker_fills",
    "volume_notional_1e9",
    "max_abs_position_1e8",
    "quote_uptime",
    "order_to_trade",
    "markout_100ms_bps",
    "markout_1s_bps",
    "markout_10s_bps",
    "risk_breaches",
    "traps",
)
"""The metrics of the twin that a review shows beside the realised ones, as ``twin_<name>``."""
