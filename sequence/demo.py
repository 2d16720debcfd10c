"""The main job as its users run it: a Rust algo from source to the stage replay, through the Prefect flows.

    python -m sequence.demo

Fetches a real sample of market data, puts a roster into force (who approves, who governs, which machine's evaluations
count), builds the template, replays it under the runner's signature, asks for its promotion, is approved with a key
made for the occasion, and reaches stage replay. Then a reckless algo goes the same way and is refused. Everything lies
in ./demo-out afterwards; Prefect's server is a temporary one, and nothing is left running.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bundles.errors import LadderError, RefusedError, UnreachableError

if TYPE_CHECKING:
    from bundles.catalog import Catalog
    from evals.market.tape import Tape

AUTHOR: Final = "quant@demo.example"
APPROVER: Final = "risk@demo.example"
GOVERNOR: Final = "governance@demo.example"
RUNNER: Final = "runner@demo.example"
RECKLESS: Final = Path(__file__).parent / "demo_algos" / "reckless"

_MARKER: Final = ".made-by-sequence-demo"
_PREFECT: Final = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_LOGGING_LEVEL": "WARNING",
    "PREFECT_LOGGING_TO_API_ENABLED": "false",
    # SQLite is locked now and then; the client tries again, but the server would log a traceback each time.
    "PREFECT_SERVER_LOGGING_LEVEL": "CRITICAL",
}
_NOT_OURS: Final = ("PREFECT_API_URL", "PREFECT_API_KEY", "PREFECT_API_AUTH_STRING", "PREFECT_PROFILE")
"""Settings that would send the demo to somebody's real server."""


_BEGAN: Final = time.monotonic()


@dataclass(frozen=True)
class Outcome:
    """One line of the closing table."""

    algo: str
    bundle: str
    verdict: str
    stage: str
    reasons: tuple[str, ...]


def main() -> int:
    """Run the demo; returns 0 if both algos ended as they should."""
    try:
        out = _fresh_folder(Path("demo-out").absolute())
        with _temporary_prefect(), _own_runner(out):
            return _run(out)
    except LadderError as error:
        _say(f"\nThe demo stopped: {error}")
        return error.exit_code


def _run(out: Path) -> int:
    with ThreadPoolExecutor(2) as pool:
        return _climb(out, pool.submit(_start_server), pool.submit(_compile_engine, out / "warm-up"))


def _climb(out: Path, server: Future[None], engine: Future[None]) -> int:
    from bundles.catalog import Catalog
    from bundles.store import open_store
    from sequence.templates import start_project

    store, data = f"file://{out / 'store'}", out / "data"
    catalog = Catalog(open_store(store))
    key = _govern(out, catalog)

    dataset = _dataset(catalog, data)
    _progress("Projects: sequence init my-mm; a copy of the reckless algo")
    start_project("my-mm", out)
    shutil.copytree(RECKLESS, out / "reckless")
    _progress("Prefect's temporary server: starting (20 s or so)")
    _load_flows()
    server.result()
    if not engine.done():
        _progress("Replay engine: compiling (once; Numba keeps it)")
    engine.result()

    outcomes = [_one_algo(out, name, catalog, store, data, dataset, key) for name in ("my-mm", "reckless")]
    _progress("Done")
    _say(_summary(out, store, outcomes))
    as_expected = [outcome.stage for outcome in outcomes] == ["replay", "research"]
    return 0 if as_expected else RefusedError.exit_code


