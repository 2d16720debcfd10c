"""The models that a policy bundle cites: what does not fit its schema is found when the bundle is compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bundles.assignment import AssignmentModel
from bundles.manifests import AssignmentBundle, Bundle, SorBundle
from bundles.routing import ImpactModel, RoutingModel, read_model

if TYPE_CHECKING:
    from bundles.catalog import Catalog


def check_models(catalog: Catalog, manifest: Bundle) -> None:
    """Read every model that a bundle rests on; an algo rests on none.

    Raises:
        NotFoundError: if an artifact is not registered.
        InvalidInputError: if one holds no model of that kind.
        MalformedDocumentError: if a model does not fit its schema, naming artifact, file and field.

    """
    if isinstance(manifest, SorBundle):
        _check_routing(catalog, manifest.routing_model, manifest.impact_model)
    elif isinstance(manifest, AssignmentBundle):
        model = read_model(catalog, manifest.artifact, AssignmentModel)
        _check_routing(catalog, model.routing_model, model.impact_model)


def _check_routing(catalog: Catalog, routing: str, impact: str) -> None:
    read_model(catalog, routing, RoutingModel)
    read_model(catalog, impact, ImpactModel)
