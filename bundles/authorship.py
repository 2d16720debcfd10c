"""The author signs a bundle: what keeps a person from approving an own bundle that was registered in another's name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bundles.approvals import signature_problem
from bundles.catalog import Catalog
from bundles.entries import Authored, Body, LedgerEntry
from bundles.errors import RefusedError
from bundles.people import same_person
from bundles.signatures import sign
from bundles.statements import AuthorStatement
from bundles.verification import Verifier


def author_statement(catalog: Catalog, bundle: str) -> AuthorStatement:
    """Return what the author of a bundle signs."""
    return AuthorStatement(bundle=catalog.bundle(bundle).digest())


def sign_bundle(
    catalog: Catalog, bundle: str, *, author: str, key: Path | None = None, signature: str = "", now_ns: int
) -> int | None:
    """Record the author's signature, made with a key or elsewhere; return the entry's number, None if it was there.

    Raises:
        RefusedError: somebody else is the author, or the key is not the author's on the roster.

    """
    statement = author_statement(catalog, bundle)
    made = signature if key is None else sign(statement.canonical(), statement.namespace, key)
    verifier = Verifier(catalog)

    def draft(history: Sequence[LedgerEntry]) -> tuple[None, Body | None]:
        state, roster = verifier.state(history), verifier.governance().roster
        if same_person(author) != same_person(state.author):
            raise RefusedError(f"{state.author} is the author of {state.bundle}, and signs it, not {author}.")
        if problem := signature_problem(statement, made, author, roster, now_ns):
            raise RefusedError(f"The signature of {author} does not count:", (problem,))
        known = state.author_signature
        if known and signature_problem(statement, known, author, roster, now_ns) is None:
            return None, None
        return None, Authored(signature=made)

    bundle_id = catalog.resolve_bundle(bundle)
    return catalog.ledger.append(bundle_id, actor=author, at_ns=now_ns, draft=draft)[1]
