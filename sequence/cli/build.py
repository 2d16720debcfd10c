"""`sequence init`, `build`, `backtest`, `deploy`: from a new project to a judged algo."""

from __future__ import annotations

import os
import re
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from sequence.cli.ids import BUNDLE, DATASET
from sequence.cli.session import Command, Session, naming, pass_session

if TYPE_CHECKING:
    from bundles.evidence import Dataset
    from bundles.project import Project
    from evals.replay import ReplaySettings

_DAY: Final = click.DateTime(formats=["%Y-%m-%d"])


@click.command(cls=Command)
@click.argument("name")
@pass_session
def init(session: Session, name: str) -> None:
    """Start a project NAME from the market-making template."""
    from sequence.templates import start_project

    project = start_project(name, Path.cwd())
    files = sorted(path.relative_to(project).as_posix() for path in project.rglob("*") if path.is_file())
    session.emit(
        {"name": name, "path": str(project), "files": files},
        [f"Project: {project}", *(f"  {each}" for each in files), f"Next: cd {name} && sequence build"],
    )


@click.command(cls=Command)
@pass_session
def build(session: Session) -> None:
    """Compile the algo of the project in the current directory to WASM."""
    path = _build(session, _project_folder())
    size_bytes = path.stat().st_size
    session.emit({"wasm": str(path), "size_bytes": size_bytes}, [f"WASM: {path}", f"Size: {size_bytes} bytes"])


@click.command(cls=Command)
@click.argument("symbol", required=False)
@click.option("--start", type=_DAY, metavar="YYYY-MM-DD", help="First UTC day")
@click.option("--end", type=_DAY, metavar="YYYY-MM-DD", help="Last UTC day, included")
@click.option("--symbols", metavar="LIST", help="Symbols, separated by commas; beats SYMBOL (one at a time so far)")
@click.option("--capital", type=click.IntRange(1, 9_000_000_000), default=100_000, show_default=True, help="USD")
@click.option("--venue", metavar="LIST", default="all", show_default=True, help="Venues, separated by commas")
@click.option("--seed", type=click.IntRange(0, 2**53 - 1), default=42, show_default=True, help="PRNG seed")
@click.option("--skip-build", is_flag=True, help="Use the WASM that was built before")
@click.option("--bundle", "bundle_id", type=BUNDLE, help="Replay this registered bundle; no build")
@click.option("--dataset", "dataset_id", type=DATASET, help="Replay on this dataset; beats days, symbol and venue")
@click.option("--force", is_flag=True, help="Run although the same inputs were run before; the results must be equal")
@click.option("--report", type=click.Path(dir_okay=False, path_type=Path), help="Write an HTML report to this file")
@pass_session
def backtest(
    session: Session,
    symbol: str | None,
    start: datetime | None,
    end: datetime | None,
    symbols: str | None,
    capital: int,
    venue: str,
    seed: int,
    skip_build: bool,
    bundle_id: str | None,
    dataset_id: str | None,
    force: bool,
    report: Path | None,
) -> None:
    """Replay an algo on recorded data of SYMBOL.

    With --bundle the run is recorded as an evaluation that can justify a promotion. Without, it is a trial of the
    project's algo: metrics are shown and nothing is recorded.
    """
    if bundle_id is None and (force or report):
        raise click.UsageError("--force and --report need --bundle: a trial is not recorded.")
    if report is not None and not os.access(report.absolute().parent, os.W_OK | os.X_OK):
        raise click.UsageError(
            f"--report {report}: its folder is not there or cannot be written. Name another, or make it."
        )
    if dataset_id is not None:
        dataset = session.catalog.dataset(dataset_id)
    else:
        dataset = _choose_dataset(session, symbols or symbol, venue, start, end)
    session.progress(f"Dataset {dataset.dataset_id}: {dataset.venue} {dataset.symbol}")
    from evals.replay import ReplaySettings

    settings = ReplaySettings(capital_1e9=capital * 10**9)
    if bundle_id is None:
        _trial(session, dataset, settings, seed, skip_build)
    else:
        _evaluate(session, bundle_id, dataset, settings, seed, force, report)


@click.command(cls=Command)
@click.argument("symbol", required=False)
@click.option("--bundle", "bundle_id", type=BUNDLE, help="The promoted bundle to deploy")
@click.option("--start", is_flag=True, help="Start it at once")
@click.option("--skip-build", is_flag=True, help="Use the WASM that was built before")
def deploy(symbol: str | None, bundle_id: str | None, start: bool, skip_build: bool) -> None:  # noqa: ARG001 -- the brief's form
    """Deploy a promoted bundle to an edge. Comes with a later release: exits 3 and changes nothing."""
    from bundles.errors import RefusedError

    what = bundle_id or "the project"
    raise RefusedError(
        f"This release cannot deploy {what}: the coordinator and the edge runtime come with a later one. "
        "Nothing was deployed. Promote now, deploy later: sequence bundle promote --help"
    )


def _project_folder() -> Path:
    """Return the nearest folder upwards that has a Cargo.toml; the current one where none has."""
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / "Cargo.toml").is_file()), here)


def _build(session: Session, folder: Path) -> Path:
    from bundles.toolchain import build_wasm, find_toolchain

    toolchain = find_toolchain(say=session.say)
    session.say(f"Rust: {toolchain.origin}")
    return build_wasm(folder, toolchain)


