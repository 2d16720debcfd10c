"""What the evaluations above the replay cost: seconds of CPU, the whole evaluation with its record.

`make bench` runs it after `replay_speed.py` and appends to BENCHMARKS.md. Shadow is told as a ratio to the replay of
the same candidate with the same settings, measured in turn; routing in seconds for 10,000 orders over four venues.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bundles.canonical import read_document
from bundles.catalog import Catalog
from bundles.compile import compile_assignment, compile_edge, compile_sor
from bundles.mm_types import MmConfig, MmRiskLimits
from bundles.runners import Runner
from bundles.store import open_store
from bundles.toolchain import build_wasm, find_toolchain
from evals.market.datasets import build_dataset
from evals.market.schema import Instrument
from evals.market.synthetic import DEFAULT_INSTRUMENT, DEFAULT_START_NS, synthetic_tape, synthetic_venues
from evals.market.tape import Tape, write_tape
from evals.parents.calibration import calibrate
from evals.parents.generator import GENERATOR, GENERATOR_VERSION, Wanted, generate_parents
from evals.parents.parquet import write_parents
from evals.policies import evaluate_policy
from evals.replay import evaluate_replay
from evals.shadow import evaluate_shadow
from evals.shadowing.settings import ShadowSettings
from evals.wasm import inspect_module
from sequence.demo.bundles import ASSIGNMENT_MODEL, IMPACT_MODEL, ROUTING_MODEL

ROOT = Path(__file__).resolve().parent.parent
VENUES = ("alpha", "beta", "gamma", "delta")
RUNNER = Runner("bench")
LATE_LOOK = 40


class Bench:
    """A store and a data root that are thrown away."""

    def __init__(self, folder: Path) -> None:
        self.catalog = Catalog(open_store((folder / "store").as_uri()))
        self.data = folder / "data"
        self.number = 0

    def dataset(self, tape: Tape) -> str:
        """Write a tape, register it, and return the dataset's id."""
        write_tape(self.data, tape)
        instrument = tape.info.instrument
        return self.catalog.register_dataset(build_dataset(self.data, instrument.venue, instrument.symbol))

    def seconds(self, evaluate: Callable[..., Any], **given: Any) -> tuple[float, float]:
        """Evaluate once more and return the seconds of CPU and by the clock."""
        self.number += 1
        cpu, clock = time.process_time(), time.perf_counter()
        evaluate(self.catalog, data_root=self.data, runner=RUNNER, now_ns=self.number, force=True, **given)
        return time.process_time() - cpu, time.perf_counter() - clock


