"""The metrics of a routing policy's execution of parent orders."""

from __future__ import annotations

from typing import Final

from evals.labels.meaning import Meaning

METRICS: Final[dict[str, Meaning]] = {}
"""In the order in which a report shows them."""
