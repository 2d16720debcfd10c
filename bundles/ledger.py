"""Append-only histories, each entry holding the digest of the one before.

There is one for each bundle, one for governance and one for checkpoints.

Appending is putting the next number if it is absent; whoever loses that race reads again, decides again and tries
again. A head beside the entries remembers the last one, so that entries taken off the end are missed too. It is moved
after the entry is there: after a crash between the two it lags behind by that entry, which readers accept. The next
append moves it on before it adds another entry, so a head that lags by more was tampered with.

What may be appended is decided by the caller's draft on the very history that the entry continues.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias, TypeVar

from pydantic import Field

from bundles.canonical import Digest, Document, digest_of, read_document
from bundles.entries import CHECKPOINT_LEDGER, GOVERNANCE_LEDGER, Body, Demoted, LedgerEntry, Quarantined
from bundles.errors import ConflictError, IntegrityError, MalformedDocumentError, NameTakenError, NotFoundError
from bundles.people import read_person
from bundles.state import BundleState, Standing, after, fold
from bundles.store.protocol import ObjectStore

ATTEMPTS: Final = 64
"""How many lost races an append survives; each race has a winner, so the ledger as a whole always moves."""

Said = TypeVar("Said")
Draft: TypeAlias = Callable[[Sequence[LedgerEntry]], tuple[Said, Body | None]]
"""Takes a history; returns what to tell the caller, and what to append, if anything."""


class Head(Document):
    """The last entry of a ledger that is known to be there, and for a bundle's ledger what lists show."""

    seq: int = Field(ge=1)
    entry: Digest
    standing: Standing | None = None


