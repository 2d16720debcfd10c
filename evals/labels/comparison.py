"""The metrics of what a candidate is against an incumbent (shadow, live review), and how sure that is."""

from __future__ import annotations

from typing import Final

from evals.labels.meaning import Meaning

METRICS: Final[dict[str, Meaning]] = {}
"""In the order in which a report shows them."""
