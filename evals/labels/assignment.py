"""The metrics of an assignment policy against always-edge, always-SOR and the better of both."""

from __future__ import annotations

from typing import Final

from evals.labels.meaning import Meaning

METRICS: Final[dict[str, Meaning]] = {}
"""In the order in which a report shows them."""
