"""What an assignment policy needs to know beside its thresholds: the two routes that it chooses between."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from bundles.canonical import Document, Int64
from bundles.manifests import ArtifactId, Name, SlicingPolicy


class AssignmentModel(Document):
    """The edge route and the SOR route of an assignment policy; `docs/assignment.md` says how they are chosen between.

    The file `assignment-model.json` of the artifact that an assignment bundle cites.
    """

    FILE: ClassVar[str] = "assignment-model.json"

    kind: Literal["assignment-model"] = "assignment-model"
    schema_version: Literal[1] = 1
    edge_venue: Name
    """The home venue: where the edge sends what is assigned to it."""
    edge_latency_ns: Annotated[Int64, Field(ge=0, le=60_000_000_000)]
    """How long an order of the edge is on its way to the home venue."""
    max_venue_age_ns: Annotated[Int64, Field(gt=0, le=86_400_000_000_000)]
    """A venue is live while its book was updated at most so long ago."""
    routing_model: ArtifactId
    impact_model: ArtifactId
    slicing_policy: SlicingPolicy
    """How the SOR route slices."""
    edge_slicing: SlicingPolicy = "immediate"
    """How the edge route slices."""
    sor_margin_ppm: Annotated[int, Field(strict=True, ge=0, le=1_000_000)] = 0
    """By how much of the notional the SOR route must be estimated cheaper before it is taken within the band."""
