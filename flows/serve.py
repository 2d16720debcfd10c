"""Starts Prefect's server (unless one is given) and serves the deployments of deployments/prefect.yaml: `make up`.

    python -m flows.serve [--port 4200]

Prefect's API has no authentication of its own here: the server listens on the loopback interface only.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from typing import TYPE_CHECKING, Any

import yaml

from bundles.errors import UnreachableError

if TYPE_CHECKING:
    from prefect import Flow
    from prefect.deployments.runner import RunnerDeployment

HOST = "127.0.0.1"
START_TIMEOUT_S = 120


def read_deployments() -> list[dict[str, Any]]:
    """Return the deployments as prefect.yaml lists them."""
    text = resources.files("deployments").joinpath("prefect.yaml").read_text("utf-8")
    listed: list[dict[str, Any]] = yaml.safe_load(text)["deployments"]
    return listed


async def to_served(listed: Sequence[dict[str, Any]]) -> list[RunnerDeployment]:
    """Return prefect.yaml's deployments in the form that Prefect's runner serves."""
    # Prefect reads its settings when it is imported, so that comes after the server's address is known.
    from prefect.flows import load_flow_from_entrypoint
    from prefect.schedules import Cron
    from prefect.types.entrypoint import EntrypointType

    served = []
    for item in listed:
        path, name = item["entrypoint"].split(":")
        flow: Flow[..., Any] = load_flow_from_entrypoint(f"{path.removesuffix('.py').replace('/', '.')}.{name}")
        served.append(
            await flow.ato_deployment(
                item["name"],
                description=item["description"],
                tags=item["tags"],
                parameters=item["parameters"],
                schedules=[
                    Cron(
                        schedule["cron"],
                        timezone=schedule["timezone"],
                        slug=schedule["slug"],
                        active=schedule["active"],
                    )
                    for schedule in item.get("schedules", ())
                ],
                concurrency_limit=item.get("concurrency_limit"),
                entrypoint_type=EntrypointType.MODULE_PATH,
            )
        )
    return served


@contextmanager
def prefect_server(port: int) -> Iterator[str]:
    """Run Prefect's server on the loopback interface for the duration of the block; yields its API address.

    Raises:
        UnreachableError: when it ends, or does not answer in time.

    """
    api = f"http://{HOST}:{port}/api"
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", HOST, "--port", str(port)]
    environment = {
        **os.environ,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_UI_API_URL": api,
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
    }
    # A session of its own: Ctrl-C in the terminal must reach this process first, which then ends the server in order.
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)  # noqa: S603
    try:
        _wait_until_healthy(server, api)
        yield api
    finally:
        _end(server)


def _wait_until_healthy(server: subprocess.Popen[bytes], api: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise UnreachableError(
                f"Prefect's server ended with exit code {server.returncode}; its messages stand above. "
                "If the port is taken, choose another: --port 4201."
            )
        if _is_healthy(api):
            return
        time.sleep(0.25)
    raise UnreachableError(
        f"Prefect's server did not answer at {api} within {START_TIMEOUT_S} s. Look at its messages above."
    )


def _check_given(api: str) -> None:
    if not _is_healthy(api):
        raise UnreachableError(
            f"No Prefect server answers at PREFECT_API_URL={api}. Start it, or unset the variable: then one is started."
        )


def _is_healthy(api: str) -> bool:
    try:
        with urllib.request.urlopen(f"{api}/health", timeout=5) as answer:  # noqa: S310 -- the user's own setting
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False


def _end(server: subprocess.Popen[bytes]) -> None:
    """End the server and whatever it started."""
    if server.poll() is None:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(timeout=15)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def serve_all(api: str) -> None:
    """Register the deployments, say where they are, and run what is asked of them until SIGINT or SIGTERM."""
    from prefect.runner import Runner

    async def run() -> None:
        runner = Runner(name="sequence-up", pause_on_shutdown=False)
        for deployment in await to_served(read_deployments()):
            await runner.aadd_deployment(deployment)
        _say(_addresses(api))
        loop = asyncio.get_running_loop()
        running = loop.create_task(runner.start())

        def stop(*_signal: object) -> None:
            loop.call_soon_threadsafe(running.cancel)

        # The runner answers SIGTERM itself, at a moment of its own choosing, by leaving the process in mid-work.
        runner.handle_sigterm = stop  # type: ignore[method-assign]
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        try:
            await running
        except asyncio.CancelledError:
            _say("Stopping…")

    asyncio.run(run())


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until stopped; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m flows.serve", description="Start Prefect's server and serve the flows."
    )
    parser.add_argument("--port", type=int, default=4200, help="loopback port of Prefect's server (default: 4200)")
    options = parser.parse_args(arguments)
    given = os.environ.get("PREFECT_API_URL")
    try:
        if given:
            _check_given(given)
            serve_all(given)
        else:
            _say("Starting Prefect's server (about 20 s)…")
            with _sigterm_as_exit(), prefect_server(options.port) as api:
                os.environ["PREFECT_API_URL"] = api
                serve_all(api)
    except UnreachableError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    _say("Stopped.")
    return 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _addresses(api: str) -> str:
    lines = [f"Prefect UI:  {api.removesuffix('/api')}", f"Prefect API: {api}"]
    for item in read_deployments():
        when = [f"at cron {schedule['cron']} {schedule['timezone']}" for schedule in item.get("schedules", ())]
        lines.append("  " + ", ".join([item["name"], *when]))
    return "\n".join([*lines, "Stop with Ctrl-C."])


@contextmanager
def _sigterm_as_exit() -> Iterator[None]:
    """Let SIGTERM end the server too while it starts, as Ctrl-C does."""

    def leave(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    sys.exit(main())
