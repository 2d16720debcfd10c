"""The metrics of what a candidate is against an incumbent (shadow, live review), and how sure that is."""

from __future__ import annotations

from typing import Final

from evals.labels.meaning import Meaning

METRICS: Final[dict[str, Meaning]] = {
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