def _one_algo(out: Path, name: str, catalog: Catalog, store: str, data: Path, dataset: str, key: Path) -> Outcome:
    """Take one project through build, replay and promotion."""
    from bundles.promotion import judge
    from evals.reports.page import report_of
    from flows.build import build_bundle
    from flows.promote import promote
    from flows.replay import replay_evaluation

    catalog.register_artifact(f"art_{name}", {"notes.md": f"# {name}\n\nMade by the demo.\n".encode()})
    _progress(f"{name}: flow build-bundle")
    bundle = build_bundle(
        project=str(out / name),
        artifact=f"art_{name}",
        author=AUTHOR,
        store=store,
    ).bundle_id
    _progress(f"{name}: flow replay-evaluation of {bundle}")
    judged = replay_evaluation(bundle=bundle, dataset=dataset, data=str(data), store=store)
    _progress(f"{name}: flow promote; the verdict of {judged.eval_id} is {judged.verdict}")
    reasons: tuple[str, ...] = ()
    with _approver(catalog, bundle, key):
        try:
            promote(bundle=bundle, evaluations=[judged.eval_id], requested_by=AUTHOR, store=store)
        except RefusedError as error:
            reasons = error.unmet
    _progress(f"{name}: {'refused' if reasons else 'promoted'}; writing the report")
    evaluation = catalog.evaluation(judged.eval_id)
    page = report_of(catalog, evaluation, judge(catalog, evaluation))
    (out / f"{name}.html").write_text(page, encoding="utf-8")
    stage = catalog.ledger.state(bundle).stage_at(time.time_ns())
    return Outcome(name, bundle, judged.verdict, stage, reasons)


def _dataset(catalog: Catalog, data: Path) -> str:
    """Import the sample (or, where it cannot be had, make a synthetic market) and register it; returns the id."""
    from evals.market.datasets import build_dataset
    from evals.market.tape import write_tape

    _progress("Market data: fetching the real sample, once")
    tape = _tape()
    _progress("Market data: writing the tape and its dataset")
    write_tape(data, tape)
    instrument = tape.info.instrument
    dataset = build_dataset(data, instrument.venue, instrument.symbol)
    events = f"{len(tape.events):,} events of {instrument.venue} {instrument.symbol}"
    _progress(f"Market data: {dataset.dataset_id}, {events}")
    return catalog.register_dataset(dataset)


def _tape() -> Tape:
    from evals.market.gdax import import_gdax
    from evals.market.synthetic import synthetic_tape
    from sequence.sample import fetch_sample

    try:
        book, messages = fetch_sample(Path(".cache/sample").absolute())
    except UnreachableError as error:
        _progress(f"The real sample cannot be had: {error}\nThis run uses a SYNTHETIC market instead.")
        return synthetic_tape(42)
    _progress("Market data: importing 9.7 minutes of every order, and validating")
    return import_gdax(book, messages)


def _govern(out: Path, catalog: Catalog) -> Path:
    """Make everybody's keys and put the roster into force; return the approver's key.

    The roster names somebody who governs: from then on it changes only by that person's signature. It names a runner,
    too: from then on only evaluations that a listed runner signed count.
    """
    from bundles.governance import set_roster
    from bundles.roster import Roster
    from bundles.signatures import make_key

    roles = {APPROVER: "risk", GOVERNOR: "governance", RUNNER: "runner"}
    keys = {name: out / f"{role}_key" for name, role in roles.items()}
    for name, key in keys.items():
        make_key(key, name)
    signers = "".join(f"{name} {key.with_suffix('.pub').read_text(encoding='utf-8')}" for name, key in keys.items())
    roster = Roster(allowed_signers=signers, roles={name: (role,) for name, role in roles.items()})
    set_roster(catalog, roster, by=GOVERNOR, now_ns=time.time_ns())
    _progress(f"Roster in force: {', '.join(f'{name} ({role})' for name, role in roles.items())}")
    return keys[APPROVER]


@contextmanager
def _approver(catalog: Catalog, bundle: str, key: Path) -> Iterator[None]:
    """Be the other person: wait until the flow asks, sign what the *store* says is asked, answer in Prefect."""
    done = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(_answer, catalog, bundle, key, done)
        try:
            yield
        finally:
            done.set()
        answer.result()


