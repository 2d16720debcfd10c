"""What `make up` starts, in a home of its own: Prefect's server and the process that serves the deployments."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 120


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class Prefect:
    """A Prefect server's address, and the few questions that tests ask it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.api = f"{self.url}/api"

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """Send a body (POST) or read (GET); again while the server says that its database is locked."""
        data = None if body is None else json.dumps(body).encode()
        deadline = time.monotonic() + PATIENCE_S
        while True:
            asked = urllib.request.Request(f"{self.api}{path}", data, {"Content-Type": "application/json"})
            try:
                with urllib.request.urlopen(asked, timeout=30) as answer:
                    return json.loads(answer.read() or b"null")
            except urllib.error.HTTPError as refused:
                if refused.code != HTTPStatus.SERVICE_UNAVAILABLE or time.monotonic() > deadline:
                    raise
            time.sleep(0.5)

    def is_healthy(self) -> bool:
        try:
            return bool(self.ask("/health"))
        except OSError:
            return False

    def question(self, run: str) -> str:
        """Return the text that a suspended run shows to people; empty until Prefect has written it."""
        keys = self.ask(f"/flow_runs/{run}")["state"]["state_details"]["run_input_keyset"]
        try:
            return str(self.ask(f"/flow_runs/{run}/input/{keys['description']}"))
        except urllib.error.HTTPError as missing:
            if missing.code != HTTPStatus.NOT_FOUND:
                raise
            return ""

    def start(self, deployment: str, parameters: dict[str, Any]) -> str:
        """Run a deployment (its flow has the same name); returns the run's id."""
        found = self.ask(f"/deployments/name/{deployment}/{deployment}")
        run: str = self.ask(f"/deployments/{found['id']}/create_flow_run", {"parameters": parameters})["id"]
        return run

    def state(self, run: str) -> str:
        """Return the name of a run's state."""
        name: str = self.ask(f"/flow_runs/{run}")["state"]["name"]
        return name

    def wait_for_state(self, run: str, name: str) -> None:
        wait_until(lambda: self.state(run) == name, f"run {run} never came to state {name}")


def wait_until(condition: Callable[[], bool], otherwise: str, *, patience_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.2)


def environment(home: Path, store: str, **more: str) -> dict[str, str]:
    """Return an environment that knows neither the user's Prefect nor the one of other tests."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    return {
        **kept,
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # The runner looks for work every ten seconds: a run would wait that long three times in each walk.
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",
        "SEQUENCE_STORE": store,
        "SEQUENCE_RUNNER_KEY": str(home / "runner_key"),
        **more,
    }


@contextmanager
def started(command: Sequence[str], said: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Python command for the duration of the block, unless the block ends it; what it says goes to a file."""
    with said.open("ab") as log:
        # A session of its own: its id then names whatever it starts, and `kill` leaves nothing of it behind.
        process = subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, env=env, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and its children as a power cut would."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def prefect_alone(home: Path, prefect: Prefect) -> Iterator[subprocess.Popen[bytes]]:
    """Run only the server."""
    command = ["-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(prefect.port)]
    env = environment(home, "", PREFECT_UI_API_URL=prefect.api)
    with started(command, home / "server.log", env) as process:
        wait_until(lambda: process.poll() is not None or prefect.is_healthy(), "the server does not answer")
        assert process.poll() is None, (home / "server.log").read_text()
        yield process


@contextmanager
def serving(home: Path, store: str, prefect: Prefect) -> Iterator[subprocess.Popen[bytes]]:
    """Serve the deployments; starts the server too, unless it runs."""
    given = {"PREFECT_API_URL": prefect.api} if prefect.is_healthy() else {}
    said = home / "serve.log"
    said.unlink(missing_ok=True)
    with started(
        ["-m", "flows.serve", "--port", str(prefect.port)], said, environment(home, store, **given)
    ) as process:
        wait_until(lambda: process.poll() is not None or "Stop with" in said.read_text(), "nothing is served")
        assert process.poll() is None, said.read_text()
        yield process
