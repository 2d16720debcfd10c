"""The metrics of a replay, which shadow and live review show of an algo too."""

from __future__ import annotations

from typing import Final

from evals.labels.meaning import Meaning

METRICS: Final[dict[str, Meaning]] = {
    "traps": Meaning("Safety", "Traps", 0, "", "1 if the algo broke and the run ended there"),
    "risk_breaches": Meaning("Safety", "Risk breaches", 0, "", "Actions that the risk limits refused"),
    "rejects": Meaning("Safety", "Rejects", 0, "", "Actions refused for any reason"),
    "off_market_trades": Meaning(
        "Safety", "Off-market trades", 0, "", "Prints of the tape too far out to fill anything"
    ),
    "off_market_volume_1e8": Meaning("Safety", "Off-market volume", 8, "base", "Size of these prints"),
    "log_lines": Meaning("Safety", "Log lines", 0, "", "Lines that the algo logged"),
    "net_pnl_1e9": Meaning("Profit", "Net P&L", 9, "ccy", "Profit or loss after fees, inventory at the last mid"),
    "gross_pnl_1e9": Meaning("Profit", "Gross P&L", 9, "ccy", "Before fees"),
    "spread_pnl_1e9": Meaning("Profit", "Spread P&L", 9, "ccy", "Earned against the mid at the moment of each fill"),
    "inventory_pnl_1e9": Meaning("Profit", "Inventory P&L", 9, "ccy", "Earned by holding while the mid moved"),
    "fees_1e9": Meaning("Profit", "Fees", 9, "ccy", "Paid to the venue; negative is a rebate"),
    "cost_share": Meaning("Profit", "Cost share", 0, "", "Fees over gross profit; undefined without one"),
    "return_bps": Meaning("Profit", "Return", 0, "bps", "Net P&L over the capital of the settings"),
    "pnl_per_volume_bps": Meaning("Profit", "Net P&L per volume", 0, "bps", "Net P&L over the value traded"),
    "sharpe": Meaning("Risk", "Sharpe ratio", 0, "", "Of the changes between equity samples, annualised to 365 days"),
    "max_drawdown_1e9": Meaning("Risk", "Largest drawdown", 9, "ccy", "Deepest fall of equity below an earlier peak"),
    "max_drawdown_pct": Meaning("Risk", "Largest drawdown", 0, "%", "The same, of the capital"),
    "time_in_drawdown": Meaning("Risk", "Time in drawdown", 0, "", "Share of samples below an earlier peak"),
    "max_exposure_1e9": Meaning("Risk", "Largest exposure", 9, "ccy", "Absolute value of all positions, over samples"),
    "mean_exposure_1e9": Meaning("Risk", "Mean exposure", 9, "ccy", "The same, on average"),
    "max_abs_position_1e8": Meaning(
        "Inventory", "Largest position", 8, "base", "Largest absolute position, over fills"
    ),
    "mean_abs_position_1e8": Meaning("Inventory", "Mean size of position", 8, "base", "Absolute, mean over samples"),
    "mean_position_1e8": Meaning("Inventory", "Mean position", 8, "base", "Signed, mean over samples"),
    "final_position_1e8": Meaning("Inventory", "Final position", 8, "base", "Held at the end"),
    "time_long": Meaning("Inventory", "Time long", 0, "", "Share of samples with a position above zero"),
    "time_short": Meaning("Inventory", "Time short", 0, "", "Share of samples with a position below zero"),
    "time_flat": Meaning("Inventory", "Time flat", 0, "", "Share of samples without any position"),
    "position_flips": Meaning("Inventory", "Flips", 0, "", "Times the position came to the other side of zero"),
    "fills": Meaning("Trading", "Fills", 0, "", "Executions, partial ones included"),
    "maker_fills": Meaning("Trading", "Maker fills", 0, "", "Of them, executions of a resting order"),
    "fills_queue_front": Meaning(
        "Trading", "… at the front", 0, "", "A trade at our price reached past what stood ahead"
    ),
    "fills_trade_through": Meaning("Trading", "… traded through", 0, "", "A trade happened at a price beyond ours"),
    "fills_crossed_book": Meaning("Trading", "… crossed", 0, "", "The other side of the book reached our price"),
    "fills_taker": Meaning("Trading", "Taker fills", 0, "", "Displayed size that an order took on arrival"),
    "orders": Meaning("Trading", "Orders", 0, "", "New orders sent"),
    "cancels": Meaning("Trading", "Cancels", 0, "", "Cancellations sent"),
    "amends": Meaning("Trading", "Amends", 0, "", "Amendments sent"),
    "fill_ratio": Meaning("Trading", "Fill ratio", 0, "", "Orders filled completely, of those the exchange took"),
    "cancel_ratio": Meaning("Trading", "Cancel ratio", 0, "", "Orders cancelled by the algo, of the same"),
    "order_to_trade": Meaning("Trading", "Order-to-trade", 0, "", "Orders, cancels and amends for each fill"),
    "order_lifetime_p50_ms": Meaning("Trading", "Order lifetime, median", 0, "ms", "Of orders that rested and ended"),
    "volume_notional_1e9": Meaning("Trading", "Volume", 9, "ccy", "Value of all fills"),
    "turnover": Meaning("Trading", "Turnover", 0, "x", "Volume over the capital"),
    "quote_uptime": Meaning("Quoting", "Quote uptime", 0, "", "Share of time with a quote on both sides"),
    "time_at_touch": Meaning("Quoting", "Time at touch", 0, "", "Share of time at the best price, mean of both sides"),
    "queue_ahead_mean_1e8": Meaning(
        "Fill quality", "Queue ahead, mean", 8, "base", "Size ahead just before a maker fill"
    ),
    "queue_ahead_p50_1e8": Meaning("Fill quality", "Queue ahead, median", 8, "base", "The same, median"),
    "markout_100ms_bps": Meaning(
        "Fill quality", "Markout 100 ms", 0, "bps", "Mid's move in our favour 100 ms after a fill"
    ),
    "markout_1s_bps": Meaning("Fill quality", "Markout 1 s", 0, "bps", "The same after 1 s"),
    "markout_10s_bps": Meaning("Fill quality", "Markout 10 s", 0, "bps", "The same after 10 s"),
    "hit_rate_100ms": Meaning("Fill quality", "Hit rate 100 ms", 0, "", "Share of fills in profit 100 ms later"),
    "hit_rate_1s": Meaning("Fill quality", "Hit rate 1 s", 0, "", "The same after 1 s"),
    "hit_rate_10s": Meaning("Fill quality", "Hit rate 10 s", 0, "", "The same after 10 s"),
    "adverse_share_100ms": Meaning(
        "Fill quality", "Adverse share 100 ms", 0, "", "Share of maker fills after which the mid moved against them"
    ),
    "adverse_share_1s": Meaning("Fill quality", "Adverse share 1 s", 0, "", "The same after 1 s"),
    "adverse_share_10s": Meaning("Fill quality", "Adverse share 10 s", 0, "", "The same after 10 s"),
    "callbacks": Meaning("Compute", "Callbacks", 0, "", "Times the algo was called"),
    "fuel_p50": Meaning(
        "Compute", "Fuel, median", 0, "fuel", "WASM instructions a callback uses; equal on every machine"
    ),
    "fuel_p99": Meaning("Compute", "Fuel, p99", 0, "fuel", "99 of 100 callbacks use at most this"),
    "fuel_max": Meaning("Compute", "Fuel, largest", 0, "fuel", "The most that one callback used"),
}
"""The metrics of a replay in the order in which a report shows them."""
