"""Bad input is refused by name, and before anything runs: nothing is recorded then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundles.compile import compile_sor
from bundles.errors import InvalidInputError, LadderError, NotFoundError
from evals.parents.orders import PARENT, ParentOrders
from evals.parents.parquet import write_parents
from tests.evals.assignment.desk import IMPACT, MODEL, Desk, routing, still


@pytest.fixture(autouse=True)
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: Any, **__: Any) -> None:
        raise AssertionError("it ran")

    monkeypatch.setattr("evals.assigning.execution.assign_and_execute", run)


def one_order(arrival_s: int, symbol: str = "BTC-USD", horizon_s: int = 0) -> bytes:
    row = (arrival_s * 10**9, 10**8, 0, horizon_s * 10**9, 0, 1, 1)
    return write_parents(ParentOrders(symbol, ("p-1",), np.array([row], PARENT)), importer="test")


def refused(desk: Desk, bundle: str, message: str, error: type[LadderError] = InvalidInputError, **more: Any) -> None:
    with pytest.raises(error, match=message):
        desk.evaluate(bundle, **more)
    assert desk.catalog.evaluations() == []


def test_a_venue_without_a_tape(example: Desk) -> None:
    refused(
        example, example.policy(), "Venue beta of routing model art_routing has no tape", datasets=example.datasets[:1]
    )


def test_an_edge_venue_without_a_tape(example: Desk) -> None:
    example.artifact("art_far", "assignment-model.json", MODEL | {"edge_venue": "gamma"})
    refused(example, example.policy(artifact="art_far"), "edge venue gamma of artifact art_far has no tape")


def test_a_tape_without_coefficients(example: Desk) -> None:
    example.holds(still("gamma", 0, (99.0, 1), [(101.0, 1)]))
    refused(example, example.policy(), "gamma has a dataset, but no coefficients in routing model art_routing")


def test_two_tapes_of_one_venue_and_none(example: Desk) -> None:
    one, two = example.datasets
    refused(example, example.policy(), "Two datasets are of alpha", datasets=[one, one, two])
    refused(example, example.policy(), "No dataset is given", datasets=[])


def test_orders_outside_the_tapes(example: Desk) -> None:
    for arrival_s in (9, 21):
        refused(
            example,
            example.policy(),
            "1 parent orders arrive outside the tapes.*first is p-1",
            parents=one_order(arrival_s),
        )


def test_orders_that_end_after_the_tapes(example: Desk) -> None:
    late = one_order(15, horizon_s=6)
    refused(example, example.policy(), "1 parent orders work beyond the end of the tapes.*first is p-1", parents=late)


def test_orders_of_another_symbol(example: Desk) -> None:
    refused(
        example, example.policy(), "holds parent orders in ETH-USD, not in BTC-USD", parents=one_order(11, "ETH-USD")
    )


def test_no_orders_at_all(example: Desk, tmp_path: Path) -> None:
    refused(example, example.policy(), "not a readable parquet file", parents=b"nothing")
    refused(example, example.policy(), "nowhere", NotFoundError, parents=tmp_path / "nowhere.parquet")


def test_tapes_that_are_gone(example: Desk, tmp_path: Path) -> None:
    refused(example, example.policy(), "cannot be read", NotFoundError, data_root=tmp_path / "elsewhere")


def test_another_kind_of_bundle(example: Desk) -> None:
    sor = compile_sor(routing_model="art_routing", impact_model="art_impact")
    bundle = example.catalog.register_bundle(sor, author="quant", now_ns=1)
    refused(example, bundle, "is a bundle of kind sor; only assignment bundles")


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (
            {name: value for name, value in MODEL.items() if name != "edge_venue"},
            "edge_venue: required field is missing",
        ),
        (MODEL | {"max_venue_age_ns": 0}, "max_venue_age_ns: .* greater than 0"),
        (MODEL | {"edge_latency_ns": 1.5}, "edge_latency_ns"),
        (MODEL | {"slicing_policy": "sniper"}, "slicing_policy: .*'vwap'.*'immediate'"),
        (MODEL | {"fast": True}, "fast: unknown field"),
        (MODEL | {"schema_version": 2}, "schema_version"),
        (b'{"edge_latency_ns": NaN}', "assignment-model.json of artifact art_bad contains NaN"),
        (b"", "assignment-model.json of artifact art_bad is not JSON"),
    ],
)
def test_a_model_that_does_not_fit(example: Desk, document: dict[str, Any] | bytes, message: str) -> None:
    example.artifact("art_bad", "assignment-model.json", document)
    refused(example, example.policy(artifact="art_bad"), message)


@pytest.mark.parametrize("field", ["slicing_policy", "edge_slicing"])
def test_a_curve_of_volume_without_an_earlier_day(example: Desk, field: str) -> None:
    example.artifact("art_vwap", "assignment-model.json", MODEL | {field: "vwap"})
    refused(
        example,
        example.policy(artifact="art_vwap"),
        "vwap learns its curve of volume",
        parents=one_order(11, horizon_s=5),
    )


def test_an_artifact_without_a_model(example: Desk) -> None:
    example.artifact("art_notes", "NOTES.md", b"what we found")
    refused(example, example.policy(artifact="art_notes"), "art_notes holds no assignment-model.json, only NOTES.md")


@pytest.mark.parametrize("field", ["routing_model", "impact_model"])
def test_an_unknown_artifact(example: Desk, field: str) -> None:
    example.artifact("art_lost", "assignment-model.json", MODEL | {field: "art_nowhere"})
    refused(example, example.policy(artifact="art_lost"), "art_nowhere", NotFoundError)


def test_a_routing_or_impact_model_with_a_missing_coefficient_or_nan(example: Desk) -> None:
    venues = routing("alpha", "beta")
    del venues["venues"][1]["latency_ns"]
    example.artifact("art_torn", "routing-model.json", venues)
    example.artifact("art_nan", "impact-model.json", b'{"form": "square-root", "coefficient_ppm": NaN}')
    example.artifact("art_half", "impact-model.json", {k: v for k, v in IMPACT.items() if k != "coefficient_ppm"})
    for number, (model, message) in enumerate(
        (
            ({"routing_model": "art_torn"}, r"art_torn.*\n.*venues\.1\.latency_ns: required field is missing"),
            ({"impact_model": "art_nan"}, "art_nan contains NaN"),
            ({"impact_model": "art_half"}, "coefficient_ppm is missing"),
        )
    ):
        example.artifact(f"art_{number}", "assignment-model.json", MODEL | model)
        refused(example, example.policy(artifact=f"art_{number}"), message)
