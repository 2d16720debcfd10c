"""The record of what happened to each bundle: append-only, each entry holding the digest of the one before.

Appending is putting the next number if it is absent; whoever loses that race reads again, decides again and tries
again. A head beside the entries remembers the last one, so that entries taken off the end are missed too. It is moved
after the entry is there: after a crash between the two it lags behind, which readers accept and the next append
repairs.

The ledger takes a promotion only as a proposal that `ladder.decide` allows against the very history that the entry
continues.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Final

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

Decide = Callable[[BundleState], tuple[Decision, Promoted]]
"""Takes a state, returns the decision on it and the entry's body if the decision allows it."""


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
        self._append(bundle_id, author, at_ns, lambda entries: None if entries else Registered(manifest=manifest))

    def record(self, bundle_id: str, evaluation: Evaluation, *, runner: str, at_ns: int, again: bool) -> None:
        """Add an evaluation, unless it is in the history already and is not recorded ``again``.

        Raises:
            IntegrityError: the same inputs are recorded with another outcome.

        """
        body = Evaluated(
            evaluation=evaluation.eval_id, evaluation_kind=evaluation.inputs.kind, record=evaluation.digest()
        )

        def draft(entries: Sequence[LedgerEntry]) -> Body | None:
            known = [entry.body for entry in entries if isinstance(entry.body, Evaluated)]
            if any(each.evaluation == body.evaluation and each.record != body.record for each in known):
                raise IntegrityError(
                    f"Evaluation {body.evaluation} of {bundle_id} is recorded with another outcome for the "
                    "same inputs. The bundle or "
                    "the engine is not deterministic; find out why before trusting either."
                )
            return None if body in known and not again else body

        self._append(bundle_id, runner, at_ns, draft)

    def promote(self, bundle_id: str, decide: Decide, *, actor: str, at_ns: int) -> tuple[Decision, int | None]:
        """Add a promotion if it is decided so on the history that the entry continues.

        Return the decision and the number of the entry: a new one, the one that a decision repeats, or None if refused
        or pending.
        """
        decision: Decision | None = None

        def draft(entries: Sequence[LedgerEntry]) -> Body | None:
            nonlocal decision
            decision, body = decide(fold(entries))
            if decision.decision != "promoted" or decision.repeats:
                return None
            if body.statement != decision.statement:
                raise IntegrityError(
                    f"The entry drafted for {bundle_id} does not say what was decided. Report this as a bug."
                )
            return body

        added = self._append(bundle_id, actor, at_ns, draft)
        assert decision is not None  # noqa: S101 -- draft has run at least once
        return decision, added or decision.repeats

    def _append(
        self, bundle_id: str, actor: str, at_ns: int, draft: Callable[[Sequence[LedgerEntry]], Body | None]
    ) -> int | None:
        """Append what ``draft`` makes of the history; return its number, or None if it makes nothing of it."""
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(random.uniform(0, 0.01 * min(attempt, 10)))  # noqa: S311 -- spreads writers, guards nothing
            entries, tip = self._read(bundle_id)
            body = draft(entries)
            if body is None:
                if tip:
                    self._move_head(bundle_id, Head(seq=len(entries), entry=tip))
                return None
            entry = LedgerEntry(
                seq=len(entries) + 1, bundle=bundle_id, at_ns=at_ns, actor=actor, previous=tip, body=body
            )
            content = entry.canonical()
            try:
                self._store.put_if_absent(entry_key(bundle_id, entry.seq), content)
            except NameTakenError:
                continue
            self._move_head(bundle_id, Head(seq=entry.seq, entry=digest_of(content)))
            return entry.seq
        raise ConflictError(
            f"The ledger of {bundle_id} is too busy: {ATTEMPTS} attempts to append lost their race. Try again."
        )

    def _read(self, bundle_id: str) -> tuple[tuple[LedgerEntry, ...], str | None]:
        """Return the verified entries and the digest of the last."""
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
        return tuple(entries), digests[-1] if digests else None

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
