"""The machine that executes evaluations, and the key by which its word is known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bundles.people import read_person, same_person
from bundles.roster import Roster
from bundles.settings import Settings
from bundles.signatures import make_key, sign
from bundles.statements import Statement

RUNNER_ROLE: Final = "runner"
"""The role in the roster whose holders' evaluations count where the policy asks for listed runners."""


@dataclass(frozen=True, slots=True)
class Runner:
    """A name, and the key that signs in it; without a key its records are unsigned."""

    name: str
    key: Path | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", read_person(self.name))

    def sign(self, statement: Statement) -> str:
        """Return the armored signature of a statement, empty without a key."""
        return "" if self.key is None else sign(statement.canonical(), statement.namespace, self.key)


def this_runner(settings: Settings) -> Runner:
    """Return the runner of this machine; its key is made when it is first needed.

    Raises:
        InvalidInputError: the key cannot be made, or read.

    """
    key = settings.runner_key
    if not key.exists():
        make_key(key, settings.runner)
    return Runner(settings.runner, key)


def is_listed(roster: Roster, runner: str) -> bool:
    """Tell whether the roster names somebody as a runner."""
    return same_person(runner) in {same_person(name) for name in roster.people_with(RUNNER_ROLE)}
