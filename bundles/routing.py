"""What a routing policy is made of: models as coefficients, each a document in the file of an artifact.

Coefficients are integers with their units in their names; 1 basis point is 100 ppm of price. What they do to an
execution is in `docs/routing.md`; nothing here computes with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal, Self, TypeVar

from pydantic import Field, model_validator

from bundles.assignment import AssignmentModel
from bundles.canonical import Document, Int64, Part, read_document
from bundles.errors import InvalidInputError, MalformedDocumentError
from bundles.manifests import Name

if TYPE_CHECKING:
    from bundles.catalog import Catalog

_Ppm = Annotated[int, Field(strict=True, ge=0, le=1_000_000)]
_Count = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
_Duration = Annotated[Int64, Field(ge=0, le=86_400_000_000_000)]
_Size = Annotated[Int64, Field(gt=0, le=10**18)]

RoutingVersion = Literal["V1", "V2", "V3"]

FROM_V2: Final = ("adverse_selection_ppm", "reject_ppm", "reject_cost_ppm", "venue_impact_ppm")
"""Coefficients of a venue that V1 has no term for, and that V2 and V3 cannot do without."""


class VenueCosts(Part):
    """What one venue is expected to cost a taker, beyond the price of the level."""

    venue: Name
    taker_fee_ppm: Annotated[int, Field(strict=True, ge=-100_000, le=100_000)] | None = None
    """The fee that decisions count with; None: that of the tape. Results are always charged with that of the tape."""
    latency_ns: _Duration
    """How long an order is expected to be on its way."""
    latency_risk_ppm_per_sqrt_ms: _Ppm
    """Times the square root of the latency in ms: how far the price may have gone meanwhile."""
    freshness_ppm_per_s: _Ppm
    """Times the age of the venue's book in s."""
    adverse_selection_ppm: _Ppm | None = None
    reject_ppm: _Ppm | None = None
    """The probability that an order is rejected, x 10^6."""
    reject_cost_ppm: _Ppm | None = None
    """What a rejected order costs; the penalty is this times its probability."""
    venue_impact_ppm: _Ppm | None = None
    """Times the share of the venue's displayed depth that the sweep has taken there already."""


class RoutingModel(Document):
    """How dear each level of each venue is thought to be.

    V1 counts book slippage, fees, latency risk and freshness; V2 adds adverse selection, reject penalty and venue
    impact; V3 is V2 with reject probability and latency corrected by what the run has shown so far.
    """

    FILE: ClassVar[str] = "routing-model.json"

    kind: Literal["routing-model"] = "routing-model"
    schema_version: Literal[1] = 1
    version: RoutingVersion
    max_book_age_ns: Annotated[Int64, Field(gt=0, le=86_400_000_000_000)]
    """Venues whose book is older are left out."""
    venues: Annotated[tuple[VenueCosts, ...], Field(min_length=1, max_length=64)]
    """In any order; ties are broken by the order of the datasets."""
    prior_orders: _Count | None = None
    """V3 only: as many observed orders weigh as much as the model's own figures."""

    @model_validator(mode="after")
    def _coefficients_of_its_version(self) -> Self:
        names = [each.venue for each in self.venues]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"venues: {twice} is there twice")
        for number, each in enumerate(self.venues):
            for name in FROM_V2:
                there = getattr(each, name) is not None
                if not there and self.version != "V1":
                    raise ValueError(f"venues.{number}.{name} of {each.venue} is missing; {self.version} needs it")
                if there and self.version == "V1":
                    raise ValueError(
                        f"venues.{number}.{name} of {each.venue}: V1 has no such term; remove it, or make this V2"
                    )
        if self.version == "V3" and self.prior_orders is None:
            raise ValueError("prior_orders is missing; V3 needs it")
        if self.version != "V3" and self.prior_orders is not None:
            raise ValueError(f"prior_orders: {self.version} does not learn; remove it, or make this V3")
        return self


class ImpactModel(Document):
    """How far a parent order is thought to move the market, by what of it was filled before.

    `square-root`: Y sigma sqrt(Q / V) (Torre 1997; Almgren, Thum, Hauptmann and Li 2005; Bouchaud 2010).
    `almgren-chriss`: permanent gamma, temporary eta and fixed epsilon (Almgren and Chriss 2000).
    """

    FILE: ClassVar[str] = "impact-model.json"

    kind: Literal["impact-model"] = "impact-model"
    schema_version: Literal[1] = 1
    form: Literal["square-root", "almgren-chriss"]
    daily_volume_1e8: _Size
    """V: what the whole market trades in a day."""
    half_life_ns: Annotated[Int64, Field(gt=0, le=86_400_000_000_000)] | None
    """How long until half of what decays has gone; null: nothing does."""
    coefficient_ppm: Annotated[int, Field(strict=True, ge=0, le=100_000_000)] | None = None
    """Y x 10^6, of the square-root form."""
    daily_volatility_ppm: Annotated[int, Field(strict=True, ge=0, le=10_000_000)] | None = None
    """sigma: of a day's return, of the square-root form."""
    permanent_ppm: Annotated[int, Field(strict=True, ge=0, le=100_000_000)] | None = None
    """gamma: how far the price stays moved after a whole day's volume."""
    temporary_ppm: Annotated[int, Field(strict=True, ge=0, le=100_000_000)] | None = None
    """eta: how far it is moved while trading at the pace of the whole market."""
    fixed_ppm: _Ppm | None = None
    """epsilon: what every fill costs once the parent has begun to trade."""

    @model_validator(mode="after")
    def _parameters_of_its_form(self) -> Self:
        forms = {
            "square-root": ("coefficient_ppm", "daily_volatility_ppm"),
            "almgren-chriss": ("permanent_ppm", "temporary_ppm", "fixed_ppm"),
        }
        for form, names in forms.items():
            for name in names:
                there = getattr(self, name) is not None
                if form == self.form and not there:
                    raise ValueError(f"{name} is missing; {self.form} needs it")
                if form != self.form and there:
                    raise ValueError(f"{name}: {self.form} has no such parameter; remove it")
        return self


Model = TypeVar("Model", RoutingModel, ImpactModel, AssignmentModel)


def read_model(catalog: Catalog, artifact_id: str, schema: type[Model]) -> Model:
    """Return the model that an artifact holds.

    Raises:
        NotFoundError: if there is no such artifact.
        InvalidInputError: if the artifact holds no such file.
        MalformedDocumentError: naming artifact, file and every field that does not fit.

    """
    files = catalog.artifact(artifact_id).files
    if schema.FILE not in files:
        there = ", ".join(sorted(files)) or "nothing"
        raise InvalidInputError(
            f"Artifact {artifact_id} holds no {schema.FILE}, only {there}. "
            f"Register an artifact with that file (docs/routing.md has its schema) and compile the bundle with it."
        )
    try:
        return read_document(
            schema, catalog.blob(files[schema.FILE].digest), f"{schema.FILE} of artifact {artifact_id}"
        )
    except MalformedDocumentError as error:
        raise MalformedDocumentError(
            f"{error}\nArtifacts never change: register the corrected file under another id and compile with that."
        ) from error