def _answer(catalog: Catalog, bundle: str, key: Path, done: threading.Event) -> None:
    from prefect.client.orchestration import get_client

    from bundles.signatures import sign
    from flows.answering import resume_runs

    told: set[str] = set()
    with get_client(sync_client=True) as client:
        while not done.wait(0.5):
            for request in catalog.ledger.state(bundle).open_requests:
                form = {
                    "decision": "approve",
                    "approver": APPROVER,
                    "notes": "looked at the report of the demo",
                    "signature": sign(request.statement.canonical(), request.statement.namespace, key),
                }
                if request.id not in told:
                    told.add(request.id)
                    _progress(f"The flow waits for an answer to {request.id}: {APPROVER} signs it")
                if resume_runs(client, request.id, form):
                    return


def _compile_engine(project: Path) -> None:
    """Compile the replay engine beside the other steps, in a process of its own; Numba keeps the result on disk."""
    from bundles.toolchain import build_wasm, find_toolchain

    shutil.copytree(RECKLESS, project)
    module = build_wasm(project, find_toolchain())
    command = [sys.executable, "-c", "import sys; from sequence.demo import replay_once; replay_once(sys.argv[1])"]
    subprocess.run([*command, str(module)], check=True)  # noqa: S603 -- our own interpreter and code
    shutil.rmtree(project)


def replay_once(module: str) -> None:
    """Run a module on a second of a synthetic market: whatever has to be compiled is compiled then."""
    from bundles.mm_types import MmConfig, MmRiskLimits
    from evals.market.synthetic import synthetic_tape
    from evals.replay import run_replay

    tape = synthetic_tape(1, duration_s=1)
    run_replay(Path(module).read_bytes(), tape, config=MmConfig(), risk=MmRiskLimits())


def _start_server() -> None:
    """Import Prefect and start its temporary server, which takes a while: done beside the other steps."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        client.hello()


def _load_flows() -> None:
    """Import the flows and all they need while the server starts."""
    import flows.build
    import flows.promote
    import flows.replay  # noqa: F401


@contextmanager
def _temporary_prefect() -> Iterator[None]:
    """Give Prefect a home of its own for the duration of the block, and end its server afterwards."""
    before = dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="sequence-demo-") as home:
        for name in _NOT_OURS:
            os.environ.pop(name, None)
        # Both algos, and what set-up compiled before, share one folder: the SDK is compiled once.
        os.environ.update(_PREFECT, PREFECT_HOME=home, CARGO_TARGET_DIR=str(Path(".cache/target").absolute()))
        try:
            yield
        finally:
            from prefect.server.api.server import SubprocessASGIServer

            SubprocessASGIServer().stop()
            os.environ.clear()
            os.environ.update(before)


@contextmanager
def _own_runner(out: Path) -> Iterator[None]:
    """Let this machine execute evaluations under the demo's runner, not under a name and key of the user's."""
    before = dict(os.environ)
    os.environ.update(SEQUENCE_RUNNER=RUNNER, SEQUENCE_RUNNER_KEY=str(out / "runner_key"))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _fresh_folder(out: Path) -> Path:
    """Empty and return the output folder; refuses a folder that the demo did not make."""
    if out.exists():
        if not (out / _MARKER).is_file():
            raise RefusedError(f"{out} was not made by the demo; nothing was changed. Run the demo in another folder.")
        shutil.rmtree(out)
    out.mkdir(parents=True)
    (out / _MARKER).touch()
    return out


def _summary(out: Path, store: str, outcomes: list[Outcome]) -> str:
    lines = ["", f"{'ALGO':<12}{'BUNDLE':<24}{'VERDICT':<16}STAGE"]
    lines += [f"{each.algo:<12}{each.bundle:<24}{each.verdict:<16}{each.stage}" for each in outcomes]
    for each in outcomes:
        if each.reasons:
            lines += ["", f"Why {each.algo} is refused:"]
        for reason in each.reasons:
            lines += textwrap.wrap(reason, 78, initial_indent="- ", subsequent_indent="  ")
    reports = [f"Report:  {out / each.algo}.html" for each in outcomes]
    return "\n".join(
        [*lines, "", *reports, f"History: SEQUENCE_STORE={store} sequence bundle history {outcomes[0].bundle}"]
    )


def _progress(text: str) -> None:
    _say(f"{time.monotonic() - _BEGAN:4.0f} s  {text}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
