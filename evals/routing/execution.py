"""Execute parent orders over the tapes of several venues: by a routing model, an impact model and a slicing policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bundles.routing import ImpactModel, RoutingModel
from evals.market.source import TapeSource
from evals.parents.orders import ParentOrders
from evals.routing.settings import FaultPlan, RoutingSettings


@dataclass(frozen=True, eq=False)
class RoutingRun:
    """What an execution came to."""

    parents: NDArray[np.void]
    """Rows of PARENT_RESULT, in the order of the parents."""
    children: NDArray[np.void]
    """Rows of CHILD_FILL, in the order of time."""

    def digest(self) -> str:
        """Return ``sha256:<hex>`` over every column of both tables."""
        raise NotImplementedError


def execute_parents(
    parents: ParentOrders,
    tapes: Sequence[TapeSource],
    *,
    model: RoutingModel,
    impact: ImpactModel,
    slicing: str,
    settings: RoutingSettings,
    seed: int,
    faults: FaultPlan | None = None,
    only: Sequence[str] | None = None,
) -> RoutingRun:
    """Execute each parent as if it were the only one: replay, or with a fault plan (even one without faults) sandbox.

    ``tapes``: one for each venue; their order is that of ``venue`` in the children. ``only``: venues that may be used.

    Raises:
        InvalidInputError: for tapes, venues, parents or a slicing policy that do not go together, by name.

    """
    raise NotImplementedError
