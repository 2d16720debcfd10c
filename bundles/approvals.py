"""One person's word on one statement: a typed name, or a signature that proves it.

Signatures are OpenSSH's, made with a person's key and verified against the roster in force when the word is counted, so
that a key that was revoked meanwhile no longer speaks.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import model_validator

from bundles.canonical import Int64, Part
from bundles.people import Note, PersonName, same_person
from bundles.policy import Signers
from bundles.roster import Roster
from bundles.signatures import BadSignatureError, sign, signer_of
from bundles.statements import Statement


class Approval(Part):
    """Who said it, when, with which words, and the signature unless the name was only typed."""

    approver: PersonName
    notes: Note = ""
    kind: Literal["typed", "signed"] = "typed"
    signature: str = ""
    at_ns: Int64

    @model_validator(mode="after")
    def _signature_fits_kind(self) -> Approval:
        if (self.kind == "signed") != bool(self.signature):
            raise ValueError("a signed approval carries a signature and a typed one carries none")
        return self

    @property
    def person(self) -> str:
        """The approver's name in the form in which names are compared."""
        return same_person(self.approver)


def word_of(
    approver: str, statement: Statement, *, at_ns: int, notes: str = "", key: Path | None = None, signature: str = ""
) -> Approval:
    """Return somebody's word: signed with a key, carrying a signature that was made elsewhere, or only typed.

    Raises:
        InvalidInputError: the name cannot be one, or the key cannot sign.

    """
    if key is not None:
        signature = sign(statement.canonical(), statement.namespace, key)
    return Approval(
        approver=approver,
        notes=notes,
        kind="signed" if signature else "typed",
        signature=signature,
        at_ns=at_ns,
    )


def signature_problem(statement: Statement, signature: str, person: str, roster: Roster, at_ns: int) -> str | None:
    """Say why a signature does not prove that a person of the roster made a statement; None if it does."""
    try:
        used = signer_of(statement.canonical(), signature, statement.namespace)
    except BadSignatureError as error:
        return (
            f"the signature of {person} does not verify for this {statement.namespace} statement: {error}; sign "
            "what is asked now, again"
        )
    return roster.key_problem(person, used, statement.namespace, at_ns)


def approval_problems(
    approval: Approval, *, statement: Statement, roster: Roster, author: str, signers: Signers, at_ns: int
) -> Iterator[str]:
    """Say everything that keeps a person's word from counting; nothing if it does."""
    name = approval.approver
    if approval.person == same_person(author):
        yield f"{name} is the author of the bundle and cannot approve it; ask someone else"
    if signers.signed and approval.kind != "signed":
        yield (
            f"the approval of {name} is typed, the policy asks for a signature; sign the statement with an "
            "SSH key of the roster"
        )
    if approval.kind == "signed":
        problem = signature_problem(statement, approval.signature, name, roster, at_ns)
        if problem:
            yield problem
    if signers.roles and not roster.roles_of(name) & set(signers.roles):
        yield (
            f"{name} holds none of the roles {', '.join(signers.roles)}; ask someone who does, or add the role to "
            "the roster"
        )
