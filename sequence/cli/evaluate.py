"""`sequence eval shadow|replay|sandbox|live-review`: evaluations beside `backtest`, which replays an algo."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from sequence.cli.ids import BUNDLE, DATASET
from sequence.cli.markets import VENUE_AND_SYMBOL
from sequence.cli.models import model_options, replay_settings
from sequence.cli.recorded import recorded_options, run_and_show
from sequence.cli.session import Command, Session, pass_session

if TYPE_CHECKING:
    from bundles.canonical import Document
    from bundles.evidence import Evaluation
    from evals.routing.given import PolicyKind

_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER: Final = click.Path(exists=True, file_okay=False, path_type=Path)
_TIME: Final = click.DateTime(formats=["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"])

_Document = TypeVar("_Document", bound="Document")
_Function = TypeVar("_Function", bound=Callable[..., Any])

_BUNDLE: Final = click.option("--bundle", "bundle_id", type=BUNDLE, required=True, help="The bundle to judge")
_DATASETS: Final = click.option(
    "--dataset",
    "dataset_ids",
    type=DATASET,
    multiple=True,
    required=True,
    help="Recorded market data. Again for each further venue",
)


@click.command(cls=Command)
@_BUNDLE
@click.option("--dataset", "dataset_ids", type=DATASET, multiple=True, help="Recorded market data. Again for more")
@click.option(
    "--follow",
    type=VENUE_AND_SYMBOL,
    multiple=True,
    metavar="VENUE/SYMBOL",
    help="A feed that is still being written. Again for more",
)
@click.option("--until", type=_TIME, metavar="TIME", help="With --follow: when the window ends, UTC")
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(1),
    default=300,
    show_default=True,
    metavar="S",
    help="With --follow: how long to wait for the next partition",
)
@click.option(
    "--max-gap",
    "max_gap_s",
    type=click.FloatRange(0.001),
    default=60,
    show_default=True,
    metavar="S",
    help="With --follow: longer silences are missing data",
)
@click.option(
    "--incumbent",
    type=BUNDLE,
    metavar="ID|flat",
    help="What to beat: a bundle, or flat for not trading. Default: the bundle that holds the next rung",
)
@click.option("--capital", type=click.IntRange(1, 9_000_000_000), default=100_000, show_default=True, help="USD")
@model_options
@recorded_options
@pass_session
def shadow(
    session: Session,
    /,
    bundle_id: str,
    dataset_ids: tuple[str, ...],
    follow: tuple[tuple[str, str], ...],
    until: datetime | None,
    timeout_s: float,
    max_gap_s: float,
    incumbent: str | None,
    capital: int,
    seed: int,
    force: bool,
    report: Path | None,
    **models: Any,
) -> None:
    """Run an algo beside the incumbent on the same market, and tell whether it is better.

    Its orders are simulated, under the latencies of a live system, and never sent.
    """
    if bool(dataset_ids) == bool(follow) or bool(follow) != (until is not None):
        raise click.UsageError("Give --dataset, or --follow with --until.")
    from evals.shadow import evaluate_shadow, evaluate_shadow_live
    from evals.shadowing.following import FollowRules
    from evals.shadowing.settings import ShadowSettings

    settings, trace = replay_settings(ShadowSettings, capital=capital, **models)
    if trace is not None:
        session.catalog.put_blob(trace)

    def evaluate(bundle: str, now_ns: int) -> Evaluation:
        if until is None:
            return evaluate_shadow(
                session.catalog,
                bundle=bundle,
                dataset=dataset_ids,
                incumbent=incumbent,
                data_root=session.settings.data_root,
                settings=settings,
                seed=seed,
                runner=session.runner,
                now_ns=now_ns,
                force=force,
                progress=session.progress,
            )
        until_ns = int(until.replace(tzinfo=UTC).timestamp()) * 10**9
        return evaluate_shadow_live(
            session.catalog,
            bundle=bundle,
            tapes=follow,
            rules=FollowRules(from_ns=now_ns, until_ns=until_ns, timeout_s=timeout_s, max_gap_s=max_gap_s),
            incumbent=incumbent,
            data_root=session.settings.data_root,
            settings=settings,
            seed=seed,
            runner=session.runner,
            progress=session.progress,
        )

    run_and_show(session, bundle_id, evaluate, report)


def _policy_options(command: _Function) -> _Function:
    options = (
        _BUNDLE,
        _DATASETS,
        click.option("--parents", type=_FILE, required=True, help="Parent orders to execute (sequence data parents)"),
        click.option("--settings", "settings_file", type=_FILE, help="YAML file of slices, intervals and latencies"),
        recorded_options,
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command(cls=Command)
@_policy_options
@pass_session
def replay(session: Session, /, **given: Any) -> None:
    """Execute parent orders under a routing or assignment policy on the books as received; `backtest` replays algos."""
    _evaluate_policy(session, "replay", faults_file=None, **given)


@click.command(cls=Command)
@click.option("--faults", "faults_file", type=_FILE, help="YAML file of rejects, partial fills and stale venues")
@_policy_options
@pass_session
def sandbox(session: Session, /, **given: Any) -> None:
    """Execute parent orders under a policy as the market would: late, in queues, with rejects and stale venues."""
    _evaluate_policy(session, "sandbox", **given)


def _evaluate_policy(
    session: Session,
    kind: PolicyKind,
    *,
    bundle_id: str,
    dataset_ids: tuple[str, ...],
    parents: Path,
    settings_file: Path | None,
    faults_file: Path | None,
    seed: int,
    force: bool,
    report: Path | None,
) -> None:
    from evals.policies import evaluate_policy
    from evals.routing.settings import FaultPlan, RoutingSettings

    settings, faults = _read(settings_file, RoutingSettings), _read(faults_file, FaultPlan)

    def evaluate(bundle: str, now_ns: int) -> Evaluation:
        return evaluate_policy(
            session.catalog,
            kind=kind,
            bundle=bundle,
            dataset=dataset_ids,
            parents=parents,
            data_root=session.settings.data_root,
            settings=settings,
            faults=faults,
            seed=seed,
            runner=session.runner,
            now_ns=now_ns,
            force=force,
            progress=session.progress,
        )

    run_and_show(session, bundle_id, evaluate, report)


@click.command("live-review", cls=Command)
@_BUNDLE
@_DATASETS
@click.option("--recording", type=_FOLDER, required=True, help="Folder of what the deployment recorded")
@recorded_options
@pass_session
def live_review(
    session: Session,
    /,
    bundle_id: str,
    dataset_ids: tuple[str, ...],
    recording: Path,
    seed: int,
    force: bool,
    report: Path | None,
) -> None:
    """Compare what a deployment really did with its replay on the market that it recorded."""
    from evals.live_review import evaluate_live_review

    def evaluate(bundle: str, now_ns: int) -> Evaluation:
        return evaluate_live_review(
            session.catalog,
            bundle=bundle,
            dataset=dataset_ids,
            recording=recording,
            data_root=session.settings.data_root,
            seed=seed,
            runner=session.runner,
            now_ns=now_ns,
            force=force,
            progress=session.progress,
        )

    run_and_show(session, bundle_id, evaluate, report)


def _read(path: Path | None, schema: type[_Document]) -> _Document | None:
    from bundles.yaml_documents import read_yaml

    return None if path is None else read_yaml(schema, path.read_text(encoding="utf-8"), str(path))
