"""The four bundles of the demo and the rungs that each tries."""

from __future__ import annotations

import json
import time
from typing import Any, Final

from sequence.demo.climbing import Outcome, Place, Rung, climb
from sequence.demo.market import VENUES, Market
from sequence.demo.people import AUTHOR
from sequence.demo.telling import progress

ROUTING_MODEL: Final = {
    "kind": "routing-model",
    "schema_version": 1,
    "version": "V2",
    "max_book_age_ns": "5000000000",
    "venues": [
        {
            "venue": venue,
            "latency_ns": "5000000",
            "latency_risk_ppm_per_sqrt_ms": 1,
            "freshness_ppm_per_s": 2,
            "adverse_selection_ppm": 5,
            "reject_ppm": 10_000,
            "reject_cost_ppm": 100,
            "venue_impact_ppm": 10,
        }
        for venue in VENUES
    ],
}
IMPACT_MODEL: Final = {
    "kind": "impact-model",
    "schema_version": 1,
    "form": "square-root",
    "daily_volume_1e8": str(20_000 * 10**8),
    "half_life_ns": "60000000000",
    "coefficient_ppm": 700_000,
    "daily_volatility_ppm": 30_000,
}
ASSIGNMENT_MODEL: Final = {
    "kind": "assignment-model",
    "schema_version": 1,
    "edge_venue": "beta",
    "edge_latency_ns": "1000000",
    "max_venue_age_ns": "5000000000",
    "routing_model": "art_demo_routing",
    "impact_model": "art_demo_impact",
    "slicing_policy": "twap",
}


def climb_algo(place: Place, name: str, market: Market) -> Outcome:
    """Build an algo of the output folder; replay on the real sample, shadow on the synthetic hour."""
    from flows.build import build_bundle
    from flows.replay import replay_evaluation
    from flows.shadow import shadow_evaluation

    place.catalog.register_artifact(f"art_{name}", {"notes.md": f"# {name}\n\nMade by the demo.\n".encode()})
    progress(f"{name}: flow build-bundle")
    bundle = build_bundle(
        project=str(place.out / name), artifact=f"art_{name}", author=AUTHOR, store=place.store
    ).bundle_id
    data, store = str(place.data), place.store
    rungs = (
        Rung("replay", "replay", lambda: replay_evaluation(bundle, market.sample, data=data, store=store)),
        Rung("shadow", "shadow", lambda: shadow_evaluation(bundle, market.hour, data=data, store=store)),
    )
    return climb(place, name, bundle, rungs)


def climb_routing(place: Place, market: Market) -> Outcome:
    """Compile a routing policy from its models; it executes the parent orders over all venues."""
    from bundles.compile import compile_sor

    _register(place, "art_demo_routing", "routing-model.json", ROUTING_MODEL)
    _register(place, "art_demo_impact", "impact-model.json", IMPACT_MODEL)
    bundle = compile_sor(routing_model="art_demo_routing", impact_model="art_demo_impact", slicing_policy="twap")
    place.catalog.register_bundle(bundle, author=AUTHOR, now_ns=time.time_ns())
    return _climb_policy(place, "routing", bundle.bundle_id, market)


def climb_assignment(place: Place, market: Market) -> Outcome:
    """Compile an assignment policy: small orders to one venue's edge, large ones to the routing policy."""
    from bundles.compile import compile_assignment

    _register(place, "art_demo_assignment", "assignment-model.json", ASSIGNMENT_MODEL)
    bundle = compile_assignment(
        artifact="art_demo_assignment", edge_threshold_1e9=10**12, sor_threshold_1e9=3 * 10**12, min_venues=2
    )
    place.catalog.register_bundle(bundle, author=AUTHOR, now_ns=time.time_ns())
    return _climb_policy(place, "assignment", bundle.bundle_id, market)


def _climb_policy(place: Place, name: str, bundle: str, market: Market) -> Outcome:
    from flows.policies import policy_evaluation

    given: dict[str, Any] = {
        "bundle": bundle,
        "datasets": list(market.venues),
        "parents": str(market.parents),
        "data": str(place.data),
        "store": place.store,
    }
    rungs = (
        Rung("replay", "replay", lambda: policy_evaluation(kind="replay", **given)),
        Rung("sandbox", "sandbox", lambda: policy_evaluation(kind="sandbox", **given)),
    )
    return climb(place, name, bundle, rungs)


def _register(place: Place, artifact: str, file: str, model: dict[str, Any]) -> None:
    place.catalog.register_artifact(artifact, {file: json.dumps(model, indent=2).encode()})
