"""Every metric of one run, by name, in a fixed order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from evals.engine.layout import (
    CANCELED,
    CROSSED_BOOK,
    EXPIRED,
    FILLED,
    OPEN,
    QUEUE_FRONT,
    TAKER,
    TRADE_THROUGH,
    Int64s,
    Records,
)
from evals.market.schema import Instrument
from evals.metrics.equity import EquitySums
from evals.metrics.fills import FillSums
from evals.metrics.histogram import quantile_bucket
from evals.metrics.orders import OrderSums
from evals.wasm.abi import AMEND, CANCEL, NEW, REJECT_CODES

Metric: TypeAlias = int | float | None


@dataclass(frozen=True, kw_only=True)
class RunTotals:
    """What the engine knows at the end of a run and no log says.

    ``fuel_counts`` are callbacks by bucket of fuel, ``fuel_of_bucket`` returns the least fuel of one. With several
    assets ``both_sides_ns`` is the time with resting orders on both sides of at least one, and ``at_touch_ns`` the
    sum over the two sides of the time at the touch of at least one; so an asset that the algo ignores changes nothing.
    """

    trapped: bool
    callbacks: int
    fuel_counts: Int64s
    fuel_of_bucket: Callable[[int], int]
    fuel_max: int
    duration_ns: int
    both_sides_ns: int
    at_touch_ns: int
    max_abs_position_1e8: int
    off_market_trades: int
    off_market_volume_1e8: int
    log_lines: int


class Metrics:
    """Takes the logs of a run piece by piece and returns its metrics at the end.

    The pieces may be cut anywhere (the equity log between samples) and must come in the order of the log; rows must
    have their last state. ``instruments`` are by asset index and settle in one currency.
    """

    def __init__(
        self, instruments: Sequence[Instrument], capital_1e9: int, equity_interval_ns: int = 1_000_000_000
    ) -> None:
        self._capital_1e9 = capital_1e9
        self._equity_interval_ns = equity_interval_ns
        self._fills = FillSums(instruments)
        self._orders = OrderSums()
        self._equity = EquitySums(len({instrument.symbol for instrument in instruments}))

    def add_fills(self, rows: Records) -> None:
        """Take rows of FILL_LOG, with the mids after the fill as far as the tape reaches."""
        self._fills.add(rows)

    def add_orders(self, rows: Records) -> None:
        """Take rows of ORDER_LOG."""
        self._orders.add(rows)

    def add_equity(self, rows: Records) -> None:
        """Take rows of EQUITY_LOG: a row for each symbol makes a sample.

        Raises:
            ValueError: if the rows are not whole samples.

        """
        self._equity.add(rows)

    def finish(self, totals: RunTotals) -> dict[str, Metric]:
        """Return every metric by name."""
        return (
            self._safety(totals)
            | self._activity(totals)
            | self._profit()
            | self._risk()
            | self._inventory(totals)
            | self._fill_quality()
            | _presence(totals)
            | _cost(totals)
        )

    def _safety(self, totals: RunTotals) -> dict[str, Metric]:
        """Traps, refusals and rejects, and what the tape printed far off the market.

        traps: 1 if the algo broke (trap, out of fuel, protocol error), else 0. risk_breaches: actions refused with a
        code of 100 or more, the platform's own risk checks. rejects: actions with any reject code. rejects_<code>: by
        code. off_market_trades, off_market_volume_1e8: trades of the tape too far from the mid to fill anything.
        log_lines: lines that the algo logged.
        """
        counts: dict[str, Metric] = {
            "traps": int(totals.trapped),
            "risk_breaches": self._orders.risk_breaches,
            "rejects": self._orders.all_rejects,
        }
        for code, name in REJECT_CODES.items():
            counts[f"rejects_{name}"] = self._orders.rejects(code)
        return counts | {
            "off_market_trades": totals.off_market_trades,
            "off_market_volume_1e8": totals.off_market_volume_1e8,
            "log_lines": totals.log_lines,
        }

    def _activity(self, totals: RunTotals) -> dict[str, Metric]:
        """Callbacks, orders and fills.

        orders, cancels, amends: actions of that kind, refused ones included. fills_<reason>: by why they happened.
        fill_ratio: orders filled completely / orders that reached an end or rest. cancel_ratio: orders cancelled by
        the algo / the same. order_to_trade: (orders + cancels + amends) / fills. order_lifetime_p50_ms: median time
        from an order's arrival to its end, of orders that rested and ended. volume_notional_1e9: sum over fills of
        |value|. turnover: volume / capital.
        """
        fills, orders = self._fills, self._orders
        placed = orders.placed(OPEN, FILLED, CANCELED, EXPIRED)
        lifetime_ns = orders.lifetimes_ns.quantile(50)
        return {
            "callbacks": totals.callbacks,
            "fills": fills.count,
            "maker_fills": fills.makers,
            "fills_queue_front": int(fills.by_reason[QUEUE_FRONT]),
            "fills_trade_through": int(fills.by_reason[TRADE_THROUGH]),
            "fills_crossed_book": int(fills.by_reason[CROSSED_BOOK]),
            "fills_taker": int(fills.by_reason[TAKER]),
            "orders": orders.actions(NEW),
            "cancels": orders.actions(CANCEL),
            "amends": orders.actions(AMEND),
            "fill_ratio": _ratio(orders.placed(FILLED), placed),
            "cancel_ratio": _ratio(orders.placed(CANCELED), placed),
            "order_to_trade": _ratio(sum(map(orders.actions, (NEW, CANCEL, AMEND))), fills.count),
            "order_lifetime_p50_ms": None if lifetime_ns is None else lifetime_ns / 10**6,
            "volume_notional_1e9": fills.volume_1e9,
            "turnover": _ratio(fills.volume_1e9, self._capital_1e9),
        }

    def _profit(self) -> dict[str, Metric]:
        """Where the result came from.

        net_pnl_1e9: the last equity sample; a run starts with nothing. gross_pnl_1e9: net + fees. spread_pnl_1e9: sum
        over fills of side * (value at the mid then - value at the fill's price), what was earned against the mid.
        inventory_pnl_1e9: gross - spread, what the position earned as the mid moved. fees_1e9: paid, less rebates.
        cost_share: fees / gross, None unless gross is a profit. return_bps: net / capital * 10^4. pnl_per_volume_bps:
        net / volume * 10^4.
        """
        net, fees = self._equity.equity_1e9, self._equity.fees_1e9
        gross, spread = net + fees, self._fills.spread_1e9
        return {
            "net_pnl_1e9": net,
            "gross_pnl_1e9": gross,
            "spread_pnl_1e9": spread,
            "inventory_pnl_1e9": gross - spread,
            "fees_1e9": fees,
            "cost_share": fees / gross if gross > 0 else None,
            "return_bps": net / self._capital_1e9 * 10_000,
            "pnl_per_volume_bps": _bps(net, self._fills.volume_1e9),
        }

    def _risk(self) -> dict[str, Metric]:
        """Drawdown and Sharpe ratio, from the equity samples.

        max_drawdown_1e9: largest fall of equity below its highest value so far (or its start, 0). max_drawdown_pct:
        that / capital * 100. time_in_drawdown: share of the samples below that highest value. sharpe: mean / standard
        deviation of the changes between samples, annualised by sqrt(365 days / interval); None without variance.
        """
        equity = self._equity
        return {
            "max_drawdown_1e9": equity.drawdown_1e9,
            "max_drawdown_pct": equity.drawdown_1e9 / self._capital_1e9 * 100,
            "time_in_drawdown": _ratio(equity.below_peak, equity.samples),
            "sharpe": equity.sharpe(self._equity_interval_ns),
        }

    def _inventory(self, totals: RunTotals) -> dict[str, Metric]:
        """Positions and their value.

        max_abs_position_1e8: over every fill. mean_abs_position_1e8, mean_position_1e8: over the samples, rounded
        towards zero; of several symbols the sum. time_long, time_short, time_flat: share of the samples in which any
        symbol is long, any is short, none is either. position_flips: how often a symbol's position came to the other
        side of zero, over every fill. mean_exposure_1e9, max_exposure_1e9: over the samples, sum of the absolute
        values of the positions.
        """
        equity = self._equity
        return {
            "max_abs_position_1e8": totals.max_abs_position_1e8,
            "mean_abs_position_1e8": _mean(equity.abs_positions_1e8, equity.samples),
            "mean_position_1e8": _mean(equity.positions_1e8, equity.samples),
            "final_position_1e8": equity.position_1e8,
            "mean_exposure_1e9": _mean(equity.exposures_1e9, equity.samples),
            "max_exposure_1e9": equity.exposure_1e9,
            "time_long": _ratio(equity.long, equity.samples),
            "time_short": _ratio(equity.short, equity.samples),
            "time_flat": _ratio(equity.flat, equity.samples),
            "position_flips": self._fills.sign_flips,
        }

    def _fill_quality(self) -> dict[str, Metric]:
        """Queues ahead of fills and what happened after them.

        queue_ahead_mean_1e8, queue_ahead_p50_1e8: what stood ahead just before a maker fill. markout_<h>_bps: sum over
        fills of side * (mid after h - price) * quantity over the sum of price * quantity, x 10^4; positive is good for
        the algo; the realised half-spread of Huang and Stoll (1996). hit_rate_<h>: share of the fills with a positive
        markout. adverse_share_<h>: share of the maker fills after which the mid moved against them, mid to mid. Fills
        whose horizon lies beyond the tape are left out, None if all are.
        """
        fills = self._fills
        metrics: dict[str, Metric] = {
            "queue_ahead_mean_1e8": fills.ahead_1e8 // fills.makers if fills.makers else None,
            "queue_ahead_p50_1e8": fills.aheads.quantile(50),
        }
        for horizon, markout in fills.markouts.items():
            metrics[f"markout_{horizon}_bps"] = _bps(markout.moved, markout.traded)
        for horizon, markout in fills.markouts.items():
            metrics[f"hit_rate_{horizon}"] = _ratio(markout.hits, markout.known)
        for horizon, markout in fills.markouts.items():
            metrics[f"adverse_share_{horizon}"] = _ratio(markout.adverse, markout.known_makers)
        return metrics


def _presence(totals: RunTotals) -> dict[str, Metric]:
    """Quoting.

    quote_uptime: share of the time with a resting order on both sides. time_at_touch: share of the time at the best
    price or better, mean of both sides.
    """
    return {
        "quote_uptime": totals.both_sides_ns / totals.duration_ns if totals.duration_ns else 0.0,
        "time_at_touch": totals.at_touch_ns / (2 * totals.duration_ns) if totals.duration_ns else 0.0,
    }


def _cost(totals: RunTotals) -> dict[str, Metric]:
    """Compute cost of a callback in wasmtime's fuel: the same on every machine.

    fuel_p50, fuel_p99: the least value that so many of the callbacks do not exceed, exact below 16,384 and rounded
    down by less than 1/8192 above. fuel_max: exact.
    """
    buckets = {percent: quantile_bucket(totals.fuel_counts, percent) for percent in (50, 99)}
    return {
        **{f"fuel_p{p}": 0 if bucket is None else totals.fuel_of_bucket(bucket) for p, bucket in buckets.items()},
        "fuel_max": totals.fuel_max,
    }


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _bps(part: int, whole: int) -> float | None:
    return part / whole * 10_000 if whole else None


def _mean(total: int, count: int) -> int:
    """Return the mean rounded towards zero; 0 of nothing."""
    return abs(total) // count * (1 if total >= 0 else -1) if count else 0
