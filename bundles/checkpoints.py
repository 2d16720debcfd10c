"""Checkpoints: signed pictures of what a store holds, by which a ledger that was removed or cut is missed.

A chain shows that nothing inside it was changed. That it ends too early, or is gone with its head, shows only what has
seen more of it: a checkpoint holds the heads of all ledgers and the names of all references. Checkpoints are a ledger
of their own. One that is kept outside the store shows also that the whole store was put back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Literal, TypeVar

from bundles.approvals import signature_problem
from bundles.canonical import Digest, Document, digest_of, read_document
from bundles.catalog import Catalog, ref_key
from bundles.entries import CHECKPOINT_LEDGER, GOVERNANCE_LEDGER, Body, CheckpointMade, LedgerEntry
from bundles.errors import IntegrityError, NotFoundError
from bundles.governance import Governance
from bundles.ledger import Head, entry_key, head_key, read_head
from bundles.people import same_person
from bundles.runners import RUNNER_ROLE, Runner
from bundles.statements import CheckpointStatement

CHECKPOINT_ROLE: Final = "checkpoint"
"""Who holds it, or is a runner, may sign checkpoints."""

_READS_AT_ONCE: Final = 8

Item = TypeVar("Item")
Found = TypeVar("Found")


class Checkpoint(Document):
    """What a store held: the head of every ledger but the checkpoints' own, and every reference."""

    kind: Literal["checkpoint"] = "checkpoint"
    schema_version: Literal[1] = 1
    heads: dict[str, Head]
    refs: tuple[str, ...]
    artifacts: dict[str, Digest]
    """What the artifacts are: the other references follow from their content."""

    @property
    def governance(self) -> int:
        """How many entries the governance ledger had."""
        return self.heads[GOVERNANCE_LEDGER].seq if GOVERNANCE_LEDGER in self.heads else 0

    def lost_in(self, later: Checkpoint) -> Iterator[str]:
        """Name what a later checkpoint of the same store does not hold any more."""
        for name, head in self.heads.items():
            now = later.heads.get(name)
            if now is None or now.seq < head.seq or (now.seq == head.seq and now != head):
                yield head_key(name)
        present = set(later.refs)
        yield from (key for key in self.refs if key not in present)
        for name, digest in self.artifacts.items():
            if later.artifacts.get(name, digest) != digest:
                yield ref_key("artifacts", name)


class CheckpointExport(Document):
    """A checkpoint in a file, to be kept where nobody who writes to the store can write: entry and content verbatim."""

    kind: Literal["checkpoint-export"] = "checkpoint-export"
    schema_version: Literal[1] = 1
    entry: str
    checkpoint: str

    def opened(self, where: str) -> tuple[LedgerEntry, Checkpoint]:
        """Return the entry and the content; IntegrityError if they do not belong together."""
        entry = read_document(LedgerEntry, self.entry, where)
        digest = entry.body.heads if isinstance(entry.body, CheckpointMade) else None
        if entry.canonical() != self.entry.encode() or digest_of(self.checkpoint.encode()) != digest:
            raise IntegrityError(f"{where} is not what was exported; it was changed. Use another copy of the file.")
        return entry, read_document(Checkpoint, self.checkpoint, where)


def make_checkpoint(catalog: Catalog, signer: Runner, *, now_ns: int) -> int | None:
    """Append a signed picture of the store to the checkpoints; return the entry's number, None if nothing has changed.

    Raises:
        IntegrityError: something that the last checkpoint has seen is gone; nothing is signed.

    """
    # After a crash the head of governance may lag by one entry; appending nothing moves it on.
    catalog.ledger.append(GOVERNANCE_LEDGER, actor=signer.name, at_ns=now_ns, draft=lambda _history: (None, None))
    now = _picture(catalog)

    def draft(history: Sequence[LedgerEntry]) -> tuple[None, Body | None]:
        before = read_checkpoint(catalog, history[-1]) if history else None
        if before is not None:
            lost = list(before.lost_in(now))
            if lost:
                raise IntegrityError(
                    f"Checkpoint {len(history)} has seen what the store does not hold any more: {', '.join(lost[:5])}"
                    f"{' …' if len(lost) > 5 else ''}. Nothing was signed. Run `audit verify`, and restore it from a "
                    "backup."
                )
        if now == (before or Checkpoint(heads={}, refs=(), artifacts={})):
            return None, None
        previous = history[-1].digest() if history else None
        digest = catalog.put_blob(now.canonical()).digest
        statement = CheckpointStatement(entry=len(history) + 1, previous=previous, heads=digest)
        return None, CheckpointMade(heads=digest, signature=signer.sign(statement))

    return catalog.ledger.append(CHECKPOINT_LEDGER, actor=signer.name, at_ns=now_ns, draft=draft)[1]