def main() -> None:
    """Measure, print, and append to BENCHMARKS.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--append", type=Path, help="append the report there as well")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        shadow, policies = _shadow(bench, options.rounds), _policies(bench, options.rounds)
    lines = ["", "## Evaluations above the replay", "", *shadow, "", *policies]
    print("\n".join(lines))
    if options.append:
        with options.append.open("a", encoding="utf-8") as report:
            report.write("\n".join(lines) + "\n")


def _shadow(bench: Bench, rounds: int) -> list[str]:
    print("shadow beside its replay", file=sys.stderr)
    tape = synthetic_tape(3, duration_s=3_600, packets_per_s=200)
    dataset = bench.dataset(tape)
    wasm = build_wasm(ROOT / "benchmarks" / "quoter", find_toolchain()).read_bytes()
    bench.catalog.register_artifact("art_bench", {"notes.md": b"bench"})
    candidate, incumbent = (
        bench.catalog.register_bundle(
            compile_edge(
                wasm,
                sdk_abi=inspect_module(wasm).abi,
                artifact="art_bench",
                risk_limits=MmRiskLimits(max_position_1e8=10**12, max_order_notional_1e9=10**16, max_order_rate=10**6),
                config=MmConfig(quote_size_1e8=10_000_000, min_spread_bps=1, max_position_1e8=10**9, version=version),
            ),
            author="bench",
            blobs=[wasm],
            now_ns=0,
        )
        for version in (1, 2)
    )
    same = {"bundle": candidate, "settings": ShadowSettings()}
    first = _beside(bench, rounds, incumbent, same | {"dataset": dataset})
    short = bench.dataset(synthetic_tape(4, duration_s=60, start_ns=DEFAULT_START_NS + 86_400 * 10**9))
    for seed in range(2, LATE_LOOK):
        bench.seconds(evaluate_shadow, incumbent=incumbent, **same | {"dataset": short, "seed": seed})
    late = _beside(bench, rounds, incumbent, same | {"dataset": dataset, "seed": LATE_LOOK})
    return [
        f"Shadow of a maker beside its twin, {len(tape.events):,} rows (an hour), against its replay, as look 1",
        f"and as look {LATE_LOOK}; ratios of the best (of the medians):",
        "",
        "| look | shadow, s of CPU | replay | ratio | shadow, s by the clock | replay | ratio |",
        "|---:|---:|---:|---:|---:|---:|---:|",
        f"| 1 | {first} |",
        f"| {LATE_LOOK} | {late} |",
    ]


def _beside(bench: Bench, rounds: int, incumbent: str, given: dict[str, Any]) -> str:
    """Return the cells of a row: what a shadow evaluation and the candidate's replay cost, measured in turn."""
    alone, beside = [], []
    for _ in range(rounds + 1):
        alone.append(bench.seconds(evaluate_replay, **given))
        beside.append(bench.seconds(evaluate_shadow, incumbent=incumbent, **given))
    cells = []
    for clock in (0, 1):  # of CPU, by the clock: candidate and incumbent run in two threads
        ours, theirs = ([each[clock] for each in taken[1:]] for taken in (beside, alone))
        best, medians = min(ours) / min(theirs), statistics.median(ours) / statistics.median(theirs)
        cells.append(f"{min(ours):.2f} | {min(theirs):.2f} | **{best:.2f}** ({medians:.2f})")
    return " | ".join(cells)


def _policies(bench: Bench, rounds: int) -> list[str]:
    print("10,000 parent orders over four venues", file=sys.stderr)
    facts = DEFAULT_INSTRUMENT.model_dump()
    instruments = [read_document(Instrument, facts | {"venue": venue}, venue) for venue in VENUES]
    tapes = synthetic_venues(5, instruments, duration_s=600)
    datasets = [bench.dataset(tape) for tape in tapes]
    wanted = Wanted(count=10_000, horizon_ns=60 * 10**9, size_multiple=100)
    orders = write_parents(
        generate_parents(calibrate(tapes[0]), wanted, seed=5), importer=GENERATOR, importer_version=GENERATOR_VERSION
    )
    models = {
        "art_demo_routing": ("routing-model.json", ROUTING_MODEL | {"venues": _venues(ROUTING_MODEL["venues"][0])}),
        "art_demo_impact": ("impact-model.json", IMPACT_MODEL),
        "art_demo_assignment": ("assignment-model.json", ASSIGNMENT_MODEL),
    }
    for name, (file, model) in models.items():
        bench.catalog.register_artifact(name, {file: _file_of(model)})
    bundles = {
        "routing": compile_sor(routing_model="art_demo_routing", impact_model="art_demo_impact", slicing_policy="twap"),
        "assignment": compile_assignment(artifact="art_demo_assignment", sor_threshold_1e9=3 * 10**12),
    }
    rows = sum(len(tape.events) for tape in tapes)
    lines = [
        f"10,000 parent orders (twap, 10 slices) over four venues of ten minutes, {rows:,} rows, one core,",
        "the whole evaluation with its record, best and median:",
        "",
        "| policy | replay, s of CPU | sandbox, s of CPU |",
        "|---|---:|---:|",
    ]
    for name, manifest in bundles.items():
        bundle = bench.catalog.register_bundle(manifest, author="bench", now_ns=0)
        given = {"bundle": bundle, "dataset": datasets, "parents": orders}
        cells = []
        for kind in ("replay", "sandbox"):
            seconds = [bench.seconds(evaluate_policy, kind=kind, **given)[0] for _ in range(rounds + 1)][1:]
            cells.append(f"{min(seconds):.2f} ({statistics.median(seconds):.2f})")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _venues(costs: dict[str, Any]) -> list[dict[str, Any]]:
    return [costs | {"venue": venue} for venue in VENUES]


def _file_of(model: dict[str, Any]) -> bytes:
    return json.dumps(model).encode()


if __name__ == "__main__":
    main()