class Ledger:
    """The histories of a store."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def history(self, name: str) -> tuple[LedgerEntry, ...]:
        """Return the entries of a ledger, oldest first; none for one that was never begun.

        Raises:
            IntegrityError: an entry is missing, changed or out of place.

        """
        return self._read(name)[0]

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

    def standing(self, bundle_id: str) -> Standing | None:
        """Return what lists show of a bundle; unverified."""
        head = self.head(bundle_id)
        return head.standing if head else None

    def append(self, name: str, *, actor: str, at_ns: int, draft: Draft[Said]) -> tuple[Said, int | None]:
        """Append what ``draft`` makes of the history; return what it says, and the entry's number if there is one."""
        actor = read_person(actor)
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(random.uniform(0, 0.01 * min(attempt, 10)))  # noqa: S311 -- spreads writers, guards nothing
            entries, tip, lags = self._read(name)
            said, body = draft(entries)
            if tip and lags:
                self._move_head(name, _head_of(name, entries, tip))
            if body is None:
                return said, None
            entry = LedgerEntry(
                seq=len(entries) + 1,
                ledger=name,
                at_ns=time_of_next(entries, at_ns),
                actor=actor,
                previous=tip,
                body=body,
            )
            content = entry.canonical()
            head = _head_of(name, (*entries, entry), digest_of(content))
            try:
                self._store.put_if_absent(entry_key(name, entry.seq), content)
            except NameTakenError:
                continue
            self._move_head(name, head)
            return said, entry.seq
        raise ConflictError(
            f"The ledger of {name} is too busy: {ATTEMPTS} attempts to append lost their race. Try again."
        )

    def append_regardless(self, name: str, *, actor: str, at_ns: int, draft: Draft[Said]) -> tuple[Said, int | None]:
        """Append to a ledger even if it does not verify: nobody who spoils it may keep a bundle from being stopped.

        Where it verifies this is `append`. Where it does not, ``draft`` is given what is sound of it, and the entry
        goes behind what is not. Everything else refuses such a ledger until it is restored.
        """
        try:
            return self.append(name, actor=actor, at_ns=at_ns, draft=draft)
        except IntegrityError:
            return self._append_behind(name, actor=read_person(actor), at_ns=at_ns, draft=draft)

    def _append_behind(self, name: str, *, actor: str, at_ns: int, draft: Draft[Said]) -> tuple[Said, int | None]:
        for _ in range(ATTEMPTS):
            keys = sorted(self._store.list(f"ledger/{name}/"))
            contents = [self._store.get(key) for key in keys]
            entries = sound_entries(name, keys, contents)
            if not entries:
                break
            said, body = draft(entries)
            if body is None:
                return said, None
            seq = entries[-1].seq + 1
            while entry_key(name, seq) in keys:
                seq += 1
            last = entry_key(name, seq - 1)
            before = contents[keys.index(last)] if last in keys else entries[-1].canonical()
            entry = LedgerEntry(
                seq=seq,
                ledger=name,
                at_ns=time_of_next(entries, at_ns),
                actor=actor,
                previous=digest_of(before),
                body=body,
            )
            content = entry.canonical()
            try:
                self._store.put_if_absent(entry_key(name, seq), content)
            except NameTakenError:
                continue
            self._force_head(name, Head(seq=seq, entry=digest_of(content), standing=fold((*entries, entry)).standing()))
            return said, seq
        raise IntegrityError(f"{entry_key(name, 1)} does not begin a ledger that anything could be added to. {REMEDY}")

    def _force_head(self, name: str, head: Head) -> None:
        """Show what was recorded in lists too, whatever the head holds."""
        for _ in range(ATTEMPTS):
            found = self._store.get_versioned(head_key(name))
            try:
                self._store.compare_and_swap(head_key(name), head.canonical(), found[1] if found else None)
            except ConflictError:
                continue
            return

    def _read(self, name: str) -> tuple[tuple[LedgerEntry, ...], str | None, bool]:
        """Return the verified entries, the digest of the last, and whether the head lags behind it."""
        # The head is read first: read last, it could be ahead of the list by another writer's entry.
        head = self.head(name)
        keys = sorted(self._store.list(f"ledger/{name}/"))
        contents = [self._store.get(key) for key in keys]
        entries, digests = read_entries(name, keys, contents)
        if head and head.seq > len(entries):
            raise IntegrityError(
                f"{entry_key(name, len(entries) + 1)} is missing: {head_key(name)} knows {head.seq} entries. {REMEDY}"
            )
        if head and head.entry != digests[head.seq - 1]:
            raise IntegrityError(
                f"{entry_key(name, head.seq)} is not what {head_key(name)} remembers; one of them was changed. {REMEDY}"
            )
        self._require_recent_head(name, head, len(entries))
        return entries, digests[-1] if digests else None, _known(head) < len(entries)

    def _require_recent_head(self, name: str, head: Head | None, count: int) -> None:
        """Refuse a head that is further behind than a crash leaves it; others may have appended since it was read."""
        if _known(head) < count - 1:
            head = self.head(name)
        if _known(head) < count - 1:
            found = f"remembers entry {head.seq} only" if head else "is missing"
            raise IntegrityError(
                f"{head_key(name)} {found}, but there are {count} entries: a crash leaves it one behind at most, "
                f"so it was removed or put back. {REMEDY}"
            )

    def head(self, name: str) -> Head | None:
        """Return what a ledger's head remembers, None if there is no head; nothing is verified against the entries."""
        found = self._store.get_versioned(head_key(name))
        return None if found is None else read_head(name, found[0])

    def _move_head(self, name: str, head: Head) -> None:
        for _ in range(ATTEMPTS):
            found = self._store.get_versioned(head_key(name))
            if found and read_head(name, found[0]).seq >= head.seq:
                return
            try:
                self._store.compare_and_swap(head_key(name), head.canonical(), found[1] if found else None)
            except ConflictError:
                continue
            return
        raise ConflictError(f"{head_key(name)} is too busy: {ATTEMPTS} attempts to move it lost their race. Try again.")


def time_of_next(history: Sequence[LedgerEntry], now_ns: int) -> int:
    """Return what an entry written now is dated: not before the last one, whatever the clock says."""
    return max(now_ns, history[-1].at_ns) if history else now_ns


REMEDY: Final = "Restore the ledger from a backup; promote nothing by it until `audit verify` is clean."


