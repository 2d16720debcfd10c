"""Evaluations of routing policies: parent orders over the tapes of several venues, in replay or in the sandbox.

The result digest is SHA-256 over kind, seed, and every column of parents, fills and single-venue shortfalls. All are
integers; what statistics make of them is not part of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bundles.canonical import short_id
from bundles.errors import InvalidInputError
from bundles.evidence import Coverage, EngineFingerprint, Evaluation, EvaluationInputs
from bundles.manifests import SorBundle
from bundles.routing import ImpactModel, RoutingModel, read_model
from evals.engine.fingerprint import TAPE_SOURCES, sources_digest
from evals.evaluation import Engine, Findings, record
from evals.routing.given import Given, PolicyKind, look_in

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from bundles.catalog import Catalog
    from bundles.runners import Runner
    from evals.parents.orders import ParentOrders
    from evals.routing.execution import RoutingRun
    from evals.routing.settings import FaultPlan, RoutingSettings

ENGINE_NAME: Final = "kernel-routing"
ENGINE_VERSION: Final = "1"
SOURCES: Final = (
    "bundles/routing.py",
    "evals/engine/arithmetic.py",
    "evals/evaluation.py",
    "evals/foreign_parquet.py",
    *TAPE_SOURCES,
    "evals/metrics",
    "evals/parents",
    "evals/routing",
    "evals/routing/kernels",
    "evals/statistics",
)
"""What a routing policy's result depends on; whatever executes one within something larger adds its own."""


def engine_fingerprint() -> EngineFingerprint:
    """Return what executes a routing policy here: results are comparable only under the same fingerprint."""
    return EngineFingerprint(
        name=ENGINE_NAME,
        version=ENGINE_VERSION,
        source=sources_digest(*SOURCES),
        runtime={"numpy": version("numpy")},  # draws for the bounds
    )


@dataclass(frozen=True)
class Policy:
    """A routing bundle with the models that it names."""

    bundle: SorBundle
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
        if not isinstance(manifest, SorBundle):
            raise InvalidInputError(
                f"{bundle} is a bundle of kind {manifest.kind}; only SOR bundles hold a routing policy."
            )
        return cls(
            manifest,
            read_model(catalog, manifest.routing_model, RoutingModel),
            read_model(catalog, manifest.impact_model, ImpactModel),
        )


