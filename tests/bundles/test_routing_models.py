"""Models are coefficients, and one that is missing, unknown or not a number is refused by its name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bundles.catalog import Catalog
from bundles.errors import InvalidInputError, MalformedDocumentError
from bundles.routing import FROM_V2, ImpactModel, RoutingModel, read_model
from bundles.store import open_store

V1: dict[str, Any] = {
    "venue": "north",
    "latency_ns": "1000000",
    "latency_risk_ppm_per_sqrt_ms": 3,
    "freshness_ppm_per_s": 20,
}
V2 = V1 | dict.fromkeys(FROM_V2, 5)
ROOT = {"form": "square-root", "coefficient_ppm": 10**6, "daily_volatility_ppm": 20_000}
CHRISS = {"form": "almgren-chriss", "permanent_ppm": 1, "temporary_ppm": 2, "fixed_ppm": 3}
ANY = {"daily_volume_1e8": "100000000000", "half_life_ns": None}


def routing(version: str, *venues: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"version": version, "max_book_age_ns": "1000000000", "venues": list(venues)} | more


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(open_store((tmp_path / "store").as_uri()))


def registered(catalog: Catalog, schema: Any, content: Any) -> Any:
    given = content if isinstance(content, bytes) else json.dumps(content).encode()
    catalog.register_artifact("art_model", {schema.FILE: given})
    return read_model(catalog, "art_model", schema)


@pytest.mark.parametrize(
    ("schema", "content"),
    [
        (RoutingModel, routing("V1", V1)),
        (RoutingModel, routing("V2", V2)),
        (RoutingModel, routing("V3", V2 | {"taker_fee_ppm": -20}, prior_orders=50)),
        (ImpactModel, ROOT | ANY),
        (ImpactModel, CHRISS | ANY | {"half_life_ns": "5000000000"}),
    ],
)
def test_a_model_is_read_from_its_artifact(catalog: Catalog, schema: Any, content: dict[str, Any]) -> None:
    model = registered(catalog, schema, content)
    assert schema.model_validate_json(model.canonical()) == model


@pytest.mark.parametrize("name", [*FROM_V2, *list(V1)[1:]])
@pytest.mark.parametrize("version", ["V2", "V3"])
def test_a_missing_coefficient_is_named(catalog: Catalog, name: str, version: str) -> None:
    venue = {key: value for key, value in V2.items() if key != name}
    more = {"prior_orders": 9} if version == "V3" else {}
    with pytest.raises(MalformedDocumentError) as refused:
        registered(catalog, RoutingModel, routing(version, V2 | {"venue": "first"}, venue, **more))
    for part in ("art_model", "routing-model.json", f"venues.1.{name}", "missing"):
        assert part in str(refused.value)


@pytest.mark.parametrize("name", FROM_V2)
def test_v1_has_no_terms_of_v2(catalog: Catalog, name: str) -> None:
    with pytest.raises(MalformedDocumentError, match=rf"venues\.0\.{name}.*V1 has no such term"):
        registered(catalog, RoutingModel, routing("V1", V1 | {name: 0}))


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (routing("V1", V1 | {"latency_ns": float("nan")}), "NaN"),
        (routing("V1", V1 | {"freshness_ppm_per_s": 1.5}), "venues.0.freshness_ppm_per_s"),
        (routing("V1", V1 | {"freshness_ppm_per_s": True}), "venues.0.freshness_ppm_per_s"),
        (routing("V1", V1 | {"freshness_ppm_per_s": -1}), "venues.0.freshness_ppm_per_s"),
        (routing("V1", V1 | {"speed": 1}), "venues.0.speed"),
        (routing("V4", V1), "version"),
        (routing("V1", V1, V1), "north is there twice"),
        (routing("V1"), "venues"),
        (routing("V3", V2), "prior_orders is missing"),
        (routing("V2", V2, prior_orders=1), "V2 does not learn"),
        (routing("V2", V2 | {"reject_ppm": None}), "venues.0.reject_ppm"),
        (routing("V2", V2 | {"reject_ppm": 1_000_001}), "venues.0.reject_ppm"),
    ],
)
def test_what_is_no_routing_model_is_refused_by_name(catalog: Catalog, content: dict[str, Any], named: str) -> None:
    with pytest.raises(MalformedDocumentError, match="artifact art_model") as refused:
        registered(catalog, RoutingModel, content)
    assert named in str(refused.value)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({key: value for key, value in (ROOT | ANY).items() if key != "half_life_ns"}, "half_life_ns"),
        (ROOT | ANY | {"daily_volume_1e8": "0"}, "daily_volume_1e8"),
        (ROOT | ANY | {"fixed_ppm": 1}, "square-root has no such parameter"),
        ({key: value for key, value in (ROOT | ANY).items() if key != "coefficient_ppm"}, "coefficient_ppm is missing"),
        ({key: value for key, value in (CHRISS | ANY).items() if key != "fixed_ppm"}, "fixed_ppm is missing"),
        (ROOT | ANY | {"form": "linear"}, "form"),
    ],
)
def test_what_is_no_impact_model_is_refused_by_name(catalog: Catalog, content: dict[str, Any], named: str) -> None:
    with pytest.raises(MalformedDocumentError, match=r"impact-model\.json of artifact art_model") as refused:
        registered(catalog, ImpactModel, content)
    assert named in str(refused.value)


def test_an_artifact_without_the_file_says_what_it_holds(catalog: Catalog) -> None:
    catalog.register_artifact("art_notes", {"notes.md": b"why"})
    with pytest.raises(InvalidInputError, match=r"art_notes holds no routing-model\.json, only notes\.md"):
        read_model(catalog, "art_notes", RoutingModel)
