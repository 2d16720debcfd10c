"""The demo from outside: four bundles through the Prefect flows, one refused, nothing left running."""

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
from sequence.demo.people import APPROVER, RUNNER


def test_an_algo_and_two_policies_climb_two_rungs_and_the_reckless_algo_is_refused(tmp_path: Path) -> None:
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
    table = re.findall(r"^([\w-]+) +(bun_[0-9a-f]{16}) +(\w+ \w+) +(\w+)$", done.stdout, re.MULTILINE)
    assert [(name, verdict, stage) for name, _bundle, verdict, stage in table] == [
        ("my-mm", "passes shadow", "shadow"),
        ("reckless", "fails replay", "research"),
        ("routing", "passes sandbox", "sandbox"),
        ("assignment", "passes sandbox", "sandbox"),
    ]
    reasons = done.stdout.split("Why reckless is refused:")[1]
    assert "risk_breaches" in reasons
    assert max(len(line) for line in done.stdout.split("NAME")[1].split("Report:")[0].splitlines()) <= 80
    kinds = {"shadow": ("replay", "shadow"), "sandbox": ("replay", "sandbox"), "research": ("replay",)}
    catalog = Catalog(open_store(f"file://{tmp_path}/demo-out/store"))
    for name, bundle, _verdict, stage in table:
        for kind in kinds[stage]:
            assert bundle in (tmp_path / "demo-out" / f"{name}-{kind}.html").read_text(encoding="utf-8")
        state = catalog.ledger.state(bundle)
        assert [(each.runner, bool(each.signature)) for each in state.evaluated] == [(RUNNER, True)] * len(kinds[stage])
        assert [(each.approver, each.kind) for promoted in state.promotions for each in promoted.request.approvals] == [
            (APPROVER, "signed")
        ] * (0 if stage == "research" else 2)
    assert in_force(catalog).is_governed
    verify = [sys.executable, "-m", "sequence", "audit", "verify", "--store", f"file://{tmp_path}/demo-out/store"]
    assert subprocess.run(verify, check=False).returncode == 0
