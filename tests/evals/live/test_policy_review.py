"""A policy's recorded fills against its replay: the same, dearer, gapped, refused; for SOR and assignment alike."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from bundles.catalog import Catalog, ref_key
from bundles.errors import IntegrityError, InvalidInputError
from bundles.evidence import Evaluation
from bundles.manifests import AssignmentBundle, SorBundle
from bundles.runners import Runner
from bundles.store import open_store
from evals.assigning.execution import assign_and_execute
from evals.assigning.policy import Policy
from evals.engine.settings import ReplaySettings
from evals.evaluation import attest_evaluation, verify_evaluation
from evals.live_review import evaluate_live_review
from evals.market.synthetic import DEFAULT_INSTRUMENT, synthetic_tape
from evals.market.tape import Tape
from evals.parents.orders import PARENT, ParentOrders
from evals.parents.parquet import write_parents
from evals.recordings import schema
from evals.recordings.policies import settled
from evals.recordings.schema import DTYPES
from evals.recordings.writing import Recorder
from evals.routing.execution import execute_parents
from evals.routing.layout import PARENT_RESULT
from evals.routing.settings import RoutingSettings
from tests.evals.live.conftest import NOW_NS
from tests.evals.live.scrambling import COUNT as STEPS
from tests.evals.live.scrambling import events_after, joined, known, registered, rows_after, scrambled, until

ROUTING = {
    "kind": "routing-model",
    "schema_version": 1,
    "version": "V1",
    "max_book_age_ns": str(10**9),
    "venues": [
        {"venue": venue, "latency_ns": "0", "latency_risk_ppm_per_sqrt_ms": 0, "freshness_ppm_per_s": 0}
        for venue in ("alpha", "beta")
    ],
}
IMPACT = {
    "kind": "impact-model",
    "schema_version": 1,
    "form": "square-root",
    "daily_volume_1e8": str(10**12),
    "half_life_ns": None,
    "coefficient_ppm": 0,
    "daily_volatility_ppm": 0,
}
ASSIGNMENT = {
    "kind": "assignment-model",
    "schema_version": 1,
    "edge_venue": "alpha",
    "edge_latency_ns": "0",
    "max_venue_age_ns": str(10**9),
    "routing_model": "art_routing",
    "impact_model": "art_impact",
    "slicing_policy": "twap",
}
COUNT = 60
DECISIVE_1E8 = 1_659_000
"""Worth less than the thresholds at the markets' 60,000, and more where the scrambled ones go on."""
TICK_1E9 = DEFAULT_INSTRUMENT.tick_size_1e9


