"""The record of what happened to each bundle: append-only, each entry holding the digest of the one before.

Appending is putting the next number if it is absent; whoever loses that race reads again, decides again and tries
again. A head beside the entries remembers the last one, so that entries taken off the end are missed too. It is moved
after the entry is there: after a crash between the two it lags behind by that entry, which readers accept. The next
append moves it on before it adds another entry, so a head that lags by more was tampered with.

The ledger takes a promotion only as a proposal that `ladder.decide` allows against the very history that the entry
continues.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from pydantic import Field

from bundles.canonical import Digest, Document, digest_of, read_document
from bundles.entries import Body, BundleState, Evaluated, LedgerEntry, Promoted, Registered, fold
from bundles.errors import ConflictError, IntegrityError, MalformedDocumentError, NameTakenError, NotFoundError
from bundles.evidence import Evaluation
from bundles.ladder import Decision
from bundles.store.protocol import ObjectStore

__all__ = ["BundleState", "Ledger", "LedgerEntry"]

ATTEMPTS: Final = 64
"""How many lost races an append survives; each race has a winner, so the ledger as a whole always moves."""

Decide = Callable[[BundleState], tuple[Decision, Promoted | None]]
"""Takes a state, returns the decision on it, and the entry's body if the decision wants one."""

Said = TypeVar("Said")


class Head(Document):
    """The last entry of a ledger that is known to be there."""

    seq: int = Field(ge=1)
    entry: Digest


class Ledger:
    """The histories of all bundles of a store."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def history(self, bundle_id: str) -> tuple[LedgerEntry, ...]:
        """Return the entries of a bundle, oldest first; none for a bundle that was never registered.

        Raises:
            IntegrityError: an entry is missing, changed or out of place.

        """
        return self._read(bundle_id)[0]

    def state(self, bundle_id: str) -> BundleState:
        """Return what follows from a bundle's history.

        Raises:
            NotFoundError: the bundle has no history.
            IntegrityError: the history does not verify.

        """
        entries = self.history(bundle_id)
        if not entries:
            raise NotFoundError(f"Bundle {bundle_id} has no history. Register it first.")
        return fold(entries)

    def register(self, bundle_id: str, *, manifest: str, author: str, at_ns: int) -> None:
        """Begin a bundle's history, unless it has begun; the first author stays the author."""
        body = Registered(manifest=manifest)
        self._append(bundle_id, author, at_ns, lambda entries: (None, None if entries else body))

    def record(self, bundle_id: str, evaluation: Evaluation, *, runner: str, at_ns: int, again: bool) -> None:
        """Add an evaluation, unless it is in the history already and is not recorded ``again``.

        Raises:
            IntegrityError: the same inputs are recorded with another outcome.

        """
        body = Evaluated(
            evaluation=evaluation.eval_id, evaluation_kind=evaluation.inputs.kind, record=evaluation.digest()
        )

        def draft(entries: Sequence[LedgerEntry]) -> tuple[None, Body | None]:
            known = [entry.body for entry in entries if isinstance(entry.body, Evaluated)]
            if any(each.evaluation == body.evaluation and each.record != body.record for each in known):
                raise IntegrityError(
                    f"Evaluation {body.evaluation} of {bundle_id} is recorded with another outcome for the "
                    "same inputs. The bundle or "
                    "the engine is not deterministic; find out why before trusting either."
                )
            return None, None if body in known and not again else body

        self._append(bundle_id, runner, at_ns, draft)

    def promote(self, bundle_id: str, decide: Decide, *, actor: str, at_ns: int) -> tuple[Decision, int | None]:
        """Add the promotion that is decided on the history that the entry continues, if one is.

        Return the decision and the number of the entry: a new one, the one that a decision repeats, or None if refused
        or pending.
        """

        def draft(entries: Sequence[LedgerEntry]) -> tuple[Decision, Body | None]:
            decision, body = decide(fold(entries))
            if body is not None and body.statement != decision.statement:
                raise IntegrityError(
                    f"The entry drafted for {bundle_id} does not say what was decided. Report this as a bug."
                )
            return decision, body

        decision, added = self._append(bundle_id, actor, at_ns, draft)
        return decision, added or decision.repeats

    def _append(
        self, bundle_id: str, actor: str, at_ns: int, draft: Callable[[Sequence[LedgerEntry]], tuple[Said, Body | None]]
    ) -> tuple[Said, int | None]:
        """Append what ``draft`` makes of the history; return what it says, and the entry's number if there is one."""
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(random.uniform(0, 0.01 * min(attempt, 10)))  # noqa: S311 -- spreads writers, guards nothing
            entries, tip, lags = self._read(bundle_id)
            said, body = draft(entries)
            if tip and lags:
                self._move_head(bundle_id, Head(seq=len(entries), entry=tip))
            if body is None:
                return said, None
            entry = LedgerEntry(
                seq=len(entries) + 1, bundle=bundle_id, at_ns=at_ns, actor=actor, previous=tip, body=body
            )
            content = entry.canonical()
            try:
                self._store.put_if_absent(entry_key(bundle_id, entry.seq), content)
            except NameTakenError:
                continue
            self._move_head(bundle_id, Head(seq=entry.seq, entry=digest_of(content)))
            return said, entry.seq
        raise ConflictError(
            f"The ledger of {bundle_id} is too busy: {ATTEMPTS} attempts to append lost their race. Try again."
        )

    def _read(self, bundle_id: str) -> tuple[tuple[LedgerEntry, ...], str | None, bool]:
        """Return the verified entries, the digest of the last, and whether the head lags behind it."""
        # The head is read first: read last, it could be ahead of the list by another writer's entry.
        head = self._head(bundle_id)
        keys = sorted(self._store.list(f"ledger/{bundle_id}/"))
        entries: list[LedgerEntry] = []
        digests: list[str] = []
        for seq, key in enumerate(keys, start=1):
            if key != entry_key(bundle_id, seq):
                raise IntegrityError(
                    f"{entry_key(bundle_id, seq)} is missing, or {key} does not belong there. {_REMEDY}"
                )
            content = self._store.get(key)
            entries.append(_parse(key, content, bundle_id, seq, digests[-1] if digests else None))
            digests.append(digest_of(content))
        if head and head.seq > len(entries):
            raise IntegrityError(
                f"{entry_key(bundle_id, len(entries) + 1)} is missing: {head_key(bundle_id)} knows {head.seq} "
                f"entries. {_REMEDY}"
            )
        if head and head.entry != digests[head.seq - 1]:
            raise IntegrityError(
                f"{entry_key(bundle_id, head.seq)} is not what {head_key(bundle_id)} remembers; one of them "
                f"was changed. {_REMEDY}"
            )
        self._require_recent_head(bundle_id, head, len(entries))
        return tuple(entries), digests[-1] if digests else None, _known(head) < len(entries)

    def _require_recent_head(self, bundle_id: str, head: Head | None, count: int) -> None:
        """Refuse a head that is further behind than a crash leaves it; others may have appended since it was read."""
        if _known(head) < count - 1:
            head = self._head(bundle_id)
        if _known(head) < count - 1:
            found = f"remembers entry {head.seq} only" if head else "is missing"
            raise IntegrityError(
                f"{head_key(bundle_id)} {found}, but there are {count} entries: a crash leaves it one behind at most, "
                f"so it was removed or put back. {_REMEDY}"
            )

    def _head(self, bundle_id: str) -> Head | None:
        found = self._store.get_versioned(head_key(bundle_id))
        return None if found is None else _parse_head(bundle_id, found[0])

    def _move_head(self, bundle_id: str, head: Head) -> None:
        for _ in range(ATTEMPTS):
            found = self._store.get_versioned(head_key(bundle_id))
            if found and _parse_head(bundle_id, found[0]).seq >= head.seq:
                return
            try:
                self._store.compare_and_swap(head_key(bundle_id), head.canonical(), found[1] if found else None)
            except ConflictError:
                continue
            return
        raise ConflictError(
            f"{head_key(bundle_id)} is too busy: {ATTEMPTS} attempts to move it lost their race. Try again."
        )


