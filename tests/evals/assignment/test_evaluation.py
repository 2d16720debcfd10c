"""Assignment evaluations: the figures add up, the limits are exact, nothing later counts, and it can be run again."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundles.errors import IntegrityError, InvalidInputError
from bundles.evidence import Evaluation
from bundles.runners import Runner
from evals.assigning import outcome
from evals.assigning.execution import assign_and_execute
from evals.assigning.outcome import figures
from evals.assigning.policy import Policy
from evals.assigning.rule import Reason
from evals.evaluation import attest_evaluation, verify_evaluation
from evals.market.tape import Tape
from evals.parents.orders import PARENT, ParentOrders
from evals.parents.parquet import write_parents
from evals.routing.settings import FaultPlan, RoutingSettings
from tests.evals.assignment.desk import Desk

Rows = Callable[[Desk, Evaluation], list[dict[str, Any]]]
MONEY = 10**9
BOUNDS = [f"{end}{percent}" for end in ("lower", "upper") for percent in (90, 95, 99)]
HUGE = 2**62


def test_the_example_of_the_document(example: Desk, outputs: Rows) -> None:
    """`docs/assignment.md`, to the last unit: estimated at arrival, and executed."""
    evaluation = example.evaluate(example.policy(200 * MONEY, 1_000 * MONEY))
    row = outputs(example, evaluation)[0]
    assert row["parent_id"] == "p-1"
    assert Reason(row["reason"]) is Reason.BAND_SOR_CHEAPER
    assert (row["to_sor"], row["live_venues"]) == (1, 2)
    assert row["notional_1e9"] == row["base_1e9"] == 249_875_000_000
    assert (row["edge_estimate_1e9"], row["sor_estimate_1e9"]) == (400_075_000, 250_009_000)
    assert (row["edge_cost_1e9"], row["sor_cost_1e9"], row["cost_1e9"]) == (400_075_000, 250_009_000, 250_009_000)
    assert row["regret_1e9"] == 0
    metrics = evaluation.metrics
    assert metrics["savings_vs_edge_1e9"] == 150_066_000
    assert metrics["savings_vs_edge_bps"] == 150_066_000 * 10_000 / 249_875_000_000
    assert metrics["assigned_band_sor_cheaper"] == metrics["sent_to_sor"] == metrics["parents_filled"] == 1
    assert metrics["fill_ratio"] == 1.0


def test_the_document_says_what_the_examples_come_to() -> None:
    text = (Path(__file__).parents[3] / "docs/assignment.md").read_text(encoding="utf-8")
    for figure in ("249.875", "0.400075", "0.250009", "0.150066", "0.5001", "0.600106", "0.550084"):
        assert figure in text
    reasons = set(re.findall(r"\| `([a-z_]+)` \|$", text, re.MULTILINE))
    assert reasons == {reason.label for reason in Reason}


def test_the_wrong_choice_is_regretted_to_the_last_unit(example: Desk, outputs: Rows) -> None:
    evaluation = example.evaluate(example.policy(HUGE, HUGE))
    row = outputs(example, evaluation)[0]
    assert row["regret_1e9"] == evaluation.metrics["regret_1e9"] == 400_075_000 - 250_009_000
    assert evaluation.metrics["worse_choices"] == 1


def test_a_route_is_not_cheap_because_it_did_not_fill(example: Desk, outputs: Rows) -> None:
    """The second example of `docs/assignment.md`: 4 are asked for, of which the home venue has 3."""
    row = (11 * 10**9, 400_000_000, 0, 0, 0, 1, 1)
    four = write_parents(ParentOrders("BTC-USD", ("p-4",), np.array([row], PARENT)), importer="test")
    evaluation = example.evaluate(example.policy(200 * MONEY, 1_000 * MONEY), parents=four)
    found = outputs(example, evaluation)[0]
    assert Reason(found["reason"]) is Reason.BAND_SOR_DEEPER
    assert (found["edge_filled_1e8"], found["sor_filled_1e8"]) == (300_000_000, 400_000_000)
    assert (found["edge_shortfall_1e9"], found["edge_completion_1e9"]) == (500_100_000, 100_006_000)
    assert (found["sor_shortfall_1e9"], found["sor_completion_1e9"]) == (550_084_000, 0)
    assert found["regret_1e9"] == 0
    assert (evaluation.metrics["edge_fill_ratio"], evaluation.metrics["sor_fill_ratio"]) == (0.75, 1.0)


def test_the_figures_follow_from_the_rows(trading: Desk, outputs: Rows) -> None:
    evaluation = trading.evaluate(trading.policy(100 * MONEY, 500 * MONEY))
    rows, metrics = outputs(trading, evaluation), evaluation.metrics
    assert len(rows) == metrics["parents"] == 300
    for row in rows:
        for route in ("edge", "sor"):
            assert row[f"{route}_cost_1e9"] == row[f"{route}_shortfall_1e9"] + row[f"{route}_completion_1e9"]
            assert row[f"{route}_completion_1e9"] == 0 or row[f"{route}_filled_1e8"] < row["qty_1e8"]
        assert row["cost_1e9"] == (row["sor_cost_1e9"] if row["to_sor"] else row["edge_cost_1e9"])
        assert row["regret_1e9"] == row["cost_1e9"] - min(row["edge_cost_1e9"], row["sor_cost_1e9"]) >= 0
        assert row["filled_1e8"] <= row["qty_1e8"]
        assert row["to_sor"] == Reason(row["reason"]).to_sor
    base = sum(row["base_1e9"] for row in rows)
    for name, money in (
        ("regret_bps", sum(row["regret_1e9"] for row in rows)),
        ("savings_vs_edge_bps", sum(row["edge_cost_1e9"] - row["cost_1e9"] for row in rows)),
        ("savings_vs_sor_bps", sum(row["sor_cost_1e9"] - row["cost_1e9"] for row in rows)),
        ("implementation_shortfall_bps", sum(row["shortfall_1e9"] for row in rows)),
    ):
        assert metrics[name] == money * 10_000 / base
        lower, upper = metrics[f"{name}_lower95"], metrics[f"{name}_upper95"]
        assert lower is not None
        assert upper is not None
        assert lower <= upper
    assert metrics["sent_to_edge"] == sum(not row["to_sor"] for row in rows) == 300 - int(metrics["sent_to_sor"] or 0)
    counts = {reason: sum(row["reason"] == reason for row in rows) for reason in Reason}
    assert {reason: metrics[f"assigned_{reason.label}"] for reason in Reason} == counts
    assert counts[Reason.BELOW_EDGE_THRESHOLD] > 20 < counts[Reason.AT_OR_ABOVE_SOR_THRESHOLD]
    assert sum(counts[each] for each in Reason if each.name.startswith("BAND")) > 20
    assert metrics["risk_breaches"] == 0
    assert (evaluation.status, evaluation.coverage.events) == ("completed", sum(_events(trading)))


def _events(desk: Desk) -> list[int]:
    return [part.rows for name in desk.datasets for part in desk.catalog.dataset(name).partitions]


def test_always_edge_saves_nothing_against_always_edge(trading: Desk) -> None:
    metrics = trading.evaluate(trading.policy(HUGE, HUGE)).metrics
    assert metrics["sent_to_edge"] == metrics["assigned_below_edge_threshold"] == 300
    assert metrics["savings_vs_edge_1e9"] == metrics["savings_vs_edge_bps"] == 0
    assert [metrics[f"savings_vs_edge_bps_{bound}"] for bound in BOUNDS] == [0.0] * 6
    assert metrics["cost_bps"] == metrics["edge_cost_bps"]


def test_always_sor_saves_nothing_against_always_sor(trading: Desk) -> None:
    metrics = trading.evaluate(trading.policy(1, 1, venues=1)).metrics
    assert metrics["sent_to_sor"] == metrics["assigned_at_or_above_sor_threshold"] == 300
    assert metrics["savings_vs_sor_1e9"] == metrics["savings_vs_sor_bps"] == 0
    assert [metrics[f"savings_vs_sor_bps_{bound}"] for bound in BOUNDS] == [0.0] * 6
    assert metrics["cost_bps"] == metrics["sor_cost_bps"]


def test_more_venues_than_there_are_leave_everything_to_the_edge(trading: Desk) -> None:
    metrics = trading.evaluate(trading.policy(1, 1, venues=3)).metrics
    assert metrics["assigned_too_few_venues"] == metrics["sent_to_edge"] == 300


def test_the_better_of_both_is_never_regretted(example: Desk) -> None:
    """On a still market what is estimated is what is paid, so the band chooses as an oracle would."""
    for qty in (50_000_000, 100_000_000, 250_000_000, 300_000_000):
        row = (11 * 10**9, qty, 0, 0, 0, 1, 1)
        one = ParentOrders("BTC-USD", (f"p-{qty}",), np.array([row], PARENT))
        metrics = example.evaluate(example.policy(1, HUGE), parents=write_parents(one, importer="test")).metrics
        assert metrics["regret_1e9"] == metrics["worse_choices"] == 0


@pytest.mark.parametrize("kind", ["replay", "sandbox"])
def test_the_same_inputs_give_the_same_record_and_another_runner_the_same_result(trading: Desk, kind: str) -> None:
    bundle = trading.policy(100 * MONEY, 500 * MONEY)
    first = trading.evaluate(bundle, kind)
    assert trading.evaluate(bundle, kind) == first
    assert trading.evaluate(bundle, kind, force=True) == first
    told: list[str] = []
    assert verify_evaluation(trading.catalog, first.eval_id, trading.data_root, progress=told.append)[0]
    assert "Executing all orders by routing" in told
    same, _, _ = attest_evaluation(trading.catalog, first.eval_id, trading.data_root, runner=Runner("other"), now_ns=3)
    assert same
    assert first.inputs.settings["parents"] in first.inputs.blobs


def test_the_sandbox_is_seeded_and_its_faults_are_part_of_the_inputs(trading: Desk) -> None:
    bundle = trading.policy(1, 1)
    usual = trading.evaluate(bundle, "sandbox")
    other = trading.evaluate(bundle, "sandbox", seed=43)
    worse = trading.evaluate(bundle, "sandbox", faults=FaultPlan(reject_ppm=1_000_000))
    assert len({each.eval_id for each in (usual, other, worse)}) == 3
    assert worse.metrics["fill_ratio"] == 0
    assert (usual.metrics["fill_ratio"] or 0) > 0.5
    # An order that nobody takes costs what the market did meanwhile, and the choice cannot have mattered.
    assert worse.metrics["regret_1e9"] == 0
    assert [each.metrics["look"] for each in (usual, other, worse)] == [1, 2, 3]


def test_nobody_attests_figures_that_the_result_does_not_show(trading: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    made_up = {"regret_bps_upper95": 0.0, "fill_ratio": 1.0}
    with monkeypatch.context() as forging:
        forging.setattr(outcome, "figures", lambda *args, **more: figures(*args, **more) | made_up)
        forged = trading.evaluate(trading.policy(100 * MONEY, 500 * MONEY))
    # The result is the right one, and the record is not.
    assert verify_evaluation(trading.catalog, forged.eval_id, trading.data_root)[0]
    before = trading.catalog.ledger.state(forged_bundle := trading.catalog.bundle_of(forged))
    with pytest.raises(IntegrityError, match=r"other figures of it: fill_ratio 1 for 0\.\d+, regret_bps_upper95 0"):
        attest_evaluation(trading.catalog, forged.eval_id, trading.data_root, runner=Runner("other"), now_ns=3)
    assert trading.catalog.ledger.state(forged_bundle) == before


@pytest.mark.parametrize("faults", [None, FaultPlan()], ids=["replay", "sandbox"])
def test_nothing_later_than_an_arrival_changes_its_assignment(
    trading: Desk, markets: list[Tape], orders: ParentOrders, faults: FaultPlan | None
) -> None:
    policy = Policy.of(trading.catalog, trading.policy(100 * MONEY, 500 * MONEY))
    middle_ns = int(markets[0].events["receive_ns"][len(markets[0].events) // 2])

    def rows(tapes: list[Tape]) -> np.ndarray[Any, Any]:
        return assign_and_execute(policy, orders, tapes, settings=RoutingSettings(), faults=faults, seed=1).rows

    plain, scrambled = rows(markets), rows([_scrambled(tape, middle_ns) for tape in markets])
    early = orders.rows["arrival_ns"] < middle_ns
    done = orders.rows["arrival_ns"] + orders.rows["horizon_ns"] < middle_ns
    for name in ("notional_1e9", "live_venues", "reason", "to_sor", "edge_estimate_1e9", "sor_estimate_1e9"):
        assert plain[name][early].tolist() == scrambled[name][early].tolist(), name
    assert 100 < done.sum() < 200
    assert (plain[done] == scrambled[done]).all()
    assert (plain != scrambled).any()


def _scrambled(tape: Tape, after_ns: int) -> Tape:
    """The same tape with other sizes, and another price, from a moment on."""
    events = tape.events.copy()
    late = events["receive_ns"] >= after_ns
    events["sz_1e8"][late] = events["sz_1e8"][late] // 2
    events["px_1e9"][late] -= 20 * 10**9 * (events["px_1e9"][late] > 0)
    return Tape(events, tape.info)


def test_pieces_of_the_tapes_make_no_difference(trading: Desk, markets: list[Tape], orders: ParentOrders) -> None:
    policy = Policy.of(trading.catalog, trading.policy(100 * MONEY, 500 * MONEY))

    class Cut:
        def __init__(self, tape: Tape) -> None:
            self.info = tape.info
            self._tape = tape

        def chunks(self) -> Any:
            return self._tape.chunks(997)

    whole, cut = (
        assign_and_execute(policy, orders, tapes, settings=RoutingSettings(), faults=None, seed=1)  # type: ignore[arg-type]
        for tapes in (markets, [Cut(tape) for tape in markets])
    )
    assert (whole.rows == cut.rows).all()
    assert whole.edge.digest() == cut.edge.digest()


def test_a_replay_has_no_faults(trading: Desk) -> None:
    with pytest.raises(InvalidInputError, match="A replay injects no faults"):
        trading.evaluate(trading.policy(), faults=FaultPlan())
