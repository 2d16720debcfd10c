"""`sequence completion`: the script that makes a shell complete commands, options and ids."""

from __future__ import annotations

import click

from sequence.cli.session import Command, Session, pass_session

_PLACES = {
    "bash": 'eval "$(sequence completion bash)"   # in ~/.bashrc',
    "zsh": 'eval "$(sequence completion zsh)"    # in ~/.zshrc',
    "fish": "sequence completion fish > ~/.config/fish/completions/sequence.fish",
}


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(sorted(_PLACES)))
@pass_session
def completion(session: Session, shell: str) -> None:
    """Print SHELL's completion script; the line to install it stands on stderr."""
    from click.shell_completion import get_completion_class

    from sequence.cli import main

    completer = get_completion_class(shell)
    if completer is None:
        raise click.UsageError(f"{shell} has no completion.")
    script = completer(main, {}, "sequence", "_SEQUENCE_COMPLETE").source()
    session.say(f"To install: {_PLACES[shell]}")
    session.emit({"shell": shell, "script": script}, script.splitlines())
