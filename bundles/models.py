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


def model_digests(catalog: Catalog, manifest: Bundle) -> dict[str, str]:
    """Return the digests of the files with the models that a bundle rests on, by what they are; an algo has none.

    A manifest names artifacts only: what an evaluation was made with, its inputs say by these.
    """
    found: dict[str, tuple[str, str]] = {}
    if isinstance(manifest, AssignmentBundle):
        found["assignment_model"] = (manifest.artifact, AssignmentModel.FILE)
        model = read_model(catalog, manifest.artifact, AssignmentModel)
        named = (model.routing_model, model.impact_model)
    elif isinstance(manifest, SorBundle):
        named = (manifest.routing_model, manifest.impact_model)
    else:
        return {}
    found["routing_model"] = (named[0], RoutingModel.FILE)
    found["impact_model"] = (named[1], ImpactModel.FILE)
    return {what: catalog.artifact(artifact).files[file].digest for what, (artifact, file) in found.items()}
