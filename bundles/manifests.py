"""What can be promoted: the three kinds of bundle and the research artifact they cite.

A manifest holds no clock, no path and no host name: the same inputs give the same bundle id, anywhere.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import ConfigDict, Field, StringConstraints, TypeAdapter, model_validator

from bundles.canonical import Digest, Document, Int64, Part, short_id
from bundles.mm_types import MmConfig, MmRiskLimits
from bundles.people import Note

ArtifactId = Annotated[str, StringConstraints(pattern=r"^art_[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
"""The name that the researcher gives; once bound to content it never changes."""

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]

SlicingPolicy = Literal["vwap", "twap", "pov", "immediate"]
"""Order slicing strategies that a routing bundle may name."""

Target = Literal["edge", "sor", "assignment"]
"""The three ladders; the kind of a bundle names its ladder."""


class BlobRef(Part):
    """A blob of the content-addressed store."""

    digest: Digest
    size_bytes: Annotated[int, Field(ge=0)]


class Artifact(Document):
    """Research output that a bundle cites: named files, notes, and the artifacts it grew out of."""

    kind: Literal["artifact"] = "artifact"
    schema_version: Literal[1] = 1
    id: ArtifactId
    note: Note = ""
    files: dict[str, BlobRef]
    parents: tuple[ArtifactId, ...] = ()


class Manifest(Document):
    """What the three kinds of bundle have in common."""

    @property
    def bundle_id(self) -> str:
        """``bun_`` and the first 16 hex digits of the manifest's digest."""
        return short_id("bun", self.digest())

    @property
    def label(self) -> str:
        """What lists show as the strategy: that of an algo, the kind of a policy."""
        return self.strategy if isinstance(self, EdgeBundle) else str(getattr(self, "kind", ""))

    @property
    def wasm_digest(self) -> str | None:
        """The digest of an algo's module; policies have none."""
        return self.wasm.digest if isinstance(self, EdgeBundle) else None


class EdgeBundle(Manifest):
    """A WASM algo with its configuration, its risk limits and the research it came from."""

    kind: Literal["edge"] = "edge"
    schema_version: Literal[1] = 1
    wasm: BlobRef
    sdk_abi: Name
    artifact: ArtifactId
    strategy: Name = "mm-pro"
    risk_version: Name = "v1"
    risk_limits: MmRiskLimits
    config: MmConfig

    @property
    def artifacts(self) -> tuple[str, ...]:
        """Ids of the artifacts that this bundle cites."""
        return (self.artifact,)


class SorBundle(Manifest):
    """A smart-order-routing policy: routing model, impact model and slicing."""

    kind: Literal["sor"] = "sor"
    schema_version: Literal[1] = 1
    routing_model: ArtifactId
    impact_model: ArtifactId
    slicing_policy: SlicingPolicy = "vwap"

    @property
    def artifacts(self) -> tuple[str, ...]:
        """Ids of the artifacts that this bundle cites."""
        return (self.routing_model, self.impact_model)


class AssignmentBundle(Manifest):
    """Edge-or-SOR routing thresholds (notional, scaled by 10^9)."""

    kind: Literal["assignment"] = "assignment"
    schema_version: Literal[1] = 1
    artifact: ArtifactId
    edge_threshold_1e9: Annotated[Int64, Field(gt=0)] = 1_000_000_000_000
    sor_threshold_1e9: Annotated[Int64, Field(gt=0)] = 1_000_000_000_000
    min_venues: Annotated[int, Field(ge=1, le=1000)] = 2

    @model_validator(mode="after")
    def _thresholds_in_order(self) -> AssignmentBundle:
        if self.edge_threshold_1e9 > self.sor_threshold_1e9:
            raise ValueError(
                f"edge threshold {self.edge_threshold_1e9} lies above the SOR threshold {self.sor_threshold_1e9}; "
                "an order between them would belong to both"
            )
        return self

    @property
    def artifacts(self) -> tuple[str, ...]:
        """Ids of the artifacts that this bundle cites."""
        return (self.artifact,)


Bundle: TypeAlias = EdgeBundle | SorBundle | AssignmentBundle
"""Any of the three kinds."""

BUNDLE: TypeAdapter[Bundle] = TypeAdapter(
    Annotated[Bundle, Field(discriminator="kind")], config=ConfigDict(defer_build=True)
)
"""Reads a manifest of whichever kind it says it is."""
