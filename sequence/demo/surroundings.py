"""What the demo runs in: an output folder, a temporary Prefect, a runner of its own, an engine that is compiled."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bundles.errors import RefusedError
from sequence.demo.people import RUNNER

RECKLESS: Final = Path(__file__).parent / "reckless"

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


def fresh_folder(out: Path) -> Path:
    """Empty and return the output folder; refuses a folder that the demo did not make."""
    if out.exists():
        if not (out / _MARKER).is_file():
            raise RefusedError(f"{out} was not made by the demo; nothing was changed. Run the demo in another folder.")
        shutil.rmtree(out)
    out.mkdir(parents=True)
    (out / _MARKER).touch()
    return out


@contextmanager
def temporary_prefect() -> Iterator[None]:
    """Give Prefect a home of its own for the duration of the block, and end its server afterwards."""
    # FastAPI hides this warning of pydantic's itself, but not from the other threads while the server starts in one.
    warnings.filterwarnings("ignore", message="The 'alias' attribute")
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
def own_runner(out: Path) -> Iterator[None]:
    """Let this machine execute evaluations under the demo's runner, not under a name and key of the user's."""
    before = dict(os.environ)
    os.environ.update(SEQUENCE_RUNNER=RUNNER, SEQUENCE_RUNNER_KEY=str(out / "runner_key"))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def start_server() -> None:
    """Import Prefect and start its temporary server, which takes a while: done beside the other steps."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        client.hello()


def load_flows() -> None:
    """Import the flows and all they need while the server starts."""
    import flows.build
    import flows.policies
    import flows.promote
    import flows.replay
    import flows.shadow  # noqa: F401


def compile_engines(project: Path) -> None:
    """Compile the engines beside the other steps, each in a process of its own; Numba keeps the result on disk."""
    from bundles.toolchain import build_wasm, find_toolchain

    here = "from sequence.demo import surroundings"
    routing = subprocess.Popen([sys.executable, "-c", f"{here}; surroundings.route_once()"])  # noqa: S603 -- our code
    shutil.copytree(RECKLESS, project)
    module = build_wasm(project, find_toolchain())
    replay = f"import sys; {here}; surroundings.replay_once(sys.argv[1])"
    subprocess.run([sys.executable, "-c", replay, str(module)], check=True)  # noqa: S603 -- our own interpreter and code
    shutil.rmtree(project)
    routing.wait()


def replay_once(module: str) -> None:
    """Run a module on a second of a synthetic market, so that whatever has to be compiled is."""
    from bundles.mm_types import MmConfig, MmRiskLimits
    from evals.market.synthetic import synthetic_tape
    from evals.replay import run_replay

    tape = synthetic_tape(1, duration_s=1)
    run_replay(Path(module).read_bytes(), tape, config=MmConfig(), risk=MmRiskLimits())


def route_once() -> None:
    """Execute an order over the demo's venues for some seconds, so that whatever has to be compiled is."""
    from bundles.canonical import read_document
    from bundles.routing import ImpactModel, RoutingModel
    from evals.parents.calibration import calibrate
    from evals.parents.generator import Wanted, generate_parents
    from evals.routing.execution import execute_parents
    from evals.routing.settings import RoutingSettings
    from sequence.demo.bundles import IMPACT_MODEL, ROUTING_MODEL
    from sequence.demo.market import synthetic_tapes

    tapes = synthetic_tapes(duration_s=5)
    execute_parents(
        generate_parents(calibrate(tapes[0]), Wanted(count=1, horizon_ns=10**9), seed=1),
        tapes,
        model=read_document(RoutingModel, ROUTING_MODEL, "The demo's routing model"),
        impact=read_document(ImpactModel, IMPACT_MODEL, "The demo's impact model"),
        slicing="twap",
        settings=RoutingSettings(),
        seed=1,
    )