_REMEDY: Final = "Restore the ledger from a backup; do not promote this bundle until `audit verify` is clean."


def entry_key(bundle_id: str, seq: int) -> str:
    """Return the key of an entry."""
    return f"ledger/{bundle_id}/{seq:08d}.json"


def head_key(bundle_id: str) -> str:
    """Return the key that remembers the last entry of a bundle."""
    return f"heads/ledger/{bundle_id}"


def _known(head: Head | None) -> int:
    """Return how many entries a head knows of."""
    return head.seq if head else 0


def _parse_head(bundle_id: str, content: bytes) -> Head:
    try:
        return read_document(Head, content, head_key(bundle_id))
    except MalformedDocumentError as error:
        raise IntegrityError(f"{error} {_REMEDY}") from error


def _parse(key: str, content: bytes, bundle_id: str, seq: int, previous: str | None) -> LedgerEntry:
    try:
        entry = read_document(LedgerEntry, content, key)
    except MalformedDocumentError as error:
        raise IntegrityError(f"{error} {_REMEDY}") from error
    if entry.canonical() != content:
        raise IntegrityError(f"{key} is not in canonical form, so this product did not write it. {_REMEDY}")
    if (entry.seq, entry.bundle) != (seq, bundle_id):
        raise IntegrityError(f"{key} says it is entry {entry.seq} of {entry.bundle}; it was moved. {_REMEDY}")
    if entry.previous != previous:
        before = entry_key(bundle_id, seq - 1) if seq > 1 else "nothing"
        raise IntegrityError(f"{key} does not continue {before}; one of them was changed. {_REMEDY}")
    return entry
