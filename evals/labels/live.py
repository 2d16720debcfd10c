"""The metrics of a deployment's recording against its replay twin."""

from __future__ import annotations

from typing import Final

from evals.labels.meaning import Meaning

METRICS: Final[dict[str, Meaning]] = {}
"""In the order in which a report shows them."""
