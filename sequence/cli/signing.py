"""A person's word: which key is at hand to sign with, and what to do where none is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from bundles.policy import Signers
    from bundles.roster import Roster

_USUAL_KEYS: Final = ("id_ed25519_sk", "id_ed25519", "id_ecdsa_sk", "id_ecdsa", "id_rsa")


def key_at_hand(roster: Roster, person: str, namespace: str, now_ns: int) -> Path | None:
    """Return the first of the usual key files in ``~/.ssh`` with which a person may sign for a purpose, by the roster.

    Where only the public half lies there, an agent or a token is expected to serve the other one.
    """
    from bundles.errors import InvalidInputError
    from bundles.signatures import public_of

    for private in (Path.home() / ".ssh" / name for name in _USUAL_KEYS if roster.keys):
        public = private.with_name(f"{private.name}.pub")
        try:
            key = public_of(public)
        except InvalidInputError:
            continue
        if roster.key_problem(person, key, namespace, now_ns) is None:
            return private if private.is_file() else public
    return None


@contextmanager
def telling_how_to_sign(roster: Roster, person: str, signers: Signers | None, *, signed: bool) -> Iterator[None]:
    """Add what to do to the refusal of a word that was typed although the policy asks for a signature."""
    from bundles.errors import RefusedError

    try:
        yield
    except RefusedError as error:
        if signed or signers is None or not signers.signed or not error.unmet:
            raise
        raise RefusedError(str(error), (*error.unmet, how_to_sign(roster, person))) from error


def how_to_sign(roster: Roster, person: str) -> str:
    """Say what somebody does who has to sign and has no key at hand."""
    from bundles.people import same_person

    listed = sorted({each.key.fingerprint for each in roster.keys if each.person == same_person(person)})
    if not listed:
        return (
            f"the roster lists no key of {person}; have one added: sequence policy roster ALLOWED_SIGNERS --roles FILE"
        )
    return (
        f"no key of {person} lies in ~/.ssh; the roster lists {', '.join(listed)}: name its file with --key PATH (the "
        ".pub file where an agent or a token serves it)"
    )


def read_signature(file: IO[str]) -> str:
    """Return an armored signature; InvalidInputError if there is none, which would pass for a typed name."""
    from bundles.errors import InvalidInputError
    from bundles.signatures import LONGEST_ARMORED

    text = file.read(LONGEST_ARMORED + 1)
    if not text.strip():
        raise InvalidInputError("The signature is empty. Give the armored text that `ssh-keygen -Y sign` writes.")
    return text
