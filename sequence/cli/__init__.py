"""The ``sequence`` command: its groups are imported when they are called, so that it starts quickly."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from typing import Any, Final

import click

from sequence import interrupts
from sequence.cli.failures import exit_code_of, wants_json
from sequence.cli.session import Group, Session, common_options

_COMMANDS: Final = {
    "approve": ("sequence.cli.approve", "approve", "Approve or deny a promotion request, with your SSH key."),
    "artifact": ("sequence.cli.artifact", "artifact", "Register and show research artifacts."),
    "audit": ("sequence.cli.audit", "audit", "Verify the whole record."),
    "backtest": ("sequence.cli.backtest", "backtest", "Replay a bundle, or the project's algo, on recorded data."),
    "build": ("sequence.cli.build", "build", "Compile the project's algo to WASM."),
    "bundle": ("sequence.cli.bundle", "bundle", "Compile, list, promote, demote and inspect bundles."),
    "completion": ("sequence.cli.completion", "completion", "Print the shell's completion script."),
    "data": ("sequence.cli.data", "data", "Import, validate, list and synthesize market data."),
    "deploy": ("sequence.cli.build", "deploy", "Deploy a bundle (comes with a later release)."),
    "eval": ("sequence.cli.evaluation", "evaluation", "Judge bundles; list, show, compare and verify evaluations."),
    "init": ("sequence.cli.build", "init", "Start a project from the market-making template."),
    "policy": ("sequence.cli.policy", "policy", "Show, check, compare and set policy and roster."),
    "requests": ("sequence.cli.requests", "requests", "List what waits for whose approval."),
}
"""Name: module, attribute, help in one line."""


class _Root(Group):
    """The root: loads commands when they are named, and ends with a message and an exit code."""

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
        except KeyboardInterrupt as error:
            # Before click makes an empty line and an "Aborted!" of it.
            raise click.Abort from error

    def main(self, *rest: Any, **extra: Any) -> Any:
        """Run the command; unless standalone_mode is off, end the process with the exit code of what happened."""
        click_main: Any = super().main
        if not extra.pop("standalone_mode", True):
            return click_main(*rest, standalone_mode=False, **extra)
        args: Sequence[str] | None = rest[0] if rest else extra.pop("args", None)
        if args is None:
            interrupts.install()
        given = sys.argv[1:] if args is None else list(args)
        run = partial(click_main, given, *rest[1:], standalone_mode=False, **extra)
        sys.exit(exit_code_of(run, as_json=wants_json(given)))


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
