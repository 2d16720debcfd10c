"""How parent orders are executed, and which faults a sandbox injects. Part of an evaluation's inputs."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, model_validator

from bundles.canonical import Document, Int64
from bundles.manifests import Name

_Ppm = Annotated[int, Field(strict=True, ge=0, le=1_000_000)]
_Latency = Annotated[Int64, Field(ge=0, le=60_000_000_000)]
_Window = Annotated[Int64, Field(ge=1_000_000, le=3_600_000_000_000)]


class RoutingSettings(Document):
    """How parent orders are sliced, sent and measured."""

    slices: Annotated[int, Field(strict=True, ge=1, le=1_000)] = 10
    """Most slices of a parent; they are spread evenly over its horizon."""
    interval_ns: Annotated[Int64, Field(ge=1_000_000, le=86_400_000_000_000)] = 1_000_000_000
    """Slices are at least so far apart; also how far back `pov` looks before a parent that is one slice."""
    participation_ppm: Annotated[int, Field(strict=True, ge=1, le=1_000_000)] = 100_000
    """The share of the market's volume that `pov` takes of parents that name none."""
    curve_bin_s: Annotated[int, Field(strict=True, ge=1, le=86_400)] = 300
    """Width of the bins of `vwap`'s curve of volume; divides a day."""
    market_age_ns: Annotated[Int64, Field(gt=0, le=86_400_000_000_000)] = 10_000_000_000
    """A book of which nothing was heard for so long is no longer part of the market's mid."""
    latency_ns: _Latency = 5_000_000
    """Sandbox: how long an order is on its way."""
    venue_latency_ns: dict[Name, _Latency] = Field(default_factory=dict)
    """Sandbox: the same for single venues."""
    control_version: Literal["V1", "V2"] | None = None
    """An earlier version by whose terms a share of the parents is routed, for comparison."""
    control_ppm: _Ppm = 0
    """That share x 10^6."""
    split_salt: Annotated[str, Field(max_length=64)] = ""
    """Another salt, another choice of parents."""

    @model_validator(mode="after")
    def _goes_together(self) -> Self:
        if 86_400 % self.curve_bin_s:
            raise ValueError(f"curve_bin_s: {self.curve_bin_s} does not divide a day of 86400 s")
        if (self.control_version is None) != (self.control_ppm == 0):
            raise ValueError("control_version and control_ppm: give both or neither")
        return self

    def as_json(self) -> dict[str, JsonValue]:
        """Return the settings as they stand in an evaluation's inputs."""
        document: dict[str, JsonValue] = self.model_dump(mode="json")
        return document


class FaultPlan(Document):
    """What goes wrong in a sandbox, and how often: drawn from the run's seed, the parent's id and the venue's name."""

    reject_ppm: _Ppm = 10_000
    """Share of children that the venue rejects."""
    partial_fill_ppm: _Ppm = 20_000
    """Share of children that get only a part, drawn evenly, of what they could take; their rest is cancelled."""
    stale_ppm: _Ppm = 10_000
    """Share of the windows in which the router's view of a venue freezes."""
    stale_ns: _Window = 2_000_000_000
    """Length of these windows."""
    burst_ppm: _Ppm = 10_000
    """Share of the stretches in which everything to a venue takes longer."""
    burst_ns: _Window = 1_000_000_000
    """Length of these stretches."""
    burst_factor: Annotated[int, Field(strict=True, ge=1, le=1_000)] = 10

    def as_json(self) -> dict[str, JsonValue]:
        """Return the plan as it stands in an evaluation's inputs."""
        document: dict[str, JsonValue] = self.model_dump(mode="json")
        return document
