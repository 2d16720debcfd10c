"""A command with its own home, store and data root, and a tiny algo that needs no Rust."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from click.testing import CliRunner, Result

from sequence.cli import main

ROOT = Path(__file__).resolve().parents[2]

SILENT_ALGO = """
(module
  (memory (export "memory") 17)
  (global $__stack_pointer (mut i32) (i32.const 1048576))
  (func (export "algo_on_book") (param i32 i32) (result i32) (i32.const 1048576))
  (func (export "algo_on_fill") (param i32 i32))
  (func (export "algo_on_reject") (param i32))
  (func (export "algo_on_shutdown") (param i32) (result i32) (i32.const 1048576))
  (func (export "algo_alloc") (param i32) (result i32) (i32.const 1052672)))
"""
"""Never acts: its list of actions is the zeroed page above the stack."""


@dataclass
class Command:
    """Runs `sequence` in one folder, in this process or in a new one."""

    folder: Path
    environ: dict[str, str]
    runner: CliRunner = field(default_factory=CliRunner)

    def __call__(self, *arguments: str | Path, exit_code: int = 0) -> Result:
        result = self.runner.invoke(
            main, [str(each) for each in arguments], env=dict(self.environ), prog_name="sequence"
        )
        assert result.exit_code == exit_code, f"{result.stdout}\n{result.stderr}\n{result.exception!r}"
        return result

    def json(self, *arguments: str | Path, exit_code: int = 0) -> Any:
        return json.loads(self(*arguments, "--json", exit_code=exit_code).stdout)

    def process(
        self, *arguments: str | Path, cwd: Path | None = None, environ: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "sequence", *map(str, arguments)],
            cwd=cwd or self.folder,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **self.environ, **(environ or {})},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def sequence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name, folder_name in (("RUSTUP_HOME", ".rustup"), ("CARGO_HOME", ".cargo")):
        monkeypatch.setenv(name, os.environ.get(name, str(Path.home() / folder_name)))
    environ = {
        "HOME": str(tmp_path / "home"),
        "SEQUENCE_STORE": str(tmp_path / "store"),
        "SEQUENCE_DATA": str(tmp_path / "data"),
        "SEQUENCE_USER": "quant@firm",
    }
    for name in ("SEQUENCE_S3_ENDPOINT", "SEQUENCE_COORDINATOR_URL", "SEQUENCE_API_KEY", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    return Command(folder, environ)


@pytest.fixture(scope="session")
def silent_wasm() -> bytes:
    return bytes(wasmtime.wat2wasm(SILENT_ALGO))


@pytest.fixture
def algo(sequence: Command, silent_wasm: bytes) -> Path:
    path = sequence.folder / "algo.wasm"
    path.write_bytes(silent_wasm)
    return path


@pytest.fixture
def artifact(sequence: Command) -> str:
    notes = sequence.folder / "NOTES.md"
    notes.write_text("what we found\n")
    sequence("artifact", "register", "art_abc123", notes)
    return "art_abc123"