@dataclass(frozen=True, eq=False)
class Desk:
    catalog: Catalog
    data_root: Path
    tapes: list[Tape]
    datasets: list[str]
    parents: ParentOrders
    bundles: dict[str, str]

    def children(self, kind: str) -> tuple[Any, Any]:
        """Return the children that the policy's own replay has, as a recording's columns, and cost by parent."""
        if kind == "sor":
            run = self.run()
            found, cost = run.children, run.parents["shortfall_1e9"]
        else:
            policy = Policy.of(self.catalog, self.bundles[kind])
            done = assign_and_execute(
                policy, self.parents, self.tapes, settings=RoutingSettings(), faults=None, seed=42
            )
            to_sor = done.rows["to_sor"] == 1
            assert to_sor.any()
            assert not to_sor.all()
            found = np.concatenate(
                [
                    done.sor.children[to_sor[done.sor.children["parent"]]],
                    done.edge.children[~to_sor[done.edge.children["parent"]]],
                ]
            )
            cost = done.rows["shortfall_1e9"]
        found = found[found["qty_1e8"] > 0]
        found = found[np.argsort(found["filled_ns"], kind="stable")]
        columns = {name: found[name].copy() for name in ("parent", "venue", "px_1e9", "qty_1e8", "fee_1e9")}
        columns |= {"at_ns": found["filled_ns"].copy(), "side": self.parents.rows["side"][found["parent"]]}
        return columns, cost

    def run(self) -> Any:
        from bundles.routing import ImpactModel, RoutingModel

        return execute_parents(
            self.parents,
            self.tapes,
            model=RoutingModel.model_validate(ROUTING),
            impact=ImpactModel.model_validate(IMPACT),
            slicing="twap",
            settings=RoutingSettings(),
            seed=42,
        )

    def write(
        self,
        folder: Path,
        kind: str,
        children: dict[str, Any],
        events: Sequence[tuple[int, int]] = (),
        until_ns: int = 2**62,
        events_at: Sequence[tuple[int, int]] = (),
        **header: Any,
    ) -> Path:
        """Write a recording of the whole tapes; events are (second, kind) besides start, stop and heartbeats.

        ``events_at``: more of them, by ns since 1970.
        """
        facts: dict[str, Any] = {
            "deployment": "dep_policy",
            "bundle": self.catalog.bundle(self.bundles[kind]).digest(),
            "symbol": "BTC-USD",
            "venues": ("alpha", "beta"),
            "parents": write_parents(self.parents, importer="test"),
        }
        recorder = Recorder.policy(folder, **facts | header)
        recorder.extend("children", children)
        first = max(int(tape.events["receive_ns"][0]) for tape in self.tapes)
        last = min(until_ns, *(int(tape.events["receive_ns"][-1]) for tape in self.tapes))
        happened = [(first, schema.START), *((at, schema.HEARTBEAT) for at in range(first, last, 10**9))]
        happened += [(first + second * 10**9 + 5, each) for second, each in events]
        happened += events_at
        happened.append((last, schema.STOP))
        for at_ns, each in sorted(happened, key=lambda event: event[0]):
            recorder.append("events", at_ns=at_ns, kind=each, value=0)
        recorder.close()
        return folder

    def reviewed(self, kind: str, folder: Path, **changed: Any) -> Evaluation:
        arguments: dict[str, Any] = {
            "bundle": self.bundles[kind],
            "recording": folder,
            "dataset": self.datasets,
            "data_root": self.data_root,
            "runner": Runner("ci"),
            "now_ns": NOW_NS,
        }
        return evaluate_live_review(self.catalog, **arguments | changed)


@pytest.fixture(scope="session")
def tapes() -> list[Tape]:
    found = []
    for venue, seed, fee in (("alpha", 1, 500), ("beta", 2, 300)):
        instrument = DEFAULT_INSTRUMENT.model_copy(update={"venue": venue, "taker_fee_ppm": fee})
        found.append(synthetic_tape(seed, duration_s=90, instrument=instrument))
    return found


@pytest.fixture
def desk(tmp_path: Path, tapes: list[Tape]) -> Desk:
    catalog = Catalog(open_store((tmp_path / "store").as_uri()))
    datasets = [registered(catalog, tmp_path / "data", tape) for tape in tapes]
    for name, file, model in (
        ("art_routing", "routing-model.json", ROUTING),
        ("art_impact", "impact-model.json", IMPACT),
        ("art_assignment", "assignment-model.json", ASSIGNMENT),
    ):
        catalog.register_artifact(name, {file: json.dumps(model).encode()})
    manifests = {
        "sor": SorBundle(routing_model="art_routing", impact_model="art_impact", slicing_policy="twap"),
        "assignment": AssignmentBundle(artifact="art_assignment"),
    }
    bundles = {
        name: catalog.register_bundle(manifest, author="quant", now_ns=NOW_NS) for name, manifest in manifests.items()
    }
    random = np.random.Generator(np.random.PCG64(3))
    first = int(tapes[0].events["receive_ns"][0])
    rows = np.zeros(COUNT, PARENT)
    rows["arrival_ns"] = np.sort(first + 10**9 + random.integers(0, 80 * 10**9, COUNT))
    rows["qty_1e8"] = random.integers(1, 60, COUNT) * 100_000
    rows["horizon_ns"] = 2 * 10**9
    rows["side"] = random.choice([1, -1], COUNT)
    parents = ParentOrders("BTC-USD", tuple(f"p-{i:03}" for i in range(COUNT)), rows)
    return Desk(catalog, tmp_path / "data", tapes, datasets, parents, bundles)


both = pytest.mark.parametrize("kind", ["sor", "assignment"])


