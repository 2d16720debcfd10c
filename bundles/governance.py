"""Which policy and which roster are in force, who put them there, and where the glass was broken: a ledger of its own.

* Policy and roster change only by an entry that people of the governance roles signed, as the policy in force asks.
* While the roster in force names nobody in those roles there is nobody to ask: then whoever comes first decides, and
  the entry says so. A roster that names somebody ends that for good: none may follow that names nobody.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bundles.approvals import Approval, approval_problems, word_of
from bundles.canonical import Document, short_id
from bundles.entries import GOVERNANCE_LEDGER, Body, GlassBroken, LedgerEntry, PolicySet, RosterSet
from bundles.errors import IntegrityError, RefusedError
from bundles.ledger import entry_key, time_of_next
from bundles.policy import ApprovalRule, Policy, default_policy
from bundles.roster import Roster
from bundles.statements import GovernanceStatement

if TYPE_CHECKING:
    from bundles.catalog import Catalog


@dataclass(frozen=True, slots=True)
class Governance:
    """What is in force after so many entries of the governance ledger."""

    entries: int
    policy: Policy
    roster: Roster
    glasses: tuple[GlassBroken, ...] = ()

    @property
    def is_governed(self) -> bool:
        """Tell whether somebody is there who must sign changes."""
        return any(self.roster.people_with(role) for role in self.policy.governance.roles)


def in_force(catalog: Catalog, entries: int | None = None) -> Governance:
    """Return what is in force now, or was after so many entries, with every change verified again.

    Raises:
        IntegrityError: an entry is there that nobody had the right to write.

    """
    history = catalog.ledger.history(GOVERNANCE_LEDGER)
    if entries is not None and entries > len(history):
        raise IntegrityError(
            f"{entry_key(GOVERNANCE_LEDGER, entries)} is missing, but something was decided under it. "
            "Restore the governance ledger from a backup."
        )
    found = beginning()
    for entry in history[:entries]:
        found = after(catalog, found, entry)
    return found


def beginning() -> Governance:
    """Return what is in force in a new store: the shipped policy, and nobody on the roster."""
    return Governance(entries=0, policy=default_policy(), roster=Roster())


def after(catalog: Catalog, before: Governance, entry: LedgerEntry) -> Governance:
    """Return what is in force after one more entry; IntegrityError if it had no right to be there."""
    body = entry.body
    before = replace(before, entries=entry.seq)
    if isinstance(body, GlassBroken):
        return replace(before, glasses=(*before.glasses, body))
    document: Policy | Roster
    if isinstance(body, PolicySet):
        document = catalog.read(body.policy, Policy)
        following = replace(before, policy=document)
    elif isinstance(body, RosterSet):
        document = catalog.read(body.roster, Roster)
        following = replace(before, roster=document)
    else:
        raise IntegrityError(f"{entry_key(entry.ledger, entry.seq)} is of kind {entry.kind}. {_REMEDY}")
    problems = list(
        _problems(before, following, body.approvals, _statement(document, entry.seq, entry.previous), entry.at_ns)
    )
    if problems:
        raise IntegrityError(f"{entry_key(entry.ledger, entry.seq)}: {'; '.join(problems)}. {_REMEDY}")
    return following


def statement_for(catalog: Catalog, document: Policy | Roster) -> GovernanceStatement:
    """Return what the people who govern sign to put a policy or roster into force next."""
    return _next_statement(document, catalog.ledger.history(GOVERNANCE_LEDGER))


def set_policy(
    catalog: Catalog, policy: Policy, *, by: str, now_ns: int, key: Path | None = None, more: Sequence[Approval] = ()
) -> int | None:
    """Put a policy into force; see `set_roster`."""
    catalog.keep_policy(policy)
    return _set(catalog, policy, by=by, now_ns=now_ns, key=key, more=more)


def set_roster(
    catalog: Catalog, roster: Roster, *, by: str, now_ns: int, key: Path | None = None, more: Sequence[Approval] = ()
) -> int | None:
    """Put a roster into force, with the word of ``by`` (signed with ``key``) and of others; return the entry's number.

    What is in force already is not set again: then the result is None. A word in ``more`` takes the place of what
    the same person says in ``by``.

    Raises:
        RefusedError: listing who did not sign, or why a signature does not count.

    """
    return _set(catalog, roster, by=by, now_ns=now_ns, key=key, more=more)


def _set(
    catalog: Catalog, document: Policy | Roster, *, by: str, now_ns: int, key: Path | None, more: Sequence[Approval]
) -> int | None:
    catalog.put_blob(document.canonical())
    what = "policy" if isinstance(document, Policy) else "roster"

    def draft(history: Sequence[LedgerEntry]) -> tuple[None, Body | None]:
        before = beginning()
        for entry in history:
            before = after(catalog, before, entry)
        known = before.policy if isinstance(document, Policy) else before.roster
        if history and known == document:
            return None, None
        statement = _next_statement(document, history)
        words = {each.person: each for each in (word_of(by, statement, at_ns=now_ns, key=key), *more)}
        approvals = tuple(words.values())
        following = (
            replace(before, policy=document) if isinstance(document, Policy) else replace(before, roster=document)
        )
        problems = tuple(_problems(before, following, approvals, statement, time_of_next(history, now_ns)))
        if problems:
            raise RefusedError(f"This {what} ({document.digest()[:23]}…) is not put into force:", problems)
        if isinstance(document, Policy):
            return None, PolicySet(policy=document.digest(), approvals=approvals)
        return None, RosterSet(roster=document.digest(), approvals=approvals)

    return catalog.ledger.append(GOVERNANCE_LEDGER, actor=by, at_ns=now_ns, draft=draft)[1]


def _next_statement(document: Document, history: Sequence[LedgerEntry]) -> GovernanceStatement:
    return _statement(document, len(history) + 1, history[-1].digest() if history else None)


def _statement(document: Document, entry: int, follows: str | None) -> GovernanceStatement:
    sets: Literal["policy", "roster"] = "policy" if isinstance(document, Policy) else "roster"
    return GovernanceStatement(sets=sets, document=document.digest(), entry=entry, follows=follows)


def _problems(
    before: Governance,
    following: Governance,
    approvals: Sequence[Approval],
    statement: GovernanceStatement,
    at_ns: int,
) -> Iterator[str]:
    """Say why a change may not be made."""
    if not before.is_governed:
        return
    asked: ApprovalRule = before.policy.governance
    for approval in approvals:
        yield from approval_problems(
            approval, statement=statement, roster=before.roster, author="", signers=asked, at_ns=at_ns
        )
    given = len({approval.person for approval in approvals})
    if given < asked.count:
        yield f"{given} of {asked.count} signatures by {' or '.join(asked.roles)}; ask {asked.count - given} more"
    if not following.is_governed:
        yield (
            f"nobody would hold the roles {', '.join(following.policy.governance.roles)} any more, so nobody could "
            "be asked next time; keep somebody in them"
        )


def policy_id(policy: Policy) -> str:
    """Return ``pol_…``."""
    return short_id("pol", policy.digest())


_REMEDY = "Restore the governance ledger from a backup."