def entry_key(name: str, seq: int) -> str:
    """Return the key of an entry."""
    return f"ledger/{name}/{seq:08d}.json"


def head_key(name: str) -> str:
    """Return the key that remembers the last entry of a ledger."""
    return f"heads/ledger/{name}"


def read_head(name: str, content: bytes) -> Head:
    """Return a head from its bytes; IntegrityError if they are not what this product wrote."""
    try:
        head = read_document(Head, content, head_key(name))
    except MalformedDocumentError as error:
        raise IntegrityError(f"{error} {REMEDY}") from error
    if head.canonical() != content:
        raise IntegrityError(f"{head_key(name)} is not in canonical form, so this product did not write it. {REMEDY}")
    return head


def read_entries(
    name: str, keys: Sequence[str], contents: Sequence[bytes]
) -> tuple[tuple[LedgerEntry, ...], tuple[str, ...]]:
    """Return the entries of a whole ledger and their digests, from the bytes under its keys, in order.

    Raises:
        IntegrityError: an entry is missing, changed, out of place or out of time.

    """
    entries: list[LedgerEntry] = []
    digests: list[str] = []
    for seq, (key, content) in enumerate(zip(keys, contents, strict=True), start=1):
        if key != entry_key(name, seq):
            raise IntegrityError(f"{entry_key(name, seq)} is missing, or {key} does not belong there. {REMEDY}")
        entries.append(_read_entry(key, content, name, seq, entries[-1] if entries else None, digests))
        digests.append(digest_of(content))
    return tuple(entries), tuple(digests)


def sound_entries(name: str, keys: Sequence[str], contents: Sequence[bytes]) -> tuple[LedgerEntry, ...]:
    """Return the longest sound beginning of a bundle's ledger, and what was added behind it to take risk away."""
    sound: list[LedgerEntry] = []
    digests: list[str] = []
    state: BundleState | None = None
    is_whole = True
    for key, content in zip(keys, contents, strict=True):
        try:
            if is_whole and key == entry_key(name, len(sound) + 1):
                entry = _read_entry(key, content, name, len(sound) + 1, sound[-1] if sound else None, digests)
            else:
                is_whole = False
                entry = read_document(LedgerEntry, content, key)
                if not isinstance(entry.body, Demoted | Quarantined) or entry.at_ns < sound[-1].at_ns:
                    continue
            state = after(state, entry)
        except (IntegrityError, MalformedDocumentError):
            is_whole = False
            if not sound:
                break
            continue
        sound.append(entry)
        digests.append(digest_of(content))
    return tuple(sound)


def _read_entry(
    key: str, content: bytes, name: str, seq: int, before: LedgerEntry | None, digests: Sequence[str]
) -> LedgerEntry:
    try:
        entry = read_document(LedgerEntry, content, key)
    except MalformedDocumentError as error:
        raise IntegrityError(f"{error} {REMEDY}") from error
    if entry.canonical() != content:
        raise IntegrityError(f"{key} is not in canonical form, so this product did not write it. {REMEDY}")
    if (entry.seq, entry.ledger) != (seq, name):
        raise IntegrityError(f"{key} says it is entry {entry.seq} of {entry.ledger}; it was moved. {REMEDY}")
    if entry.previous != (digests[-1] if digests else None):
        raise IntegrityError(
            f"{key} does not continue {entry_key(name, seq - 1) if seq > 1 else 'nothing'}; one of them was changed. "
            f"{REMEDY}"
        )
    if before is not None and entry.at_ns < before.at_ns:
        raise IntegrityError(f"{key} is dated before {before.seq}, the entry that it continues. {REMEDY}")
    return entry


def _head_of(name: str, entries: Sequence[LedgerEntry], tip: str) -> Head:
    is_bundle = name not in {GOVERNANCE_LEDGER, CHECKPOINT_LEDGER}
    return Head(seq=len(entries), entry=tip, standing=fold(entries).standing() if is_bundle else None)


def _known(head: Head | None) -> int:
    """Return how many entries a head knows of."""
    return head.seq if head else 0
