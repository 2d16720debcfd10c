"""The worked example of docs/routing.md, to the last unit; and every metric has a label and a row there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from evals.labels import routing as labels
from evals.market.schema import BID
from evals.routing.figures import COSTS, SAVINGS, figures
from evals.routing.settings import RoutingSettings
from tests.evals.routing.desk import NO_IMPACT, S, book_rows, model_of, parents_of, tape_of
from tests.evals.routing.test_replay import run

DOCUMENT = (Path(__file__).parents[3] / "docs/routing.md").read_text(encoding="utf-8")

EXAMPLE = DOCUMENT.split("## An example by hand")[1].split("\n## ")[0]


def the_example() -> Any:
    end = (60 * S, BID, 90, 1)
    north = tape_of("north", [*book_rows({99: 5}, {100: 1, 100.4: 4}), end], taker_fee_ppm=100)
    south = tape_of("south", [*book_rows({99.2: 5}, {100.1: 1, 100.2: 2}), end], taker_fee_ppm=200)
    risk = {"latency_risk_ppm_per_sqrt_ms": 30, "freshness_ppm_per_s": 20}
    costs = {
        "north": risk | {"latency_ns": 4_000_000, "reject_ppm": 100_000, "reject_cost_ppm": 1_000},
        "south": risk | {"latency_ns": 1_000_000, "adverse_selection_ppm": 50, "venue_impact_ppm": 600},
    }
    parents = parents_of({"qty": 3})
    model = model_of("north", "south", version="V2", costs=costs)
    found = run([north, south], parents, model=model, impact=NO_IMPACT, slicing="immediate", single_venues=True)
    return parents, found


def money(text: str) -> int:
    """Turn an amount of the document into units of 10^-9."""
    whole, _, part = text.partition(".")
    return int(whole) * 10**9 + int(part.ljust(9, "0"))


def row(name: str) -> str:
    return next(line for line in EXAMPLE.splitlines() if line.startswith(f"| {name} |"))


def amount(name: str) -> int:
    """Return the amount in the last cell of a row: after its last equals sign, if it has one."""
    return money(re.findall(r"\d+\.\d+", row(name).split("=")[-1])[0])


def test_the_example_comes_out_to_the_last_unit() -> None:
    _, found = the_example()
    [parent] = found.parents
    taken = [(int(f["venue"]), int(f["px_1e9"]), int(f["qty_1e8"])) for f in found.children]
    steps = re.findall(r"\| 1 at (\d+\.\d+) \|", EXAMPLE)
    assert sorted(px for _, px, _ in taken) == sorted(money(px) for px in steps)
    assert [venue for venue, *_ in taken] == [0, 1, 1]
    assert parent["spread_1e9"] == amount("spread")
    assert parent["impact_1e9"] == amount("impact")
    assert parent["fees_1e9"] == amount("fees")
    assert parent["paid_1e9"] == amount("paid") + amount("fees")
    assert parent["notional_1e9"] == amount("at the mid")
    assert parent["shortfall_1e9"] == amount("**shortfall**")
    assert parent["oracle_1e9"] == amount("oracle")
    assert found.single_venues_1e9[0].tolist() == [amount("north alone"), amount("south alone")]
    saved = re.search(r"It saved (\d+\.\d+) against", EXAMPLE)
    assert saved
    assert found.single_venues_1e9.min() - parent["shortfall_1e9"] == money(saved[1])


def test_the_steps_of_the_example_are_the_costs_that_the_sweep_compares() -> None:
    lines = [line for line in EXAMPLE.splitlines() if re.match(r"\| [123] \|", line)]
    sums = [cell.replace("*", "").split("=") for line in lines for cell in line.split("|")[2:4] if "=" in cell]
    assert len(sums) == 4
    for parts, total in sums:
        terms = [eval(term.replace("\N{MULTIPLICATION SIGN}", "*")) for term in parts.split("+")]
        assert sum(terms) == pytest.approx(float(total), abs=1e-12)


def test_the_metrics_of_the_example() -> None:
    parents, found = the_example()
    metrics = figures(found, parents, RoutingSettings(), seed=1, look=1)
    shown = re.search(r"(\d+\.\d+)… bps", EXAMPLE)
    assert shown
    assert str(metrics["implementation_shortfall_bps"]).startswith(shown[1])
    assert metrics["savings_vs_best_venue_bps"] == pytest.approx(0.21004 / 298.80 * 1e4)
    assert metrics["savings_vs_oracle_bps"] == 0
    assert metrics["fill_ratio"] == 1
    assert metrics["risk_breaches"] == 0


def test_every_metric_has_a_label_and_a_row() -> None:
    parents, found = the_example()
    control = RoutingSettings(control_version="V1", control_ppm=1)
    metrics = figures(found, parents, control, seed=1, look=1)
    plain = {re.sub(r"_(lower|upper)(90|95|99)$", "", name) for name in metrics if "_v2" not in name}
    shared = {"look", "fill_ratio", "rejects", "risk_breaches", "volume_notional_1e9"}
    assert plain - shared == set(labels.METRICS)
    named = {name for line in DOCUMENT.splitlines() if line.startswith("| `") for name in re.findall(r"`(\w+)`", line)}
    assert {*COSTS, *SAVINGS, *shared} - {"look"} <= named
    assert {name for name in labels.METRICS if not re.search(r"_p\d\d$", name)} <= named
