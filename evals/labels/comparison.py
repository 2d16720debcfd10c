"""The metrics of what a candidate is against an incumbent (shadow, live review), and how sure that is."""

from __future__ import annotations

from typing import Final

from evals.labels.meaning import Meaning

_AGAINST: Final = "Against the incumbent"

METRICS: Final[dict[str, Meaning]] = {
    # What a candidate is against an incumbent, in shadow.
    "comparison": Meaning(
        _AGAINST, "Comparison", 0, "", "1 better, 0 not told apart, -1 worse, with 95 % confidence over all looks"
    ),
    "incumbent_by_ladder": Meaning(
        _AGAINST, "Incumbent of the ladder", 0, "", "1 if it holds the next rung; undefined if another was asked for"
    ),
    "pnl_diff_1e9": Meaning(_AGAINST, "P&L difference", 9, "ccy", "Candidate's net P&L less the incumbent's, exact"),
    "pnl_diff_bps": Meaning(_AGAINST, "P&L difference", 0, "bps", "The same, of the capital"),
    "detectable_diff_bps": Meaning(
        _AGAINST, "Detectable difference", 0, "bps", "A difference of this size is found nine times in ten"
    ),
    "compared_intervals": Meaning(_AGAINST, "Intervals", 0, "", "Intervals between equity samples that were compared"),
    "action_agreement": Meaning(
        _AGAINST, "Agreement of actions", 0, "", "Actions that both took alike, of those that either took"
    ),
    "inventory_overlap": Meaning(
        _AGAINST, "Overlap of inventory", 0, "", "Inventory that both held, of what either held, over samples"
    ),
    "incumbent_net_pnl_1e9": Meaning(_AGAINST, "Incumbent's net P&L", 9, "ccy", "Profit or loss after fees"),
    "incumbent_return_bps": Meaning(_AGAINST, "Incumbent's return", 0, "bps", "Net P&L over the capital"),
    "incumbent_max_drawdown_pct": Meaning(_AGAINST, "Incumbent's largest drawdown", 0, "%", "Of the capital"),
    "incumbent_sharpe": Meaning(_AGAINST, "Incumbent's Sharpe ratio", 0, "", "Annualised to 365 days"),
    "incumbent_fills": Meaning(_AGAINST, "Incumbent's fills", 0, "", "Executions, partial ones included"),
    "incumbent_risk_breaches": Meaning(
        _AGAINST, "Incumbent's risk breaches", 0, "", "Actions that the risk limits refused"
    ),
    "incumbent_traps": Meaning(_AGAINST, "Incumbent's traps", 0, "", "1 if it broke; then nothing is compared"),
    "incumbent_fuel_p99": Meaning(_AGAINST, "Incumbent's fuel, p99", 0, "fuel", "99 of 100 callbacks use at most this"),
    # How sure that is.
    "probabilistic_sharpe": Meaning(
        "Confidence", "Probabilistic Sharpe ratio", 0, "", "Probability that the true Sharpe ratio lies above zero"
    ),
    "deflated_sharpe": Meaning(
        "Confidence", "Deflated Sharpe ratio", 0, "", "The same above what the best of all trials shows by luck"
    ),
    "trials": Meaning("Confidence", "Trials", 0, "", "Bundles of the same lineage that were evaluated, this one too"),
    "min_track_s": Meaning(
        "Confidence", "Least track record", 0, "s", "Time that tells this Sharpe ratio from zero with 95 % confidence"
    ),
    "look": Meaning(
        "Confidence", "Look", 0, "", "The bundle's evaluations of this kind so far; bounds widen with each"
    ),
    "block_length": Meaning("Confidence", "Block length", 0, "intervals", "How far the bootstrap keeps neighbours"),
    "bootstrap_draws": Meaning("Confidence", "Draws", 0, "", "Times that the bootstrap drew the differences anew"),
}
"""In the order in which a report shows them."""
