"""Assignment evaluations: parent orders are assigned by the rule, executed both ways, and the choice is measured.

The result digest is SHA-256 over kind, seed, every column of every assigned parent, and the digests of the two
executions. Decisions rest on the books seen at arrival only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from bundles.assignment import AssignmentModel
from bundles.canonical import read_document, short_id
from bundles.errors import InvalidInputError
from bundles.evidence import Coverage, EngineFingerprint, Evaluation, EvaluationInputs
from bundles.manifests import AssignmentBundle
from bundles.routing import ImpactModel, RoutingModel, read_model
from evals.engine.fingerprint import sources_digest
from evals.evaluation import Engine, Findings, record
from evals.routing.settings import FaultPlan, RoutingSettings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from bundles.catalog import Catalog
    from bundles.evidence import Dataset
    from bundles.runners import Runner
    from evals.assigning.rule import Reason
    from evals.market.source import TapeSource
    from evals.parents.orders import ParentOrders

ENGINE_NAME: Final = "kernel-assignment"
ENGINE_VERSION: Final = "1"

Kind = Literal["replay", "sandbox"]


@dataclass(frozen=True)
class Policy:
    """An assignment bundle with everything that its artifact leads to."""

    bundle: AssignmentBundle
    model: AssignmentModel
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
        if not isinstance(manifest, AssignmentBundle):
            raise InvalidInputError(
                f"{bundle} is a bundle of kind {manifest.kind}; only assignment bundles choose between edge and SOR."
            )
        model = read_model(catalog, manifest.artifact, AssignmentModel)
        return cls(
            manifest,
            model,
            read_model(catalog, model.routing_model, RoutingModel),
            read_model(catalog, model.impact_model, ImpactModel),
        )


def engine_fingerprint() -> EngineFingerprint:
    """Return what executes an assignment policy here: results are comparable only under the same fingerprint."""
    return EngineFingerprint(
        name=ENGINE_NAME,
        version=ENGINE_VERSION,
        source=sources_digest(
            "bundles/assignment.py",
            "bundles/routing.py",
            "evals/assigning",
            "evals/assignment.py",
            "evals/engine/arithmetic.py",
            "evals/evaluation.py",
            "evals/market/book.py",
            "evals/market/joining.py",
            "evals/market/parquet.py",
            "evals/market/schema.py",
            "evals/market/source.py",
            "evals/parents",
            "evals/routing",
            "evals/statistics",
        ),
        runtime={"numpy": version("numpy")},
    )


def evaluate_assignment(
    catalog: Catalog,
    *,
    kind: Kind,
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
            without tapes or without coefficients, parent orders of another symbol or outside the tapes.
        NotFoundError, IntegrityError: as `evaluation.record`.

    """
    policy = Policy.of(catalog, bundle)
    datasets = [catalog.dataset(name) for name in ([dataset] if isinstance(dataset, str) else dataset)]
    _check_venues(policy, datasets)
    orders = _parents(parents, datasets[0].symbol, str(parents) if isinstance(parents, Path) else "The parent orders")
    _check_window(orders, datasets)
    if kind == "replay" and faults is not None:
        raise InvalidInputError("A replay injects no faults. Leave the fault plan out, or evaluate in the sandbox.")
    _tapes(catalog, datasets, data_root)
    content = parents.read_bytes() if isinstance(parents, Path) else parents
    plan = {} if kind == "replay" else {"faults": (faults or FaultPlan()).as_json()}
    inputs = EvaluationInputs(
        kind=kind,
        bundle=policy.bundle.digest(),
        datasets=tuple(each.digest() for each in datasets),
        settings={
            "parents": catalog.put_blob(content).digest,
            "routing": (settings or RoutingSettings()).as_json(),
            **plan,
        },
        seed=seed,
        engine=engine_fingerprint(),
    )
    return record(catalog, inputs, data_root=data_root, runner=runner, now_ns=now_ns, force=force, progress=progress)


def _check_venues(policy: Policy, datasets: Sequence[Dataset]) -> None:
    """Refuse venues without tapes and tapes without coefficients."""
    if not datasets:
        raise InvalidInputError("No dataset is given. Name one for each venue that the policy knows.")
    venues = [each.venue for each in datasets]
    for each in datasets:
        if each.symbol != datasets[0].symbol:
            raise InvalidInputError(
                f"{datasets[0].dataset_id} is of {datasets[0].symbol}, {each.dataset_id} of {each.symbol}. An assignment "
                "is evaluated on one symbol."
            )
        if venues.count(each.venue) > 1:
            raise InvalidInputError(f"Two datasets are of {each.venue}. Give one dataset for each venue.")
    model, routing = policy.model, policy.routing
    known = [each.venue for each in routing.venues]
    if model.edge_venue not in venues:
        raise InvalidInputError(
            f"The edge venue {model.edge_venue} of artifact {policy.bundle.artifact} has no tape: the datasets are of "
            f"{', '.join(venues)}. Add a dataset of {model.edge_venue}."
        )
    for venue in known:
        if venue not in venues:
            raise InvalidInputError(
                f"Venue {venue} of routing model {model.routing_model} has no tape: the datasets are of "
                f"{', '.join(venues)}. Add a dataset of {venue}, or route by a model without it."
            )
    for venue in venues:
        if venue not in known:
            raise InvalidInputError(
                f"Venue {venue} has a dataset, but no coefficients in routing model {model.routing_model}, which knows "
                f"{', '.join(known)}. Leave the dataset out, or route by a model that has them."
            )


