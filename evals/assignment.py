"""Assignment evaluations: parent orders are assigned by the rule, executed both ways, and the choice is measured.

The result digest is SHA-256 over kind, seed, every column of every assigned parent, and the digests of the two
executions. Decisions rest on the books seen at arrival only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bundles.canonical import short_id
from bundles.evidence import EngineFingerprint, Evaluation, EvaluationInputs
from evals.assigning.policy import Policy, check_venues, check_window
from evals.engine.fingerprint import sources_digest
from evals.evaluation import Engine, Findings, record
from evals.market.datasets import open_dataset
from evals.routing import evaluating as routing
from evals.routing.given import Given, PolicyKind, look_in

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bundles.catalog import Catalog
    from bundles.runners import Runner
    from evals.assigning.execution import Assigned
    from evals.parents.orders import ParentOrders
    from evals.routing.settings import FaultPlan, RoutingSettings

ENGINE_NAME: Final = "kernel-assignment"
ENGINE_VERSION: Final = "1"
SOURCES: Final = (*routing.SOURCES, "bundles/assignment.py", "evals/assigning", "evals/assignment.py")


def engine_fingerprint() -> EngineFingerprint:
    """Return what executes an assignment policy here: results are comparable only under the same fingerprint."""
    return EngineFingerprint(
        name=ENGINE_NAME,
        version=ENGINE_VERSION,
        source=sources_digest(*SOURCES),
        runtime={"numpy": version("numpy")},  # draws for the bounds
    )


def evaluate_assignment(
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
    """Evaluate a registered assignment policy on parent orders over one dataset for each venue, and record it.

    ``parents``: a parquet file of parent orders, see `evals.parents.parquet`; it is kept in the store. ``faults``
    belong to the sandbox; without, it has the usual plan. See `evaluation.record` for the rest.

    Raises:
        InvalidInputError: before anything runs: for a bundle of another kind, a model that does not fit, venues
            without tapes or without coefficients, parent orders of another symbol or outside the tapes,
            `vwap` without an earlier day.
        NotFoundError, IntegrityError: as `evaluation.record`.

    """
    from evals.routing.execution import check_execution

    policy = Policy.of(catalog, bundle)
    datasets = [catalog.dataset(name) for name in ([dataset] if isinstance(dataset, str) else dataset)]
    check_venues(policy, datasets)
    given = Given.by_person(kind, parents, symbol=datasets[0].symbol, settings=settings, faults=faults)
    check_window(given.orders, datasets)
    tapes = [open_dataset(data_root, each) for each in datasets]
    if progress is not None:
        progress(f"Checking {len(given.orders):,} parent orders against the tapes")
    # Each check reads all tapes, and both routes mostly slice alike.
    for slicing in dict.fromkeys((policy.model.slicing_policy, policy.model.edge_slicing)):
        check_execution(given.orders, tapes, model=policy.routing, slicing=slicing, settings=given.settings)
    inputs = given.as_inputs(catalog, policy.bundle.digest(), datasets, seed, engine_fingerprint())
    return record(catalog, inputs, data_root=data_root, runner=runner, now_ns=now_ns, force=force, progress=progress)


def _execute(
    catalog: Catalog, inputs: EvaluationInputs, data_root: Path, progress: Callable[[str], None] | None
) -> Findings:
    from evals.assigning.outcome import figures
    from evals.metrics import validation_metrics

    parents, done = _executed(catalog, inputs, data_root, progress)
    summaries = [catalog.dataset(short_id("data", each)).validation for each in inputs.datasets]
    tape_figures = validation_metrics(*summaries)
    found = figures(parents, done.rows, done.edge, done.sor, seed=inputs.seed, look=look_in(inputs))
    return Findings(
        status="completed",
        result_digest=_result_digest(inputs, done),
        coverage=done.coverage,
        metrics=found | tape_figures,
        outputs={"parents": rows_as_parquet(parents, done.rows)},
        validation={name.removeprefix("tape_"): int(figure or 0) for name, figure in tape_figures.items()},
    )


def _result(catalog: Catalog, inputs: EvaluationInputs, data_root: Path, progress: Callable[[str], None] | None) -> str:
    return _result_digest(inputs, _executed(catalog, inputs, data_root, progress)[1])


def _executed(
    catalog: Catalog, inputs: EvaluationInputs, data_root: Path, progress: Callable[[str], None] | None
) -> tuple[ParentOrders, Assigned]:
    from evals.assigning.execution import assign_and_execute

    policy = Policy.of(catalog, short_id("bun", inputs.bundle))
    datasets = [catalog.dataset(short_id("data", each)) for each in inputs.datasets]
    given = Given.in_inputs(catalog, inputs, datasets[0].symbol)
    parents = given.orders
    if progress is not None:
        progress(f"Assigning {len(parents):,} parent orders over {', '.join(each.venue for each in datasets)}")
    tapes = [open_dataset(data_root, each) for each in datasets]
    done = assign_and_execute(
        policy,
        parents,
        tapes,
        settings=given.settings,
        faults=given.faults,
        seed=inputs.seed,
        progress=progress,
    )
    return parents, done


def _result_digest(inputs: EvaluationInputs, done: Assigned) -> str:
    digest = hashlib.sha256(f"{ENGINE_NAME} {ENGINE_VERSION} {inputs.kind} {inputs.seed} {len(done.rows)}\n".encode())
    for name in done.rows.dtype.names or ():
        column = done.rows[name].tobytes()
        digest.update(f"{name} {len(column)}\n".encode() + column)
    digest.update(f"{done.edge.digest()}\n{done.sor.digest()}\n".encode())
    return f"sha256:{digest.hexdigest()}"


def rows_as_parquet(parents: ParentOrders, rows: NDArray[np.void]) -> bytes:
    """Write assigned parents as parquet: the same rows give the same bytes."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    names: tuple[str, ...] = rows.dtype.names or ()
    columns = {"parent_id": pa.array(parents.ids, pa.string())}
    columns |= {name: pa.array(np.ascontiguousarray(rows[name])) for name in names}
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink, version="2.6", compression="zstd")
    content: bytes = sink.getvalue().to_pybytes()
    return content


ASSIGNMENT: Final = Engine(engine_fingerprint, _execute, _result)
"""What executes replay and sandbox evaluations of assignment bundles."""