@both
def test_what_no_book_could_fill_is_no_drift(desk: Desk, tmp_path: Path, kind: str) -> None:
    rows = desk.parents.rows.copy()
    rows["qty_1e8"][::7] *= 500
    large = replace(desk, parents=ParentOrders("BTC-USD", desk.parents.ids, rows))
    children, cost = large.children(kind)
    found = large.reviewed(kind, large.write(tmp_path / "r", kind, children))
    assert found.metrics["fill_ratio"] == found.metrics["twin_fill_ratio"]
    assert found.metrics["fill_ratio"] < 0.9
    shown = output(large, found, "parents")
    assert shown["shortfall_1e9"].tolist() == cost.tolist() == shown["twin_shortfall_1e9"].tolist()
    assert found.metrics["shortfall_drift_bps"] == 0


def output(desk: Desk, evaluation: Evaluation, name: str) -> Any:
    return pq.read_table(io.BytesIO(desk.catalog.blob(evaluation.outputs[name].digest))).to_pandas()


@both
def test_a_replay_that_is_recorded_has_no_drift(desk: Desk, tmp_path: Path, kind: str) -> None:
    children, cost = desk.children(kind)
    found = desk.reviewed(kind, desk.write(tmp_path / "r", kind, children))
    metrics = found.metrics
    assert found.status == "completed", found.status_detail
    assert metrics["recording_gaps"] == 0, found.status_detail
    for name in ("shortfall_drift_bps", "shortfall_drift_bps_lower95", "shortfall_drift_bps_upper99", "comparison"):
        assert metrics[name] == 0, name
    rows = output(desk, found, "parents")
    assert rows["shortfall_1e9"].tolist() == cost.tolist() == rows["twin_shortfall_1e9"].tolist()
    assert (rows["filled_1e8"] == rows["twin_filled_1e8"]).all()
    assert rows["filled_1e8"].sum() > 0
    assert metrics["implementation_shortfall_bps"] == metrics["twin_implementation_shortfall_bps"] != 0
    assert metrics["fill_ratio"] == metrics["twin_fill_ratio"]
    assert metrics["parents"] == COUNT
    assert metrics["risk_breaches"] == 0
    same = (True, found.result_digest, found.result_digest)
    assert verify_evaluation(desk.catalog, found.eval_id, desk.data_root) == same
    other = Runner("other")
    assert attest_evaluation(desk.catalog, found.eval_id, desk.data_root, runner=other, now_ns=NOW_NS) == same


