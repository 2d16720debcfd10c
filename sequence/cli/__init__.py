"""The ``sequence`` command: its groups are imported when they are called, so that it starts quickly."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any, Final

import click

from sequence.cli.session import Group, Session, common_options

_COMMANDS: Final = {
    "artifact": ("sequence.cli.artifact", "artifact", "Register and show research artifacts."),
    "audit": ("sequence.cli.audit", "audit", "Verify the whole record."),
    "backtest": ("sequence.cli.build", "backtest", "Replay a bundle, or the project's algo, on recorded data."),
    "build": ("sequence.cli.build", "build", "Compile the project's algo to WASM."),
    "bundle": ("sequence.cli.bundle", "bundle", "Compile, list, promote and inspect bundles."),
    "completion": ("sequence.cli.completion", "completion", "Print the shell's completion script."),
    "data": ("sequence.cli.data", "data", "Import, validate, list and synthesize market data."),
    "deploy": ("sequence.cli.build", "deploy", "Deploy a bundle (comes with a later release)."),
    "eval": ("sequence.cli.evaluation", "evaluation", "List, show and verify evaluations."),
    "init": ("sequence.cli.build", "init", "Start a project from the market-making template."),
    "policy": ("sequence.cli.policy", "policy", "Show and check promotion policies."),
}
"""Name: module, attribute, help in one line."""


class _Root(Group):
    """The root: loads commands when they are named, and turns errors into messages and exit codes."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.ensure_object(Session)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 -- click's signature
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        module, attribute, _help = _COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_module, _attribute, text) in sorted(_COMMANDS.items())])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(130)
        except Exception as error:  # noqa: BLE001 -- the last line of defence: a message instead of a traceback
            ctx.exit(_report(error, ctx.ensure_object(Session)))


def _report(error: Exception, session: Session) -> int:
    """Print an error for people (and for ``--json``) and return the exit code."""
    from bundles.errors import LadderError

    unmet = getattr(error, "unmet", ())
    if isinstance(error, LadderError):
        exit_code, message = error.exit_code, str(error)
    else:
        exit_code = 1
        message = f"Unexpected {type(error).__name__}: {error}. Set SEQUENCE_DEBUG=1 to see where it comes from."
    if os.environ.get("SEQUENCE_DEBUG") == "1":
        import traceback

        click.echo("".join(traceback.format_exception(error)), err=True)
    click.echo(f"Error: {message}", err=True)
    for condition in unmet:
        click.echo(f"  - {condition}", err=True)
    if session.json:
        problem = {"kind": type(error).__name__, "message": message, "exit_code": exit_code, "unmet": list(unmet)}
        session.emit({"error": problem}, ())
    return exit_code


def _show_version(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if not wanted or context.resilient_parsing:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        click.echo(f"sequence {version('promotion-ladder')}")
    except PackageNotFoundError:
        click.echo("sequence (not installed: runs from its source)")
    context.exit()


main = _Root(
    name="sequence",
    help="Build trading bundles, judge them on recorded market data, move them up a ladder on evidence and approvals.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
    params=[
        *common_options(),
        click.Option(
            ["-V", "--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_show_version,
            help="Show the version.",
        ),
    ],
)
"""The command itself."""
