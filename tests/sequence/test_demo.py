"""The demo from outside: two algos through the Prefect flows, one promoted, one refused, nothing left running."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bundles.catalog import Catalog
from bundles.governance import in_force
from bundles.store import open_store
from bundles.toolchain import ToolchainMissingError, find_toolchain
from sequence.demo import APPROVER, RUNNER


def test_one_algo_reaches_replay_and_the_reckless_one_is_refused(tmp_path: Path) -> None:
    try:
        find_toolchain()
    except ToolchainMissingError:
        pytest.skip("no Rust with the WASM target; run python -m bundles.toolchain to see what is missing")
    # An index that nobody answers for: the demo must say so and go on with a synthetic market.
    unreachable = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_FIND_LINKS": "", "PIP_RETRIES": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "sequence.demo"],
        cwd=tmp_path,
        env={**os.environ, **unreachable},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SYNTHETIC market" in done.stdout
    table = re.findall(r"^(my-mm|reckless) +(bun_[0-9a-f]{16}) +(\w+) +(\w+)$", done.stdout, re.MULTILINE)
    assert [(algo, verdict, stage) for algo, _bundle, verdict, stage in table] == [
        ("my-mm", "pass", "replay"),
        ("reckless", "fail", "research"),
    ]
    reasons = done.stdout.split("Why reckless is refused:")[1]
    assert "risk_breaches" in reasons
    assert max(len(line) for line in done.stdout.split("ALGO")[1].split("Report:")[0].splitlines()) <= 80
    for algo, bundle, _verdict, _stage in table:
        report = (tmp_path / "demo-out" / f"{algo}.html").read_text(encoding="utf-8")
        assert bundle in report
    catalog = Catalog(open_store(f"file://{tmp_path}/demo-out/store"))
    state = catalog.ledger.state(table[0][1])
    assert [(each.runner, bool(each.signature)) for each in state.evaluated] == [(RUNNER, True)]
    (promoted,) = state.promotions
    assert [(each.approver, each.kind) for each in promoted.request.approvals] == [(APPROVER, "signed")]
    assert in_force(catalog).is_governed
    verify = [sys.executable, "-m", "sequence", "audit", "verify", "--store", f"file://{tmp_path}/demo-out/store"]
    assert subprocess.run(verify, check=False).returncode == 0
