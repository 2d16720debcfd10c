"""The metrics of an assignment policy against always-edge, always-SOR and the better of both."""

from __future__ import annotations

from typing import Final

from evals.labels.meaning import Meaning, with_quantiles

_RULE: Final = "Assignment"
_CHOICE: Final = "Choice"

_WORTH: Final[dict[str, Meaning]] = {
    "regret_bps": Meaning(
        _CHOICE, "Regret", 0, "bps", "What the better route of each order would have saved; of the notional at arrival"
    ),
    "savings_vs_edge_bps": Meaning(
        _CHOICE, "Saved against always-edge", 0, "bps", "Cost of sending all to the edge, less the cost as assigned"
    ),
    "savings_vs_sor_bps": Meaning(
        _CHOICE, "Saved against always-SOR", 0, "bps", "Cost of sending all to SOR, less the cost as assigned"
    ),
}
_OTHERS: Final[dict[str, Meaning]] = {
    "cost_bps": Meaning(
        _CHOICE, "Cost", 0, "bps", "Shortfall, and what completing the rests would have taken, as assigned"
    ),
    "edge_cost_bps": Meaning(_CHOICE, "Cost of always-edge", 0, "bps", "The same if all had gone to the edge"),
    "sor_cost_bps": Meaning(_CHOICE, "Cost of always-SOR", 0, "bps", "The same if all had gone to SOR"),
    "edge_fill_ratio": Meaning(_CHOICE, "Filled by always-edge", 0, "", "By notional at arrival"),
    "sor_fill_ratio": Meaning(_CHOICE, "Filled by always-SOR", 0, "", "By notional at arrival"),
    "worse_choices": Meaning(
        _CHOICE, "Dearer choices", 0, "orders", "Orders that the other route would have cost less"
    ),
    "regret_1e9": Meaning(_CHOICE, "Regret", 9, "ccy", "The same as money"),
    "savings_vs_edge_1e9": Meaning(_CHOICE, "Saved against always-edge", 9, "ccy", "The same as money"),
    "savings_vs_sor_1e9": Meaning(_CHOICE, "Saved against always-SOR", 9, "ccy", "The same as money"),
    # Where the orders went, and why.
    "sent_to_edge": Meaning(_RULE, "Sent to the edge", 0, "orders", "Parent orders assigned to the edge"),
    "sent_to_sor": Meaning(_RULE, "Sent to SOR", 0, "orders", "Parent orders assigned to smart order routing"),
    "assigned_below_edge_threshold": Meaning(_RULE, "Edge: small", 0, "orders", "Notional below the edge threshold"),
    "assigned_too_few_venues": Meaning(_RULE, "Edge: few venues", 0, "orders", "Fewer live venues than asked for"),
    "assigned_at_or_above_sor_threshold": Meaning(
        _RULE, "SOR: large", 0, "orders", "Notional at or above the SOR threshold, enough live venues"
    ),
    "assigned_band_edge_cheaper": Meaning(
        _RULE, "Edge: cheaper", 0, "orders", "Between the thresholds, the edge estimated cheaper"
    ),
    "assigned_band_tie": Meaning(_RULE, "Edge: tie", 0, "orders", "Between the thresholds, both estimated equal"),
    "assigned_band_sor_cheaper": Meaning(
        _RULE, "SOR: cheaper", 0, "orders", "Between the thresholds, SOR estimated cheaper"
    ),
    "assigned_band_sor_deeper": Meaning(
        _RULE, "SOR: deeper", 0, "orders", "Between the thresholds, the home book fills less than all books"
    ),
    "assigned_band_edge_not_live": Meaning(
        _RULE, "SOR: home not live", 0, "orders", "Between the thresholds, no live book of the home venue"
    ),
}

METRICS: Final[dict[str, Meaning]] = with_quantiles(_WORTH) | _OTHERS
"""In the order in which a report shows them."""
