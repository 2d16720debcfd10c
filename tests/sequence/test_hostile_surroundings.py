"""What the command does with wrong usage, hostile text, broken files, narrow terminals and Ctrl-C."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bundles.canonical import digest_of
from bundles.errors import InvalidInputError, MalformedDocumentError
from bundles.project import find_project
from bundles.settings import load_settings
from sequence.cli import layout
from sequence.cli.failures import dumps, wants_json

if TYPE_CHECKING:
    from conftest import Command

ROOT = Path(__file__).resolve().parents[2]
EDGE = ("bundle", "compile-edge", "--wasm", "algo.wasm", "--artifact", "art_abc123")
DEEP = "[" * 100_000


@pytest.mark.parametrize(
    "arguments",
    [
        ["bogus"],
        ["bundle"],
        ["backtest"],
        ["backtest", "BTC-USD", "--start", "2026-02-02", "--end", "2026-02-01"],
        ["bundle", "promote", "--bundle", "bun_e4f2a1", "--target", "bogus", "--stage", "replay"],
        ["artifact", "register", "art_x", "/nonexistent"],
    ],
)
def test_wrong_usage_is_one_json_document_too(sequence: Command, arguments: list[str]) -> None:
    error = sequence.json(*arguments, exit_code=2)["error"]
    assert error.keys() == {"kind", "message", "exit_code", "unmet"}
    assert (error["exit_code"], error["unmet"]) == (2, [])
    assert sequence(*arguments, exit_code=2).stdout == ""


def test_json_counts_wherever_it_is_an_option() -> None:
    assert wants_json(["backtest", "--json", "--bogus"])
    assert not wants_json(["artifact", "register", "art_x", "--", "--json"])


def test_recorded_text_never_makes_a_line_of_its_own(sequence: Command) -> None:
    (sequence.folder / "f").touch()
    sequence("artifact", "register", "art_one", "f", "--note", "well\nart_two 1 forged")
    assert sequence("artifact", "list").stdout.splitlines()[1:] == ["art_one 1 well\\nart_two 1 forged"]
    assert "Note: well\\nart_two 1 forged\n" in sequence("artifact", "show", "art_one").stdout


def test_control_characters_are_spelled_out() -> None:
    assert layout.one_line("a\n\x1b[2J\u2028\u202eb\udcff\t→") == "a\\n\\x1b[2J\\u2028\\u202eb\\udcff\t→"
    assert layout.plain("one\ntwo\x07") == "one\ntwo\\x07"
    assert layout.columns(("A", "B"), [("x\ny", "z")]) == ["A B", "x\\ny z"]


@pytest.mark.parametrize("url", ["not a url", "http://[::1", "ftp://host", "http://", "http://host:port", "http://a b"])
def test_a_coordinator_without_an_address_registers_nothing(
    sequence: Command, algo: Path, artifact: str, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("SEQUENCE_COORDINATOR_URL", url)
    assert "SEQUENCE_COORDINATOR_URL" in sequence(*EDGE, exit_code=5).stderr
    monkeypatch.delenv("SEQUENCE_COORDINATOR_URL")
    assert sequence.json("bundle", "list", "--all") == []


def test_a_store_with_a_nul_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="SEQUENCE_STORE"):
        load_settings(environ={"SEQUENCE_STORE": "file:///x/%00x"}, config_path=tmp_path / "none")


def test_a_report_needs_a_folder_before_the_run(sequence: Command) -> None:
    days = ("--start", "2026-01-01", "--end", "2026-01-01")
    result = sequence("backtest", "X", *days, "--bundle", "bun_e4f2a1", "--report", "/nonexistent/r.html", exit_code=2)
    assert "/nonexistent/r.html" in result.stderr


def test_a_folder_that_takes_no_manifest_registers_nothing(
    sequence: Command, algo: Path, artifact: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = sequence.json(*EDGE)["manifest"]
    (sequence.folder / name).unlink()
    shutil.rmtree(sequence.environ["SEQUENCE_STORE"])
    sequence("artifact", "register", "art_abc123", "NOTES.md")
    (sequence.folder / name).mkdir()
    assert "Nothing was registered" in sequence(*EDGE, exit_code=5).stderr
    (sequence.folder / name).rmdir()

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", refuse)
        assert "Permission denied. Nothing was registered" in sequence(*EDGE, exit_code=5).stderr
    assert sequence.json("bundle", "list", "--all") == []
    assert not list(sequence.folder.glob(".bun_*"))


def test_one_bad_manifest_does_not_hide_the_others(sequence: Command, algo: Path, artifact: str) -> None:
    name = sequence.json(*EDGE)["manifest"]
    (sequence.folder / "bun_0000000000000000.bundle.json").write_text(DEEP)
    (sequence.folder / "bun_1111111111111111.bundle.json").mkdir()
    result = sequence("bundle", "list")
    assert result.stdout.splitlines()[1:] == [f"{name.split('.')[0]} mm-pro {digest_of(algo.read_bytes())}"]
    assert result.stderr.count("is not a manifest") == 2


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x = " + DEEP.encode(), None])
def test_configuration_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    for name in ("Sequence.toml", "config.toml"):
        if content is None:
            (tmp_path / name).mkdir()
        else:
            (tmp_path / name).write_bytes(content)
    with pytest.raises(MalformedDocumentError, match=r"Sequence\.toml"):
        find_project(tmp_path)
    with pytest.raises(MalformedDocumentError, match=r"config\.toml"):
        load_settings(environ={}, config_path=tmp_path / "config.toml")


def test_a_file_in_place_of_the_configuration_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / ".sequence").touch()
    with pytest.raises(InvalidInputError, match=r"\.sequence is a file"):
        load_settings(environ={}, config_path=tmp_path / ".sequence" / "config.toml")


@pytest.mark.parametrize("arguments", [["bundle", "list"], ["build"], ["init", "foo"]])
def test_a_directory_that_was_removed_is_said(sequence: Command, arguments: list[str]) -> None:
    shutil.rmtree(sequence.folder)
    assert "The current directory was removed" in sequence(*arguments, exit_code=4).stderr


def test_a_narrow_encoding_changes_letters_not_exit_codes(sequence: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    (sequence.folder / "f").touch()
    register = ("artifact", "register", "art_one", "f", "--note", "a \u2192 b \U0001f600")
    done = sequence.process(*register, environ={"PYTHONIOENCODING": "latin-1"})
    assert (done.returncode, "Note: a \\u2192 b" in done.stdout) == (0, True)
    shown = sequence.process("artifact", "show", "art_one", "--json", environ={"PYTHONIOENCODING": "latin-1"})
    assert json.loads(shown.stdout)["note"] == "a \u2192 b \U0001f600"
    assert "→" in dumps("→")


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [["artifact", "list", "--json"], ["artifact", "list"], ["bogus", "--json"]])
def test_a_full_disk_behind_stdout_is_said_plainly(sequence: Command, arguments: list[str], unbuffered: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("there is no /dev/full here")
    environ = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **sequence.environ, "PYTHONUNBUFFERED": unbuffered}
    command = [sys.executable, "-m", "sequence", *arguments]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, env=environ, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == (2 if arguments[0] == "bogus" else 1)
    assert "Standard output cannot be written: No space left on device." in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception" not in done.stderr


def test_a_module_that_is_refused_is_named(sequence: Command, artifact: str) -> None:
    (sequence.folder / "algo.wasm").write_bytes(b"#!/bin/sh")
    assert sequence(*EDGE, exit_code=5).stderr.startswith("Error: algo.wasm: ")
    assert "is a directory" in sequence("bundle", "register", "x.json", "--wasm", ".", exit_code=2).stderr


def test_a_table_fits_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    header = ("EVALUATION", "KIND", "BUNDLE_ID", "VERDICT", "RESULT")
    row = ("eval_" + "a" * 16, "replay", "bun_" + "b" * 16, "inconclusive", "sha256:" + "c" * 64)
    assert layout.columns(header, [row])[1] == " ".join(row)
    monkeypatch.setattr(layout, "terminal_width", lambda _stream=None: 160)
    assert layout.columns(header, [row])[1] == "  ".join(row)
    monkeypatch.setattr(layout, "terminal_width", lambda _stream=None: 80)
    short = ("eval_" + "a" * 10 + "...", "replay", "bun_" + "b" * 10 + "...", "inconclusive", "sha256:cccc...")
    assert layout.columns(header, [row])[1] == "  ".join(short)
    listed = layout.columns(("BUNDLE_ID", "STRATEGY", "WASM_HASH"), [(row[2], "mm-pro", row[4])])
    assert listed[1].split() == [row[2], "mm-pro", "sha256:cccccccc..."]
    wrapped = layout.columns(("SEQ", "ACTOR", "WHAT"), [("1", "jane@firm", "a reason of many words " * 9)])
    assert max(map(len, wrapped)) <= 80
    assert all(line.startswith(" " * 16) for line in wrapped[2:])
    assert layout.wrapped("Unmet: " + "word " * 30)[1].startswith("  word")


# SIGINT is ignored in what a shell runs in the background, and so in some CI: the tests want a terminal's.
AT_A_TERMINAL = "import os, signal, sys, time; signal.signal(signal.SIGINT, signal.default_int_handler)\n"


@pytest.mark.parametrize("library", ["click", "numpy", "numba", "pyarrow"])
def test_ctrl_c_while_a_library_loads_ends_with_130(sequence: Command, library: str) -> None:
    code = (
        f"{AT_A_TERMINAL}"
        "class Presses:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {library!r}: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Presses())\n"
        "from sequence.__main__ import run\n"
        "sys.argv = ['sequence', 'data', 'synthesize', '--duration', '36000']\n"
        "run()\n"
    )
    environ = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **sequence.environ}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr


def test_an_interrupt_that_was_swallowed_comes_again() -> None:
    code = (
        f"{AT_A_TERMINAL}"
        "from sequence import interrupts\n"
        "interrupts.install()\n"
        "try:\n    os.kill(os.getpid(), signal.SIGINT); time.sleep(5)\n"
        "except BaseException: pass\n"
        "try:\n    time.sleep(10)\n"
        "except KeyboardInterrupt: sys.exit(77 if interrupts.settle() else 1)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
    assert done.returncode == 77
