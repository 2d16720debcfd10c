"""Turns whatever ends a command into a message, a JSON document where one was asked for, and an exit code."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import click

from sequence import interrupts
from sequence.cli.layout import one_line, plain, wrapped

_INTERRUPTED: Final = "Interrupted."


class OutputLostError(Exception):
    """Standard output took nothing more; the text says why."""


def put(text: str) -> None:
    """Print on stdout; a reader that went away is left to click, which ends the command quietly."""
    try:
        click.echo(text)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputLostError(error.strerror or type(error).__name__) from error


def exit_code_of(run: Callable[[], object], *, as_json: bool) -> int:
    """Run a command and return its exit code; errors are told, not raised."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        done = run()
        code = done if isinstance(done, int) else 0
    except (KeyboardInterrupt, click.Abort):
        code = _interrupted()
    except click.ClickException as error:
        code = error.exit_code
        error.show()
        _tell(as_json, type(error).__name__, error.format_message(), code, ())
    except Exception as error:  # noqa: BLE001 -- the last line of defence: a message instead of a traceback
        code = _interrupted() if interrupts.settle() else _report(error, as_json)
    if interrupts.settle() and code != interrupts.EXIT_CODE:
        code = _interrupted()
    return code


def wants_json(arguments: Sequence[str]) -> bool:
    """Tell whether ``--json`` was typed, be the rest right or wrong."""
    given = list(arguments)
    return "--json" in (given[: given.index("--")] if "--" in given else given)


def dumps(document: Any) -> str:
    """Return a JSON document in characters that stdout can carry."""
    encoding = (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("_", "-")
    return json.dumps(document, indent=2, ensure_ascii=encoding not in {"utf-8", "utf8"})


def _interrupted() -> int:
    interrupts.settle()
    click.echo(_INTERRUPTED, err=True)
    return interrupts.EXIT_CODE


def _report(error: Exception, as_json: bool) -> int:
    """Print an error for people (and for ``--json``) and return the exit code."""
    from bundles.errors import LadderError

    known = _known(error)
    unmet: tuple[str, ...] = getattr(known, "unmet", ())
    code = known.exit_code if isinstance(known, LadderError) else 1
    message = str(known)
    lost = _lost_output(error)
    if lost is not None:
        code, message = 1, f"Standard output cannot be written: {lost}. Make room, or send the output elsewhere."
    elif not isinstance(known, LadderError):
        message = f"Unexpected {type(error).__name__}: {error}. Set SEQUENCE_DEBUG=1 to see where it comes from."
    if os.environ.get("SEQUENCE_DEBUG") == "1":
        import traceback

        click.echo("".join(traceback.format_exception(error)), err=True)
    lines = [*plain(f"Error: {message}").split("\n"), *(f"  - {one_line(condition)}" for condition in unmet)]
    for line in lines:
        for part in wrapped(line, sys.stderr):
            click.echo(part, err=True)
    if lost is None:
        _tell(as_json, type(known).__name__, message, code, unmet)
    return code


def _known(error: Exception) -> Exception:
    """Name two surprises that may come from anywhere."""
    from bundles.errors import InvalidInputError, NotFoundError

    if isinstance(error, RecursionError):
        return InvalidInputError("What was given is nested too deeply to be read. Check the files that were named.")
    if isinstance(error, FileNotFoundError):
        try:
            Path.cwd()
        except FileNotFoundError:
            return NotFoundError("The current directory was removed. Change to one that exists, and run this again.")
    return error


def _lost_output(error: Exception) -> str | None:
    """Say why stdout takes nothing, if so, and drop what is left in its buffer."""
    reason = str(error) if isinstance(error, OutputLostError) else None
    try:
        sys.stdout.flush()
    except OSError as again:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return again.strerror or type(again).__name__
    return reason


def _tell(as_json: bool, kind: str, message: str, exit_code: int, unmet: Sequence[str]) -> None:
    if as_json:
        problem = {"kind": kind, "message": message, "exit_code": exit_code, "unmet": list(unmet)}
        try:
            put(dumps({"error": problem}))
        except OutputLostError as lost:
            _report(lost, as_json=False)
