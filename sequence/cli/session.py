"""What all commands share: their common options, where they read and write, and how they print."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from sequence.cli.failures import dumps, put
from sequence.cli.layout import one_line, plain, wrapped

if TYPE_CHECKING:
    from bundles.catalog import Catalog
    from bundles.runners import Runner
    from bundles.settings import Settings

QUIET_S: Final = 1.0
"""Progress is shown for what takes longer than this."""


class Session:
    """One run of the command: the common options, and what is opened because of them."""

    def __init__(self) -> None:
        self.store: str | None = None
        self.s3_endpoint: str | None = None
        self.data: str | None = None
        self.json = False
        self._started_s = time.monotonic()

    @cached_property
    def settings(self) -> Settings:
        """Settings of this run."""
        from bundles.settings import load_settings

        return load_settings(store=self.store, s3_endpoint=self.s3_endpoint, data=self.data)

    @cached_property
    def catalog(self) -> Catalog:
        """The catalog of the configured store."""
        from bundles.catalog import Catalog
        from bundles.store import open_store

        return Catalog(open_store(self.settings.store, s3_endpoint=self.settings.s3_endpoint))

    @cached_property
    def runner(self) -> Runner:
        """Who executes evaluations here; without a key, and that is told, where no key can sign."""
        from bundles.errors import InvalidInputError
        from bundles.runners import Runner, this_runner
        from bundles.signatures import sign

        try:
            runner = this_runner(self.settings)
            if runner.key is not None:
                sign(b"", "sequence-trial", runner.key)  # now, not after a run of hours
        except InvalidInputError as error:
            runner = Runner(self.settings.runner)
            self.say(f"What {runner.name} executes is recorded unsigned: {error}")
        return runner

    def emit(self, document: Mapping[str, Any] | Sequence[Any], lines: Iterable[str]) -> None:
        """Print the result: one JSON document under ``--json``, lines for people otherwise."""
        if self.json:
            put(dumps(document))
        else:
            for line in lines:
                put(one_line(line))

    def say(self, text: str) -> None:
        """Tell the user something on stderr."""
        for line in plain(text).split("\n"):
            for part in wrapped(line, sys.stderr):
                click.echo(part, err=True)

    def progress(self, text: str) -> None:
        """Show progress on stderr, once the command has run long enough to make people wonder."""
        if time.monotonic() - self._started_s > QUIET_S:
            self.say(text)


pass_session = click.make_pass_decorator(Session, ensure=True)


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value:
        setattr(context.ensure_object(Session), str(parameter.name), value)


def common_options() -> list[click.Parameter]:
    """Options that every command takes, before or after its name; the later one wins."""
    return [
        click.Option(
            ["--store"], metavar="URL", expose_value=False, callback=_remember, help="file:///… or s3://bucket/prefix"
        ),
        click.Option(
            ["--s3-endpoint"], metavar="URL", expose_value=False, callback=_remember, help="S3 server, if not AWS"
        ),
        click.Option(
            ["--data"], metavar="DIR", expose_value=False, callback=_remember, help="Folder that holds the tapes"
        ),
        click.Option(["--json"], is_flag=True, expose_value=False, callback=_remember, help="Print one JSON document"),
    ]


class Command(click.Command):
    """A command with the common options."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(common_options())


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Begin a refusal of a module with the file that holds it."""
    from bundles.errors import InvalidModuleError

    try:
        yield
    except InvalidModuleError as error:
        raise type(error)(f"{path}: {error}") from error


class Group(click.Group):
    """A group of such commands."""

    command_class = Command
