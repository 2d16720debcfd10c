"""`make up`: a server and the deployments come up, the nightly run gets scheduled, and everything ends on SIGTERM."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest

from tests.flows.up import free_port

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 180


def scheduled_runs(api: str) -> list[str]:
    asked = urllib.request.Request(
        f"{api}/flow_runs/filter",
        data=json.dumps({"flow_runs": {"state": {"name": {"any_": ["Scheduled"]}}}, "limit": 5}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(asked, timeout=10) as answer:
        return [run["expected_start_time"] for run in json.load(answer)]


@pytest.mark.long
def test_up_schedules_the_nightly_run_and_leaves_nothing_behind(tmp_path: Path) -> None:
    port = free_port()
    api = f"http://127.0.0.1:{port}/api"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    with subprocess.Popen(
        [sys.executable, "-m", "flows.serve", "--port", str(port)],
        cwd=ROOT,
        env={**environment, "PREFECT_HOME": str(tmp_path), "PREFECT_LOGGING_LEVEL": "WARNING"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as up:
        watchdog = threading.Timer(PATIENCE_S, up.kill)
        watchdog.start()
        try:
            assert up.stdout is not None
            said = []
            for line in up.stdout:
                said.append(line)
                if line.startswith("Stop with"):
                    break
            assert f"Prefect UI:  http://127.0.0.1:{port}\n" in said, "".join(said)
            tick = threading.Event()
            while not scheduled_runs(api):
                assert up.poll() is None
                tick.wait(0.5)
            assert {start[10:19] for start in scheduled_runs(api)} <= {"T02:30:00", "T03:30:00"}
            up.send_signal(signal.SIGTERM)
            rest = up.stdout.read()
        finally:
            watchdog.cancel()
            up.terminate()  # if something above failed, nobody has asked it to end
    assert up.returncode == 0, rest
    assert rest.endswith("Stopping…\nStopped.\n")
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"{api}/health", timeout=2)
