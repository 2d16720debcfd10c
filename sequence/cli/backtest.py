"""`sequence backtest`: replay an algo on recorded data of one or more symbols and venues."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sequence.cli.build import built_wasm, compile_project, project_folder
from sequence.cli.ids import BUNDLE, DATASET
from sequence.cli.markets import DAY
from sequence.cli.models import model_options, replay_settings
from sequence.cli.recorded import FORCE, REPORT, SEED, check_report_path, run_and_show
from sequence.cli.session import Command, Session, naming, pass_session

if TYPE_CHECKING:
    from bundles.evidence import Dataset, Evaluation
    from bundles.project import Project
    from evals.engine.settings import ReplaySettings
    from evals.market.datasets import SymbolFiles


@click.command(cls=Command)
@click.argument("symbol", required=False)
@click.option("--start", type=DAY, metavar="YYYY-MM-DD", help="First UTC day")
@click.option("--end", type=DAY, metavar="YYYY-MM-DD", help="Last UTC day, included")
@click.option(
    "--symbols", metavar="LIST", help="Symbols, separated by commas, numbered 1, 2, … in this order; beats SYMBOL"
)
@click.option("--capital", type=click.IntRange(1, 9_000_000_000), default=100_000, show_default=True, help="USD")
@click.option(
    "--venue",
    metavar="LIST",
    default="all",
    show_default=True,
    help="Only these venues, separated by commas. The first that recorded a symbol is its home: on_book shows its book",
)
@SEED
@click.option("--skip-build", is_flag=True, help="Use the WASM that was built before")
@click.option("--bundle", "bundle_id", type=BUNDLE, help="Replay this registered bundle; no build")
@click.option(
    "--dataset",
    "dataset_ids",
    type=DATASET,
    multiple=True,
    help="Replay on this dataset; beats days, symbols and venues. Again for more",
)
@model_options
@FORCE
@REPORT
@pass_session
def backtest(
    session: Session,
    /,
    symbol: str | None,
    start: datetime | None,
    end: datetime | None,
    symbols: str | None,
    capital: int,
    venue: str,
    seed: int,
    skip_build: bool,
    bundle_id: str | None,
    dataset_ids: tuple[str, ...],
    force: bool,
    report: Path | None,
    **models: Any,
) -> None:
    """Replay an algo on recorded data of SYMBOL.

    With --bundle the run is recorded as an evaluation that can justify a promotion. Without, it is a trial of the
    project's algo: metrics are shown and nothing is recorded.
    """
    if bundle_id is None and (force or report):
        raise click.UsageError("--force and --report need --bundle: a trial is not recorded.")
    check_report_path(report)
    from evals.engine.settings import ReplaySettings

    settings, trace = replay_settings(ReplaySettings, capital=capital, **models)
    if dataset_ids:
        datasets = [session.catalog.dataset(each) for each in dataset_ids]
    else:
        datasets = _choose_datasets(session, _listed(symbols or symbol), venue, start, end)
    for each in datasets:
        session.progress(f"Dataset {each.dataset_id}: {each.venue} {each.symbol}")
    if bundle_id is None:
        _trial(session, datasets, settings, seed, skip_build, trace)
    else:
        if trace is not None:
            session.catalog.put_blob(trace)
        _evaluate(session, bundle_id, datasets, settings, seed, force, report)


def _listed(text: str | None) -> list[str]:
    """Split a list at its commas.

    Raises:
        click.UsageError: for an empty part, or one that is named twice.

    """
    parts = [] if text is None else [part.strip() for part in text.split(",")]
    if not all(parts) or len(set(parts)) < len(parts):
        raise click.UsageError(f"{text!r}: name each once, separated by commas.")
    return parts


def _choose_datasets(
    session: Session, symbols: Sequence[str], venue: str, start: datetime | None, end: datetime | None
) -> list[Dataset]:
    """Register the tapes of symbols and of days, one dataset a venue, in the order in which they are listed."""
    from evals.market.datasets import build_dataset, list_symbols

    if not symbols or start is None or end is None:
        raise click.UsageError("Give SYMBOL (or --symbols), --start and --end, or --dataset.")
    if end < start:
        raise click.UsageError(f"--end {end:%Y-%m-%d} lies before --start {start:%Y-%m-%d}.")
    root = session.settings.data_root
    venues = None if venue.strip() == "all" else _listed(venue)
    first, last = start.date(), end.date()
    held = list_symbols(root)
    datasets = []
    for symbol in symbols:
        for each in _recorded(held, symbol, venues, first, last) or _nothing(root, held, symbol, venues, first, last):
            dataset = build_dataset(root, each.venue, symbol, first, last)
            session.catalog.register_dataset(dataset)
            datasets.append(dataset)
    return datasets


def _recorded(
    held: Sequence[SymbolFiles], symbol: str, venues: Sequence[str] | None, first: date, last: date
) -> list[SymbolFiles]:
    """Return what holds a symbol on any of the days: in the order of the venues, by name where none are given."""
    found = [each for each in held if each.symbol == symbol and any(first <= day <= last for day, _path in each.files)]
    if venues is None:
        return found
    return sorted((each for each in found if each.venue in venues), key=lambda each: venues.index(each.venue))


def _nothing(
    root: Path, held: Sequence[SymbolFiles], symbol: str, venues: Sequence[str] | None, first: date, last: date
) -> list[SymbolFiles]:
    from bundles.errors import NotFoundError

    listed = "; ".join(f"{each.venue} {each.symbol} {each.span}" for each in held) or "nothing"
    raise NotFoundError(
        f"{root} has no tape of {symbol} on {', '.join(venues) if venues else 'any venue'} from {first} to {last}. "
        f"It has: {listed}. Import one: sequence data import"
    )


def _trial(
    session: Session,
    datasets: Sequence[Dataset],
    settings: ReplaySettings,
    seed: int,
    skip_build: bool,
    trace: bytes | None,
) -> None:
    """Run the project's algo without recording anything."""
    from bundles.project import find_project
    from evals.latency_trace import parse_trace
    from evals.market.datasets import open_dataset
    from evals.replay import run_replay
    from sequence.verdicts import headline

    folder = project_folder()
    wasm_path = built_wasm(folder) if skip_build else compile_project(session, folder)
    project: Project = find_project(folder)
    risk_version = "v1" if "v1" in project.risk else min(project.risk)
    with naming(wasm_path):
        result = run_replay(
            wasm_path.read_bytes(),
            [open_dataset(session.settings.data_root, dataset) for dataset in datasets],
            config=project.config,
            risk=project.risk_limits(risk_version),
            settings=settings,
            seed=seed,
            progress=session.progress,
            trace=None if trace is None else parse_trace(trace, "The trace"),
        )
    session.say(
        "This was a trial: nothing was recorded, and it cannot justify a promotion. "
        "For that, compile a bundle and run: sequence backtest … --bundle ID"
    )
    names = [dataset.dataset_id for dataset in datasets]
    session.emit(
        {
            "eval_id": None,
            "verdict": None,
            "status": result.status,
            "detail": result.detail,
            "result_digest": result.result_digest,
            "metrics": result.metrics,
            "dataset": names[0],
            "datasets": names,
        },
        [
            "Evaluation: none (a trial)",
            *(f"Dataset: {name}" for name in names),
            f"Status: {result.status}" + (f" ({result.detail})" if result.detail else ""),
            f"Result digest: {result.result_digest}",
            *headline(result.metrics),
            "All metrics: --json",
        ],
    )


def _evaluate(
    session: Session,
    bundle_id: str,
    datasets: Sequence[Dataset],
    settings: ReplaySettings,
    seed: int,
    force: bool,
    report: Path | None,
) -> None:
    """Replay a registered bundle, record the evaluation, and show it with its verdict."""
    from evals.replay import evaluate_replay

    def evaluate(bundle: str, now_ns: int) -> Evaluation:
        return evaluate_replay(
            session.catalog,
            bundle=bundle,
            dataset=[dataset.dataset_id for dataset in datasets],
            data_root=session.settings.data_root,
            settings=settings,
            seed=seed,
            runner=session.runner,
            now_ns=now_ns,
            force=force,
            progress=session.progress,
        )

    run_and_show(session, bundle_id, evaluate, report)
