"""The easiest settings that the shipped policy takes, for evaluations that tests write by hand."""

from __future__ import annotations

from typing import Any

from evals.engine.settings import ReplaySettings
from evals.routing.settings import FaultPlan, RoutingSettings
from evals.shadowing.settings import ShadowSettings

LATE_LOOK = 1_000
"""A look that claims less than any that a test counts."""


def easiest_settings(kind: str) -> dict[str, Any]:
    """Return settings that do for an evaluation of this kind, whatever the bundle."""
    edge = ShadowSettings() if kind == "shadow" else ReplaySettings()
    policy = {"routing": RoutingSettings().as_json(), "faults": FaultPlan().as_json()}
    return edge.as_json() | policy | {"look": LATE_LOOK}