def _picture(catalog: Catalog) -> Checkpoint:
    """Look at the store as it is now; heads first, so that the references that they imply are there."""
    store, prefix = catalog.store, head_key("")
    names = sorted({key.removeprefix(prefix) for key in store.list(prefix)} - {CHECKPOINT_LEDGER})
    heads = in_threads(lambda name: read_head(name, store.get(head_key(name))), names)
    refs = sorted(key for key in store.list("refs/"))
    artifacts = [key.rpartition("/")[2] for key in refs if key.startswith(ref_key("artifacts", ""))]
    digests = in_threads(
        lambda name: store.get(ref_key("artifacts", name)).decode("ascii", errors="replace"), artifacts
    )
    return Checkpoint(
        heads=dict(zip(names, heads, strict=True)),
        refs=tuple(refs),
        artifacts=dict(zip(artifacts, digests, strict=True)),
    )


def in_threads(read: Callable[[Item], Found], items: Iterable[Item]) -> list[Found]:
    """Read a few things at once: a bucket takes its time for each."""
    with ThreadPoolExecutor(_READS_AT_ONCE) as pool:
        return list(pool.map(read, items))


def read_checkpoint(catalog: Catalog, entry: LedgerEntry) -> Checkpoint:
    """Return what an entry of the checkpoints' ledger is about."""
    if not isinstance(entry.body, CheckpointMade):
        raise IntegrityError(
            f"{entry_key(entry.ledger, entry.seq)} is of kind {entry.kind}, which does not belong there. Restore the "
            "checkpoints from a backup."
        )
    return catalog.read(entry.body.heads, Checkpoint)


def export_checkpoint(catalog: Catalog) -> CheckpointExport:
    """Return the latest checkpoint as a file holds it; NotFoundError if there is none."""
    history = catalog.ledger.history(CHECKPOINT_LEDGER)
    if not history:
        raise NotFoundError(f"The store {catalog.store.url} has no checkpoint. Make one: sequence audit checkpoint")
    content = read_checkpoint(catalog, history[-1]).canonical()
    return CheckpointExport(entry=history[-1].canonical().decode(), checkpoint=content.decode())


def load_export(path: Path) -> CheckpointExport:
    """Read an exported checkpoint; NotFoundError or MalformedDocumentError, naming the file."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise NotFoundError(f"{path} cannot be read: {error.strerror}. Check the path.") from error
    return read_document(CheckpointExport, content, str(path))


def signers(governance: Governance) -> tuple[str, ...]:
    """Return who may sign checkpoints."""
    roster = governance.roster
    return tuple(dict.fromkeys((*roster.people_with(CHECKPOINT_ROLE), *roster.people_with(RUNNER_ROLE))))


def signer_problem(entry: LedgerEntry, body: CheckpointMade, governance: Governance) -> str | None:
    """Say why a checkpoint is not the word of somebody who may sign one; None if it is."""
    if same_person(entry.actor) not in {same_person(name) for name in signers(governance)}:
        return f"{entry.actor} holds neither the role {CHECKPOINT_ROLE} nor {RUNNER_ROLE}"
    if not body.signature:
        return f"{entry.actor} did not sign it"
    statement = CheckpointStatement(entry=entry.seq, previous=entry.previous, heads=body.heads)
    return signature_problem(statement, body.signature, entry.actor, governance.roster, entry.at_ns)