def evaluate_routing(
    catalog: Catalog,
    *,
    kind: PolicyKind,
    bundle: str,
    dataset: str | Sequence[str],
    parents: bytes | Path,
    data_root: Path,
    settings: RoutingSettings | None = None,
    faults: FaultPlan | None = None,
    seed: int = 42,
    runner: Runner,
    now_ns: int,
    force: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Evaluation:
    """Evaluate a registered routing policy on parent orders over one dataset for each venue, and record it.

    ``parents``: a parquet file of parent orders, see `evals.parents.parquet`; it is kept in the store. ``faults``
    belong to the sandbox; without, it has the usual plan. See `evaluation.record` for the rest.

    Raises:
        InvalidInputError: before anything runs: for a bundle of another kind, a model that does not fit, venues without
            tapes or without coefficients, datasets of several symbols, parent orders of another symbol or outside the
            tapes, `vwap` without an earlier day.
        NotFoundError, IntegrityError: as `evaluation.record`.

    """
    policy = Policy.of(catalog, bundle)
    datasets = [catalog.dataset(name) for name in ([dataset] if isinstance(dataset, str) else dataset)]
    symbol = datasets[0].symbol if datasets else None
    given = Given.by_person(kind, parents, symbol=symbol, settings=settings, faults=faults)
    if progress is not None:
        progress(f"Checking {len(given.orders):,} parent orders against the tapes")
    _check(policy, given, [_opened(catalog, data_root, each.digest()) for each in datasets])
    inputs = given.as_inputs(catalog, policy.bundle.digest(), datasets, seed, engine_fingerprint())
    return record(catalog, inputs, data_root=data_root, runner=runner, now_ns=now_ns, force=force, progress=progress)


def _opened(catalog: Catalog, data_root: Path, digest: str) -> Any:
    from evals.market.datasets import open_dataset

    return open_dataset(data_root, catalog.dataset(short_id("data", digest)))


def _check(policy: Policy, given: Given, tapes: Sequence[Any]) -> None:
    """Refuse what cannot be executed; see `evals.routing.execution.check_execution`."""
    from evals.routing.execution import check_execution

    slicing = policy.bundle.slicing_policy
    check_execution(given.orders, tapes, model=policy.routing, slicing=slicing, settings=given.settings)


def _execute(
    catalog: Catalog, inputs: EvaluationInputs, data_root: Path, progress: Callable[[str], None] | None
) -> Findings:
    from evals.metrics import validation_metrics
    from evals.routing.figures import figures

    datasets = [catalog.dataset(short_id("data", each)) for each in inputs.datasets]
    given, run = _executed(catalog, inputs, data_root, progress)
    orders = given.orders
    tape_figures = validation_metrics(*(each.validation for each in datasets))
    found = run.covered
    return Findings(
        status="completed",
        result_digest=_result_digest(inputs, run),
        coverage=Coverage(first_ns=found.first_ns, last_ns=found.last_ns, events=found.events, packets=found.packets),
        metrics=figures(run, orders, given.settings, seed=inputs.seed, look=look_in(inputs)) | tape_figures,
        outputs={"parents": parents_as_parquet(run, orders), "children": _as_parquet(_columns(run.children))},
        validation={name.removeprefix("tape_"): int(figure or 0) for name, figure in tape_figures.items()},
    )


def _result(catalog: Catalog, inputs: EvaluationInputs, data_root: Path, progress: Callable[[str], None] | None) -> str:
    return _result_digest(inputs, _executed(catalog, inputs, data_root, progress)[1])


def _executed(
    catalog: Catalog, inputs: EvaluationInputs, data_root: Path, progress: Callable[[str], None] | None
) -> tuple[Given, RoutingRun]:
    from evals.routing.execution import execute_parents

    policy = Policy.of(catalog, short_id("bun", inputs.bundle))
    tapes = [_opened(catalog, data_root, each) for each in inputs.datasets]
    given = Given.in_inputs(catalog, inputs, tapes[0].info.instrument.symbol)
    if progress is not None:
        venues = ", ".join(tape.info.instrument.venue for tape in tapes)
        progress(f"Routing {len(given.orders):,} parent orders over {venues}")
    run = execute_parents(
        given.orders,
        tapes,
        model=policy.routing,
        impact=policy.impact,
        slicing=policy.bundle.slicing_policy,
        settings=given.settings,
        seed=inputs.seed,
        faults=given.faults,
        single_venues=True,
        progress=progress,
    )
    return given, run


def _result_digest(inputs: EvaluationInputs, run: RoutingRun) -> str:
    text = f"{ENGINE_NAME} {ENGINE_VERSION} {inputs.kind} {inputs.seed} {run.digest()}\n"
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def parents_as_parquet(run: RoutingRun, orders: ParentOrders) -> bytes:
    """Write the parents' results, with the best single venue of each, as parquet; equal rows give equal bytes."""
    from evals.routing.figures import best_venues

    costs, where = best_venues(run)
    columns = {"parent_id": list(orders.ids)} | _columns(run.parents)
    return _as_parquet(columns | {"best_venue_1e9": costs, "best_venue": where})


def _columns(rows: NDArray[Any]) -> dict[str, Any]:
    return {name: rows[name].copy() for name in rows.dtype.names or ()}


def _as_parquet(columns: dict[str, Any]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink, version="2.6", compression="zstd")
    content: bytes = sink.getvalue().to_pybytes()
    return content


ROUTING: Final = Engine(engine_fingerprint, _execute, _result)
"""What executes replay and sandbox evaluations of SOR bundles."""
