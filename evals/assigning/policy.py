"""An assignment policy with its models, and whether datasets and parent orders go with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bundles.assignment import AssignmentModel
from bundles.errors import InvalidInputError
from bundles.evidence import Dataset
from bundles.manifests import AssignmentBundle
from bundles.routing import ImpactModel, RoutingModel, read_model
from evals.parents.orders import ParentOrders
from evals.parents.report import refusals

if TYPE_CHECKING:
    from bundles.catalog import Catalog


@dataclass(frozen=True)
class Policy:
    """An assignment bundle with everything that its artifact leads to."""

    bundle: AssignmentBundle
    model: AssignmentModel
    routing: RoutingModel
    impact: ImpactModel

    @classmethod
    def of(cls, catalog: Catalog, bundle: str) -> Policy:
        """Read a policy.

        Raises:
            NotFoundError: if the bundle or an artifact is not registered.
            InvalidInputError: if it is a bundle of another kind, or a model does not fit its schema, by name.

        """
        manifest = catalog.bundle(bundle)
        if not isinstance(manifest, AssignmentBundle):
            raise InvalidInputError(
                f"{bundle} is a bundle of kind {manifest.kind}; only assignment bundles choose between edge and SOR."
            )
        model = read_model(catalog, manifest.artifact, AssignmentModel)
        return cls(
            manifest,
            model,
            read_model(catalog, model.routing_model, RoutingModel),
            read_model(catalog, model.impact_model, ImpactModel),
        )


def check_venues(policy: Policy, datasets: Sequence[Dataset]) -> None:
    """Refuse venues without tapes and tapes without coefficients."""
    if not datasets:
        raise InvalidInputError("No dataset is given. Name one for each venue that the policy knows.")
    venues = [each.venue for each in datasets]
    for each in datasets:
        if each.symbol != datasets[0].symbol:
            raise InvalidInputError(
                f"{datasets[0].dataset_id} is of {datasets[0].symbol}, {each.dataset_id} of {each.symbol}. An "
                "assignment is evaluated on one symbol."
            )
        if venues.count(each.venue) > 1:
            raise InvalidInputError(f"Two datasets are of {each.venue}. Give one dataset for each venue.")
    model, routing = policy.model, policy.routing
    known = [each.venue for each in routing.venues]
    if model.edge_venue not in venues:
        raise InvalidInputError(
            f"The edge venue {model.edge_venue} of artifact {policy.bundle.artifact} has no tape: the datasets are of "
            f"{', '.join(venues)}. Add a dataset of {model.edge_venue}."
        )
    for venue in known:
        if venue not in venues:
            raise InvalidInputError(
                f"Venue {venue} of routing model {model.routing_model} has no tape: the datasets are of "
                f"{', '.join(venues)}. Add a dataset of {venue}, or route by a model without it."
            )
    for venue in venues:
        if venue not in known:
            raise InvalidInputError(
                f"Venue {venue} has a dataset, but no coefficients in routing model {model.routing_model}, which knows "
                f"{', '.join(known)}. Leave the dataset out, or route by a model that has them."
            )


def check_window(parents: ParentOrders, datasets: Sequence[Dataset]) -> None:
    """Refuse parent orders that arrive before the tapes begin, or end after they do."""
    begins_ns = min(each.partitions[0].first_ns for each in datasets)
    ends_ns = max(each.partitions[-1].last_ns for each in datasets)
    reasons = refusals(parents, begins_ns, ends_ns)
    if reasons:
        raise InvalidInputError(" ".join(reasons))