@both
def test_fills_that_are_a_tick_dearer_are_found(desk: Desk, tmp_path: Path, kind: str) -> None:
    children, _ = desk.children(kind)
    children["px_1e9"] = children["px_1e9"] + children["side"] * TICK_1E9
    found = desk.reviewed(kind, desk.write(tmp_path / "r", kind, children))
    rows = output(desk, found, "parents")
    lost = int((children["qty_1e8"] * TICK_1E9 // 10**8).sum())
    assert (rows["shortfall_1e9"] - rows["twin_shortfall_1e9"]).sum() == lost
    assert found.metrics["shortfall_drift_bps"] == pytest.approx(lost / rows["notional_1e9"].sum() * 1e4)
    assert found.metrics["comparison"] == -1
    assert found.metrics["shortfall_drift_bps_lower95"] > 0  # type: ignore[operator]


@pytest.mark.parametrize(
    ("kind", "model"),
    [("sor", "routing"), ("sor", "impact"), ("assignment", "routing"), ("assignment", "impact"), ("assignment",) * 2],
)
def test_a_model_that_another_took_the_name_of_is_missed(desk: Desk, tmp_path: Path, kind: str, model: str) -> None:
    children, _ = desk.children(kind)
    folder = desk.write(tmp_path / "r", kind, children)
    found = desk.reviewed(kind, folder)
    artifact, file = f"art_{model}", f"{model}-model.json"
    held = desk.catalog.artifact(artifact).files[file].digest
    assert found.inputs.settings[f"{model}_model"] == held
    assert held in found.inputs.blobs
    # Somebody with write access takes the reference away, and registers other bytes under the name.
    other = desk.catalog.blob(held) + b"\n"
    (tmp_path / "store" / ref_key("artifacts", artifact)).unlink()
    desk.catalog.register_artifact(artifact, {file: other})
    with pytest.raises(IntegrityError, match=f"was made with the {model} model"):
        verify_evaluation(desk.catalog, found.eval_id, desk.data_root)
    assert desk.reviewed(kind, folder).eval_id != found.eval_id


def test_what_was_not_filled_is_priced_at_the_end(desk: Desk, tmp_path: Path) -> None:
    nothing = {
        name: np.zeros(0, np.int64) for name in ("at_ns", "parent", "venue", "px_1e9", "qty_1e8", "side", "fee_1e9")
    }
    found = desk.reviewed("sor", desk.write(tmp_path / "r", "sor", nothing))
    rows = output(desk, found, "parents")
    assert found.metrics["fill_ratio"] == 0
    assert found.metrics["implementation_shortfall_bps"] == found.metrics["opportunity_cost_bps"]
    market = desk.run().parents
    exact = (
        desk.parents.rows["side"] * (market["end_mid_1e9"] - market["arrival_mid_1e9"]) * rows["qty_1e8"].astype(object)
    )
    assert all(abs(cost - value / 10**8) <= 2 for cost, value in zip(rows["shortfall_1e9"], exact, strict=True))


def test_a_worked_order() -> None:
    """Buy 3 at a mid of 100: 1 at 101 and 1 at 102 with fees of 0.5; the rest costs 104 at the end."""
    one = 10**9
    parents = ParentOrders("s", ("a", "b", "c"), np.zeros(3, PARENT))
    parents.rows["side"], parents.rows["qty_1e8"] = [1, -1, 1], [3 * 10**8, 1, 1]
    market = np.zeros(3, PARENT_RESULT)
    market["arrival_mid_1e9"] = [100 * one, 150_000_001, 100_000_000]
    market["end_mid_1e9"] = [104 * one, 150_000_001, 100_000_000]
    children = np.zeros(4, DTYPES["children"])
    children["parent"], children["side"] = [0, 0, 1, 2], [1, 1, -1, 1]
    children["px_1e9"] = [101 * one, 102 * one, 149_999_999, 100_000_001]
    children["qty_1e8"] = [10**8, 10**8, 1, 1]
    children["fee_1e9"] = [one // 4, one // 4, 0, 0]
    rows = settled(parents, children, market)
    assert rows["shortfall_1e9"][0] == (101 + 102 + 104 - 300) * one + one // 2
    assert rows["opportunity_1e9"][0] == 4 * one
    # Sold for 1.49999999, rounded down to 1; worth 1.50000001 at arrival, rounded down to 1 as well.
    assert rows["shortfall_1e9"][1] == 0
    # Bought for 1.00000001, rounded up to 2; worth 1 at arrival.
    assert rows["shortfall_1e9"][2] == 1


def test_another_configuration_is_not_compared(desk: Desk, tmp_path: Path) -> None:
    children, _ = desk.children("sor")
    found = desk.reviewed("sor", desk.write(tmp_path / "r", "sor", children, [(20, schema.CONFIG)]))
    assert found.metrics["shortfall_drift_bps"] is found.metrics["comparison"] is None
    assert found.metrics["implementation_shortfall_bps"] is not None
    assert "configuration changed" in found.status_detail


GAPS: dict[str, Callable[[Desk, Path, dict[str, Any]], Path]] = {
    "disconnect": lambda desk, folder, children: desk.write(folder, "sor", children, [(20, schema.DISCONNECT)]),
    "stop in between": lambda desk, folder, children: desk.write(folder, "sor", children, [(20, schema.STOP)]),
}


@pytest.mark.parametrize("name", GAPS)
def test_a_gap_is_inconclusive(desk: Desk, tmp_path: Path, name: str) -> None:
    children, _ = desk.children("sor")
    found = desk.reviewed("sor", GAPS[name](desk, tmp_path / "r", children))
    assert found.metrics["recording_gaps"] == 1
    for resting in ("implementation_shortfall_bps", "fill_ratio", "risk_breaches", "shortfall_drift_bps_upper95"):
        assert found.metrics[resting] is None
    assert found.metrics["twin_implementation_shortfall_bps"] is not None


def test_an_order_that_still_works_at_the_end_is_a_gap(desk: Desk, tmp_path: Path) -> None:
    children, _ = desk.children("sor")
    until_ns = int(desk.parents.rows["arrival_ns"][-1]) + 1
    found = desk.reviewed("sor", desk.write(tmp_path / "r", "sor", children, until_ns=until_ns))
    assert "p-059 still worked when the recording ended" in found.status_detail
    assert found.metrics["shortfall_drift_bps"] is None


def test_limits_are_watched(desk: Desk, tmp_path: Path) -> None:
    desk.parents.rows["limit_px_1e9"] = np.where(desk.parents.rows["side"] > 0, 10**15, 1)
    children, _ = desk.children("sor")
    first = int(children["parent"][0])
    desk.parents.rows["limit_px_1e9"][first] = children["px_1e9"][0] - children["side"][0]
    children["qty_1e8"][children["parent"] == children["parent"][-1]] += 10**10
    folder = desk.write(
        tmp_path / "r", "sor", children, [(30, schema.LIMIT_BREACH), (40, schema.HALT), (41, schema.RESUME)]
    )
    metrics = desk.reviewed("sor", folder).metrics
    limit, side = int(desk.parents.rows["limit_px_1e9"][first]), int(children["side"][0])
    own = children["px_1e9"][children["parent"] == first]
    worse = int((side * (own - limit) > 0).sum())
    assert worse > 0
    assert metrics["risk_breaches"] == worse + 1 + 1
    assert (metrics["limit_breaches"], metrics["halts"], metrics["halted_s"]) == (1, 1, 1)


def test_what_does_not_go_together_is_refused_by_name(desk: Desk, tmp_path: Path) -> None:
    children, _ = desk.children("sor")
    folder = desk.write(tmp_path / "r", "sor", children)
    with pytest.raises(InvalidInputError, match="recorded of bundle"):
        desk.reviewed("assignment", folder)
    with pytest.raises(
        InvalidInputError, match="recorded on alpha BTC-USD, beta BTC-USD; the datasets given are of beta"
    ):
        desk.reviewed("sor", folder, dataset=desk.datasets[::-1])
    with pytest.raises(InvalidInputError, match="is a policy; its replay has RoutingSettings"):
        desk.reviewed("sor", folder, settings=ReplaySettings())
    for column, value, told in (
        ("parent", COUNT, f"parent {COUNT} is none of the {COUNT} rows"),
        ("side", -int(children["side"][0]), "is not that of parent order"),
        ("venue", 2, "venue is none of the 2"),
    ):
        strange = {name: values.copy() for name, values in children.items()}
        strange[column][0] = value
        with pytest.raises(InvalidInputError, match=told):
            desk.reviewed("sor", desk.write(tmp_path / column, "sor", strange))
    late = ParentOrders("BTC-USD", desk.parents.ids, desk.parents.rows.copy())
    late.rows["arrival_ns"][-1] += 3_600 * 10**9
    strange_folder = desk.write(tmp_path / "late", "sor", children, parents=write_parents(late, importer="test"))
    with pytest.raises(InvalidInputError, match=r"parent order p-059 arrived at .*, outside of the window"):
        desk.reviewed("sor", strange_folder)
    (folder / "parents.parquet").write_bytes(b"PAR1")
    with pytest.raises(IntegrityError, match=r"parents\.parquet is not the file"):
        desk.reviewed("sor", folder)


def test_an_algo_has_no_policy_recording(desk: Desk, deployed: Any, tmp_path: Path) -> None:
    children, _ = desk.children("sor")
    folder = desk.write(tmp_path / "r", "sor", children)
    with pytest.raises(InvalidInputError, match="is the recording of a policy"):
        evaluate_live_review(
            deployed.catalog,
            bundle=deployed.bundle,
            recording=folder,
            dataset=deployed.dataset,
            data_root=deployed.data_root,
            runner=Runner("ci"),
            now_ns=NOW_NS,
        )


def with_probes(desk: Desk) -> tuple[Desk, int]:
    """Return the desk with parent orders that end or arrive exactly at a moment, and the moment."""
    rows = desk.parents.rows.copy()
    moment_ns = int(rows["arrival_ns"][COUNT // 2])
    ending = slice(COUNT // 2 - 8, COUNT // 2)
    # Four of them arrive so late that whoever decides on books of a moment later decides on others.
    rows["arrival_ns"][ending][4:] = moment_ns - 1_000_000
    rows["qty_1e8"][ending][4:] = DECISIVE_1E8
    rows["horizon_ns"][ending] = moment_ns - rows["arrival_ns"][ending]
    # One is more than a book holds: its rest is worth what the mid is at the moment.
    rows["qty_1e8"][COUNT // 2 - 6] *= 500
    return replace(desk, parents=ParentOrders("BTC-USD", desk.parents.ids, rows)), moment_ns


def gone_otherwise(desk: Desk, root: Path, moment_ns: int) -> dict[str, Any]:
    """Return what to review with on markets that are the same until the moment, and others after it."""
    others = [
        scrambled(tape, moment_ns, synthetic_tape(seed, duration_s=90, instrument=tape.info.instrument))
        for seed, tape in enumerate(desk.tapes, 8)
    ]
    return {"dataset": [registered(desk.catalog, root, tape) for tape in others], "data_root": root}


@both
def test_what_happens_later_changes_nothing_before(desk: Desk, tmp_path: Path, kind: str) -> None:
    desk, moment_ns = with_probes(desk)
    children, _ = desk.children(kind)
    one = desk.reviewed(kind, desk.write(tmp_path / "one", kind, children))
    late = COUNT - 1 - np.arange(STEPS) % 9
    strange = {"parent": late, "side": desk.parents.rows["side"][late], "venue": late % 2, "fee_1e9": 10**9}
    changed = joined(until(children, moment_ns), rows_after(moment_ns, px_1e9=10**9, qty_1e8=10**6, **strange))
    told = events_after(moment_ns)
    events = list(zip(told["at_ns"].tolist(), told["kind"].tolist(), strict=True))
    folder = desk.write(tmp_path / "two", kind, changed, events_at=events)
    two = desk.reviewed(kind, folder, **gone_otherwise(desk, tmp_path / "other", moment_ns))
    ended = desk.parents.rows["arrival_ns"] + desk.parents.rows["horizon_ns"] <= moment_ns
    arrived = desk.parents.rows["arrival_ns"] <= moment_ns
    at_arrival = ["parent_id", "arrival_ns", "qty_1e8", "side", "arrival_mid_1e9", "notional_1e9"]
    rows = [output(desk, each, "parents") for each in (one, two)]
    assert 20 < ended.sum() < arrived.sum()
    assert (rows[0]["filled_1e8"] < rows[0]["qty_1e8"])[ended].any()
    assert rows[0][ended].equals(rows[1][ended])
    assert rows[0][at_arrival][arrived].equals(rows[1][at_arrival][arrived])
    for name in ("twin_shortfall_1e9", "shortfall_1e9", "end_mid_1e9", "arrival_mid_1e9"):
        assert (rows[0][name] != rows[1][name])[~arrived].any(), name
    for name in ("children", "events"):
        shown = [output(desk, each, name) for each in (one, two)]
        assert known(shown[0], "at_ns", moment_ns).equals(known(shown[1], "at_ns", moment_ns)), name
        assert not shown[0].equals(shown[1])


@both
def test_the_market_after_the_stop_changes_no_figure(desk: Desk, tmp_path: Path, kind: str) -> None:
    desk, moment_ns = with_probes(desk)
    early = slice(0, COUNT // 2)
    desk = replace(desk, parents=ParentOrders("BTC-USD", desk.parents.ids[early], desk.parents.rows[early]))
    children, _ = desk.children(kind)
    folder = desk.write(tmp_path / "r", kind, children, until_ns=moment_ns)
    one = desk.reviewed(kind, folder)
    two = desk.reviewed(kind, folder, **gone_otherwise(desk, tmp_path / "other", moment_ns))
    assert one.inputs.datasets != two.inputs.datasets
    assert one.metrics["recording_gaps"] == 0, one.status_detail
    assert one.outputs == two.outputs
    assert one.result_digest == two.result_digest
    for name, value in one.metrics.items():
        # The second look at a bundle has wider bounds.
        if not (name.startswith(("tape_", "look")) or "_lower" in name or "_upper" in name):
            assert value == two.metrics[name], name
