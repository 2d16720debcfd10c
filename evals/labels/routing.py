"""The metrics of a routing policy's execution of parent orders."""

from __future__ import annotations

from typing import Final

from evals.labels.meaning import Meaning, with_quantiles

_MEANS: Final[dict[str, Meaning]] = {
    "implementation_shortfall_bps": Meaning(
        "Cost", "Implementation shortfall", 0, "bps", "Cost against the mid at arrival, unfilled rests included"
    ),
    "spread_cost_bps": Meaning("Cost", "… spread", 0, "bps", "From the mid to the best price of the venue"),
    "market_impact_bps": Meaning(
        "Cost", "… market impact", 0, "bps", "Beyond the best price, and what the impact model charges"
    ),
    "fees_bps": Meaning("Cost", "… fees", 0, "bps", "The venues' fees"),
    "delay_cost_bps": Meaning("Cost", "… delay", 0, "bps", "The mid's move from the arrival to the fills"),
    "opportunity_cost_bps": Meaning("Cost", "… opportunity", 0, "bps", "The mid's move, on what was not filled"),
    "savings_vs_arrival_bps": Meaning(
        "Savings", "Against arrival", 0, "bps", "What was filled, at the mid at arrival and without fees"
    ),
    "savings_vs_twap_bps": Meaning("Savings", "Against TWAP", 0, "bps", "The same at the mean mid over the horizon"),
    "savings_vs_vwap_bps": Meaning(
        "Savings", "Against VWAP", 0, "bps", "The same at the mean price of all trades over the horizon"
    ),
    "savings_vs_best_venue_bps": Meaning(
        "Savings", "Against the best venue", 0, "bps", "The same slices on the venue cheapest in hindsight"
    ),
    "savings_vs_oracle_bps": Meaning(
        "Savings", "Against the oracle", 0, "bps", "The least that the fills could have cost; never above zero"
    ),
}

_COUNTS: Final[dict[str, Meaning]] = {
    "parents": Meaning("Orders", "Parent orders", 0, "", "Orders that were executed"),
    "parents_filled": Meaning("Orders", "… filled completely", 0, "", "Of them, those without a rest"),
    "children": Meaning("Orders", "Children", 0, "", "Orders sent to venues"),
    "partial_fills": Meaning("Orders", "Partial fills", 0, "", "Children that got something, but not all"),
    "stale_venues": Meaning(
        "Orders", "Stale venues", 0, "", "Times a venue was left out: its book old, crossed or empty"
    ),
}


METRICS: Final[dict[str, Meaning]] = with_quantiles(_MEANS) | _COUNTS
"""In the order in which a report shows them."""
