"""The command as a whole: documented, quick to start, one JSON document, exit codes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from sequence.cli import main

if TYPE_CHECKING:
    from conftest import Command

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("prefect", "pandas", "numba", "boto3", "pyarrow", "pydantic", "wasmtime", "altair", "numpy", "fastapi")


def leaves(command: click.Command, path: tuple[str, ...] = ("sequence",)) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from leaves(below, (*path, name))
    else:
        yield " ".join(path), command


COMMANDS = dict(leaves(main))


def test_every_command_is_documented() -> None:
    text = (ROOT / "docs" / "cli.md").read_text()
    assert set(re.findall(r"^### `(.+)`$", text, re.MULTILINE)) == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_the_common_options(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    options = {option for parameter in command.params for option in parameter.opts}
    assert {"--store", "--s3-endpoint", "--data", "--json"} <= options
    text = (ROOT / "docs" / "cli.md").read_text()
    own = {option for option in options if option.startswith("--")}
    assert not {option for option in own if option not in text}


@pytest.mark.parametrize(
    "arguments", [["--help"], ["bundle", "list"], ["bundle", "--help"], ["backtest", "--help"], ["approve", "--help"]]
)
def test_starting_imports_nothing_heavy(sequence: Command, arguments: list[str]) -> None:
    (sequence.folder / "bun_1.bundle.json").write_text('{"kind": "sor"}')
    code = (
        "import sys; from sequence.cli import main\n"
        f"main({arguments!r}, standalone_mode=False)\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "sys.exit(f'loaded: {loaded}' if loaded else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=sequence.folder,
        env={**sequence.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_common_options_work_before_and_after_the_command(sequence: Command, tmp_path: Path) -> None:
    (sequence.folder / "f").touch()
    sequence("--store", tmp_path / "a", "artifact", "register", "art_one", "f")
    assert [each["id"] for each in sequence.json("artifact", "list", "--store", tmp_path / "a")] == ["art_one"]
    later = json.loads(
        sequence("--json", "--store", tmp_path / "a", "artifact", "list", "--store", tmp_path / "b").stdout
    )
    assert later == []


def test_errors_are_one_json_document_with_the_exit_code(sequence: Command) -> None:
    error = sequence.json("artifact", "show", "art_absent", exit_code=4)["error"]
    assert (error["exit_code"], error["kind"]) == (4, "NotFoundError")
    assert "art_absent" in error["message"]


def test_an_unexpected_error_is_short_unless_debugging(sequence: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object, **_kwargs: object) -> None:
        raise ValueError("surprise")

    monkeypatch.setattr("bundles.store.open_store", fail)
    result = sequence("artifact", "list", exit_code=1)
    assert result.stderr == "Error: Unexpected ValueError: surprise. Set SEQUENCE_DEBUG=1 to see where it comes from.\n"
    monkeypatch.setenv("SEQUENCE_DEBUG", "1")
    assert "Traceback" in sequence("artifact", "list", exit_code=1).stderr


def test_an_interrupt_is_quiet(sequence: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_args: object, **_kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bundles.store.open_store", interrupt)
    assert sequence("artifact", "list", exit_code=130).stderr == "Interrupted.\n"


def test_a_malformed_configuration_is_invalid_input(sequence: Command, tmp_path: Path) -> None:
    config = tmp_path / "home" / ".sequence" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("stroe = 'x'\n")
    assert f"{config}, line 1: unknown key 'stroe'" in sequence("artifact", "list", exit_code=5).stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["bundle", "compile-edge"],
        ["bundle", "promote", "--bundle", "bun_e4f2a1", "--target", "egde", "--stage", "replay"],
        ["bundle", "promote", "--bundle", "bun_e4f2a1", "--target", "edge", "--stage", "replay", "--hours", "4"],
        ["bundle", "promote", "--bundle", "bun_e4f2a1", "--target", "edge", "--stage", "replay", "--key", "/dev/null"],
        ["bundle", "demote", "bun_e4f2a1", "--stage", "replay"],
        ["policy", "roster", "--roles", "roles.yaml"],
        ["backtest", "BTC-USD"],
        ["backtest", "BTC-USD", "--start", "2026-02-02", "--end", "2026-02-01"],
        ["backtest", "--symbols", "BTC-USD,,ETH-USD", "--start", "2026-02-01", "--end", "2026-02-01"],
        ["backtest", "BTC-USD", "--start", "yesterday", "--end", "2026-02-01"],
        ["data", "import", "binance", "."],
    ],
)
def test_wrong_usage_exits_2(sequence: Command, arguments: list[str]) -> None:
    sequence(*arguments, exit_code=2)


def test_deploy_says_that_it_comes_later(sequence: Command) -> None:
    result = sequence("deploy", "BTC-USD", "--bundle", "bun_e4f2a1", "--start", exit_code=3)
    assert "come with a later one" in result.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(sequence: Command, shell: str) -> None:
    assert "_SEQUENCE_COMPLETE" in sequence("completion", shell).stdout


def test_ids_complete_from_the_store(sequence: Command) -> None:
    (sequence.folder / "f").touch()
    sequence("artifact", "register", "art_routing_v3", "f")
    environ = {"_SEQUENCE_COMPLETE": "bash_complete", "COMP_WORDS": "sequence artifact show art_r", "COMP_CWORD": "3"}
    assert sequence.process(environ=environ).stdout.split() == ["plain,art_routing_v3"]
    broken = {**environ, "SEQUENCE_STORE": "nonsense://"}
    assert sequence.process(environ=broken).stdout.strip() == ""


def test_audit_notices_one_changed_byte(sequence: Command, tmp_path: Path) -> None:
    (sequence.folder / "f").write_text("x" * 100)
    sequence("artifact", "register", "art_one", "f")
    assert "Verdict: verifies" in sequence("audit", "verify").stdout
    blob = next(
        path for path in (tmp_path / "store" / "cas").rglob("*") if path.is_file() and path.stat().st_size == 100
    )
    blob.chmod(0o644)
    blob.write_text("x" * 99 + "y")
    document = sequence.json("audit", "verify", exit_code=7)
    assert any("digest" in problem for problem in document["problems"])
