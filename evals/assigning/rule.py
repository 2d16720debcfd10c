"""The rule that sends a parent order to the edge or to smart order routing. Pure, exact, and complete.

Read from the top, the first line that fits decides:

* no venue is live: edge, `too_few_venues` (nothing tells the notional);
* the notional lies below the edge threshold: edge, `below_edge_threshold`;
* fewer venues are live than the policy asks for: edge, `too_few_venues`;
* the notional is at or above the SOR threshold: SOR, `at_or_above_sor_threshold`;
* and in the band between the two thresholds:

  * the home venue is not live: SOR, `band_edge_not_live`;
  * the home book fills less than all live books together: SOR, `band_sor_deeper`;
  * the edge is estimated cheaper than SOR and its margin: edge, `band_edge_cheaper`;
  * both are estimated equal: edge, `band_tie`;
  * otherwise: SOR, `band_sor_cheaper`.

A notional equal to the edge threshold is in the band; with equal thresholds there is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from bundles.manifests import AssignmentBundle


class Reason(IntEnum):
    """Why a parent order went where it went; the number is what the record holds."""

    BELOW_EDGE_THRESHOLD = 0
    TOO_FEW_VENUES = 1
    AT_OR_ABOVE_SOR_THRESHOLD = 2
    BAND_EDGE_CHEAPER = 3
    BAND_TIE = 4
    BAND_SOR_CHEAPER = 5
    BAND_SOR_DEEPER = 6
    BAND_EDGE_NOT_LIVE = 7

    @property
    def label(self) -> str:
        """The name in metrics and documents."""
        return self.name.lower()

    @property
    def to_sor(self) -> bool:
        """Where it leads."""
        return self in _TO_SOR


_TO_SOR = frozenset(
    {Reason.AT_OR_ABOVE_SOR_THRESHOLD, Reason.BAND_SOR_CHEAPER, Reason.BAND_SOR_DEEPER, Reason.BAND_EDGE_NOT_LIVE}
)


@dataclass(frozen=True)
class Thresholds:
    """The figures of an assignment bundle."""

    edge_1e9: int
    sor_1e9: int
    min_venues: int

    @classmethod
    def of(cls, bundle: AssignmentBundle) -> Thresholds:
        """Return those of a bundle, whose manifest has them in order."""
        return cls(bundle.edge_threshold_1e9, bundle.sor_threshold_1e9, bundle.min_venues)


@dataclass(frozen=True)
class Estimate:
    """What a route is estimated to fill and to cost at arrival. Costs are exact, in units of 10^-23 of money."""

    filled_1e8: int
    cost_1e23: int

    @property
    def cost_1e9(self) -> int:
        """The cost as money x 10^9, rounded up."""
        return -(-self.cost_1e23 // 10**14)


@dataclass(frozen=True)
class Situation:
    """What is known of a parent order at its arrival."""

    notional_1e9: int
    live_venues: int
    edge: Estimate | None
    """None: the home venue is not live."""
    sor: Estimate
    margin_1e23: int = 0
    """By how much SOR must be cheaper, in the units of the estimates."""


def decide(situation: Situation, thresholds: Thresholds) -> Reason:
    """Return where a parent order goes, and why."""
    if situation.live_venues == 0:
        return Reason.TOO_FEW_VENUES
    if situation.notional_1e9 < thresholds.edge_1e9:
        return Reason.BELOW_EDGE_THRESHOLD
    if situation.live_venues < thresholds.min_venues:
        return Reason.TOO_FEW_VENUES
    if situation.notional_1e9 >= thresholds.sor_1e9:
        return Reason.AT_OR_ABOVE_SOR_THRESHOLD
    if situation.edge is None:
        return Reason.BAND_EDGE_NOT_LIVE
    if situation.edge.filled_1e8 < situation.sor.filled_1e8:
        return Reason.BAND_SOR_DEEPER
    edge, sor = situation.edge.cost_1e23, situation.sor.cost_1e23 + situation.margin_1e23
    if edge < sor:
        return Reason.BAND_EDGE_CHEAPER
    return Reason.BAND_TIE if edge == sor else Reason.BAND_SOR_CHEAPER