def _parents(source: bytes | Path, symbol: str, name: str) -> ParentOrders:
    from evals.parents.parquet import read_parents  # noqa: PLC0415 -- pyarrow loads only when something is run

    return read_parents(source, symbol=symbol, name=name)


def _check_window(parents: ParentOrders, datasets: Sequence[Dataset]) -> None:
    """Refuse parent orders that arrive when not every venue's tape holds data."""
    begins = max(each.partitions[0].first_ns for each in datasets)
    ends = min(each.partitions[-1].last_ns for each in datasets)
    arrivals = parents.rows["arrival_ns"]
    outside = (arrivals < begins) | (arrivals > ends)
    if outside.any():
        from evals.market.rules import utc  # noqa: PLC0415

        row = int(outside.argmax())
        raise InvalidInputError(
            f"{int(outside.sum()):,} parent orders arrive outside the tapes, which all hold data from {utc(begins)} to "
            f"{utc(ends)}; the first is {parents.ids[row]}, {utc(int(arrivals[row]))}. Drop them, or give datasets that "
            "cover them."
        )


def _tapes(catalog: Catalog, datasets: Sequence[Dataset], data_root: Path) -> list[TapeSource]:
    from evals.market.datasets import open_dataset  # noqa: PLC0415

    return [open_dataset(data_root, each) for each in datasets]


def _execute(
    catalog: Catalog, inputs: EvaluationInputs, data_root: Path, progress: Callable[[str], None] | None
) -> Findings:
    from evals.assigning.execution import assign_and_execute  # noqa: PLC0415 -- Numba loads only when something is run
    from evals.assigning.outcome import figures  # noqa: PLC0415
    from evals.metrics import validation_metrics  # noqa: PLC0415

    policy = Policy.of(catalog, short_id("bun", inputs.bundle))
    datasets = [catalog.dataset(short_id("data", each)) for each in inputs.datasets]
    settings, faults = _settings(inputs)
    parents = _parents(catalog.blob(str(inputs.settings["parents"])), datasets[0].symbol, "The parent orders")
    if progress is not None:
        progress(f"Assigning {len(parents):,} parent orders over {', '.join(each.venue for each in datasets)}")
    done = assign_and_execute(
        policy, parents, _tapes(catalog, datasets, data_root), settings=settings, faults=faults, seed=inputs.seed
    )
    tape_figures = validation_metrics(*(each.validation for each in datasets))
    look = inputs.settings.get("look", 1)
    return Findings(
        status="completed",
        result_digest=_result_digest(inputs, done.rows, done.edge.digest(), done.sor.digest()),
        coverage=done.coverage,
        metrics=figures(parents, done.rows, done.edge, done.sor, seed=inputs.seed, look=int(str(look))) | tape_figures,
        outputs={"parents": rows_as_parquet(parents, done.rows)},
        validation={name.removeprefix("tape_"): int(figure or 0) for name, figure in tape_figures.items()},
    )


def _settings(inputs: EvaluationInputs) -> tuple[RoutingSettings, FaultPlan | None]:
    routing, faults = inputs.settings.get("routing"), inputs.settings.get("faults")
    settings = read_document(RoutingSettings, routing if isinstance(routing, dict) else {}, "The routing settings")
    if inputs.kind == "replay":
        return settings, None
    return settings, read_document(FaultPlan, faults if isinstance(faults, dict) else {}, "The fault plan")


def _result_digest(inputs: EvaluationInputs, rows: NDArray[np.void], *runs: str) -> str:
    digest = hashlib.sha256(f"{ENGINE_NAME} {ENGINE_VERSION} {inputs.kind} {inputs.seed} {len(rows)}\n".encode())
    for name in rows.dtype.names or ():
        column = rows[name].tobytes()
        digest.update(f"{name} {len(column)}\n".encode() + column)
    for run in runs:
        digest.update(f"{run}\n".encode())
    return f"sha256:{digest.hexdigest()}"


def rows_as_parquet(parents: ParentOrders, rows: NDArray[np.void]) -> bytes:
    """Write assigned parents as parquet: the same rows give the same bytes."""
    import numpy as np  # noqa: PLC0415
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    names: tuple[str, ...] = rows.dtype.names or ()
    columns = {"parent_id": pa.array(parents.ids, pa.string())}
    columns |= {name: pa.array(np.ascontiguousarray(rows[name])) for name in names}
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink, version="2.6", compression="zstd")
    content: bytes = sink.getvalue().to_pybytes()
    return content


ASSIGNMENT: Final = Engine(fingerprint=engine_fingerprint, execute=_execute)
"""What executes replay and sandbox evaluations of assignment bundles."""