def _choose_dataset(
    session: Session, symbol: str | None, venue: str, start: datetime | None, end: datetime | None
) -> Dataset:
    """Register the tapes of a symbol and of days as a dataset and return it."""
    from bundles.errors import NotFoundError
    from evals.market.datasets import build_dataset, list_symbols

    if symbol is None or start is None or end is None:
        raise click.UsageError("Give SYMBOL, --start and --end, or --dataset.")
    if "," in symbol:
        raise click.UsageError("This release replays one symbol at a time: run once for each.")
    if end < start:
        raise click.UsageError(f"--end {end:%Y-%m-%d} lies before --start {start:%Y-%m-%d}.")
    root = session.settings.data_root
    wanted = None if venue == "all" else re.split(r"\s*,\s*", venue.strip())
    held = list_symbols(root)
    matches = [each for each in held if each.symbol == symbol and (wanted is None or each.venue in wanted)]
    if not matches:
        listed = "; ".join(f"{each.venue} {each.symbol} {each.span}" for each in held) or "nothing"
        raise NotFoundError(
            f"{root} has no tape of {symbol} on {venue if wanted else 'any venue'}. It has: {listed}. "
            "Import one: sequence data import"
        )
    if len(matches) > 1:
        names = ", ".join(each.venue for each in matches)
        raise click.UsageError(
            f"{symbol} is recorded on several venues: {names}. Say which: --venue {matches[0].venue}"
        )
    dataset = build_dataset(root, matches[0].venue, symbol, _day(start), _day(end))
    session.catalog.register_dataset(dataset)
    return dataset


def _day(moment: datetime) -> date:
    return moment.date()


def _trial(session: Session, dataset: Dataset, settings: ReplaySettings, seed: int, skip_build: bool) -> None:
    """Run the project's algo without recording anything."""
    from bundles.project import find_project
    from evals.market.datasets import load_dataset
    from evals.replay import run_replay
    from sequence.verdicts import metric_lines

    folder = _project_folder()
    wasm_path = _built(folder) if skip_build else _build(session, folder)
    project: Project = find_project(folder)
    risk_version = "v1" if "v1" in project.risk else min(project.risk)
    tape = load_dataset(session.settings.data_root, dataset)
    with naming(wasm_path):
        result = run_replay(
            wasm_path.read_bytes(),
            tape,
            config=project.config,
            risk=project.risk_limits(risk_version),
            settings=settings,
            seed=seed,
            progress=session.progress,
        )
    session.say(
        "This was a trial: nothing was recorded, and it cannot justify a promotion. "
        "For that, compile a bundle and run: sequence backtest … --bundle ID"
    )
    session.emit(
        {
            "eval_id": None,
            "verdict": None,
            "status": result.status,
            "detail": result.detail,
            "result_digest": result.result_digest,
            "metrics": result.metrics,
            "dataset": dataset.dataset_id,
        },
        [
            "Evaluation: none (a trial)",
            f"Dataset: {dataset.dataset_id}",
            f"Status: {result.status}" + (f" ({result.detail})" if result.detail else ""),
            f"Result digest: {result.result_digest}",
            "Metrics:",
            *metric_lines(result.metrics),
        ],
    )


def _built(folder: Path) -> Path:
    from bundles.errors import NotFoundError

    held = sorted((folder / "target/wasm32-unknown-unknown/release").glob("*.wasm"))
    if len(held) != 1:
        raise NotFoundError(f"{folder} has {len(held)} built WASM files, not one. Leave out --skip-build.")
    return held[0]


def _evaluate(
    session: Session,
    bundle_id: str,
    dataset: Dataset,
    settings: ReplaySettings,
    seed: int,
    force: bool,
    report: Path | None,
) -> None:
    """Replay a registered bundle, record the evaluation, and show it with its verdict."""
    import time

    from bundles.errors import LadderError
    from bundles.promotion import judge
    from evals.replay import evaluate_replay
    from sequence.verdicts import lines_of

    evaluation = evaluate_replay(
        session.catalog,
        bundle=bundle_id,
        dataset=dataset.dataset_id,
        data_root=session.settings.data_root,
        settings=settings,
        seed=seed,
        runner=session.settings.user,
        now_ns=time.time_ns(),
        force=force,
        progress=session.progress,
    )
    gate = judge(session.catalog, evaluation)
    document: dict[str, Any] = {
        "eval_id": evaluation.eval_id,
        "verdict": gate.verdict,
        "result_digest": evaluation.result_digest,
        "metrics": evaluation.model_dump(mode="json")["metrics"],
        "status": evaluation.status,
        "checks": [{"text": check.text, "ok": check.ok, "dry_run": check.dry_run} for check in gate.checks],
        "dataset": dataset.dataset_id,
    }
    lines = lines_of(evaluation, gate)
    if report is not None:
        from evals.report import report_of

        session.progress("Writing the report")
        page = report_of(session.catalog, evaluation, gate)
        try:
            report.write_text(page, encoding="utf-8")
        except OSError as error:
            raise LadderError(
                f"The report {report} cannot be written: {error.strerror}. {evaluation.eval_id} is recorded: "
                "run the same again with another --report."
            ) from error
        document["report"] = str(report.absolute())
        lines.append(f"Report: {report.absolute()}")
    session.emit(document, lines)
