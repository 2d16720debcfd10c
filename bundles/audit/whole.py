"""Verify a whole store offline: every blob, reference, ledger, head, decision, signature and checkpoint.

Nothing is taken from what the store says about itself. What a crash leaves behind is accepted and named as unfinished:
documents that nothing refers to yet, a history whose bundle, evaluation or request was not named yet, a head that lags
behind its ledger by one entry. What a checkpoint has seen cannot be unfinished: that was taken away.

Others may write meanwhile. Keys are listed first, and whatever is not among them is asked for again before it counts
as missing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from pydantic import BaseModel

from bundles.audit.citations import cited_blobs, cited_names, name_of
from bundles.audit.findings import AuditReport, Findings
from bundles.audit.histories import HistoryAudit
from bundles.audit.read_once import ReadOnceCatalog
from bundles.audit.remembered import CheckpointAudit
from bundles.canonical import digest_of, short_id
from bundles.catalog import blob_key, ref_key
from bundles.checkpoints import CheckpointExport
from bundles.entries import (
    CHECKPOINT_LEDGER,
    GOVERNANCE_LEDGER,
    Body,
    CheckpointMade,
    GlassBroken,
    LedgerEntry,
    PolicySet,
    RosterSet,
)
from bundles.errors import NotFoundError
from bundles.evidence import Evaluation
from bundles.ledger import entry_key
from bundles.statements import PromotionStatement
from bundles.store.protocol import ObjectStore
from bundles.verification import Verifier

_LEDGER: Final = rf"(?:bun_[0-9a-f]{{16}}|{GOVERNANCE_LEDGER}|{CHECKPOINT_LEDGER})"
_KNOWN_KEYS: Final = re.compile(
    r"cas/sha256/[0-9a-f]{2}/[0-9a-f]{62}"
    r"|refs/(?:bundles|artifacts|datasets|evaluations|policies|requests)/[^/]+"
    rf"|ledger/{_LEDGER}/\d{{8}}\.json|heads/ledger/{_LEDGER}"
)


def verify(
    store: ObjectStore, progress: Callable[[int], None] | None = None, against: CheckpointExport | None = None
) -> AuditReport:
    """Check everything in a store; ``progress`` is told the number of blobs read so far.

    ``against`` is a checkpoint that was kept elsewhere: what it has seen must still be there.

    Raises:
        NotFoundError: there is no store at that address.

    """
    if not store.exists():
        raise NotFoundError(
            f"There is no store at {store.url}. Check the address; the first thing registered creates a store."
        )
    return _Audit(store, progress or (lambda _count: None)).run(against)


class _Audit:
    def __init__(self, store: ObjectStore, progress: Callable[[int], None]) -> None:
        self._catalog = ReadOnceCatalog(store)
        self._store = self._catalog.store
        self._verifier = Verifier(self._catalog)
        self._progress = progress
        self._findings = Findings()
        self._keys = sorted(store.list(""))
        self._present = set(self._keys)
        self._sound: set[str] = set()
        """Digests of the blobs whose bytes are right."""
        self._cited: set[str] = set()
        """Digests of the blobs that something refers to."""
        self._histories = HistoryAudit(self._catalog, self._verifier, self._findings, self._has, self._cite)

    def run(self, against: CheckpointExport | None) -> AuditReport:
        for key in self._keys:
            if not _KNOWN_KEYS.fullmatch(key):
                self._findings.problem(f"{key}: this product writes no such key; find out who did, and remove it")
        blobs = self._below("cas/sha256/")
        for count, key in enumerate(blobs, start=1):
            self._check_blob(key)
            self._progress(count)
        governance = self._check_governance()
        for name in self._bundles():
            self._histories.check(name)
        for entry in governance:
            if isinstance(entry.body, GlassBroken):
                self._histories.check_glass(entry.body, entry_key(GOVERNANCE_LEDGER, entry.seq))
        for kind, read in self._readers().items():
            for key in self._below(f"refs/{kind}/"):
                with self._findings.of(key):
                    self._check_reference(key, read(key.rpartition("/")[2]))
        checkpoints = self._check_checkpoints(against)
        for digest in sorted(self._sound - self._cited):
            self._check_leftover(digest)
        return self._findings.report(entries=self._histories.entries, objects=len(self._keys), checkpoints=checkpoints)

    def _below(self, prefix: str) -> list[str]:
        return [key for key in self._keys if key.startswith(prefix)]

    def _has(self, key: str) -> bool:
        """Tell whether a key is there; one that was not listed may have been written since."""
        return key in self._present or self._store.get_versioned(key) is not None

    def _readers(self) -> dict[str, Callable[[str], BaseModel]]:
        catalog = self._catalog
        return {
            "artifacts": catalog.artifact,
            "bundles": catalog.bundle,
            "datasets": catalog.dataset,
            "evaluations": catalog.evaluation,
            "policies": catalog.policy,
            "requests": catalog.request,
        }

    # Blobs

    def _check_blob(self, key: str) -> None:
        digest = _digest_in(key)
        found = self._store.get_versioned(key)
        if found is not None and digest_of(found[0]) == digest:
            self._sound.add(digest)
        else:
            self._findings.problem(f"{key}: the bytes do not have this digest; restore them from a backup")

    def _cite(self, digest: str, by: str) -> None:
        """Note that something refers to a blob, which must be there."""
        self._cited.add(digest)
        key = blob_key(digest)
        if digest not in self._sound and key not in self._present:
            with self._findings.of(key):
                self._catalog.blob(digest)
                self._sound.add(digest)
                return
            self._findings.problem(f"{key}: missing, but {by} refers to it; restore it from a backup")

    def _check_leftover(self, digest: str) -> None:
        """Name a document that should be found by an id and is not."""
        found = self._store.get_versioned(blob_key(digest))
        named = name_of(digest, found[0]) if found else None
        if named:
            self._findings.unfinished(
                f"{ref_key(*named)}: missing, while {blob_key(digest)} holds its document; register or record it again"
            )

    # References

    def _check_reference(self, key: str, document: BaseModel) -> None:
        digest = self._store.get(key).decode()
        self._cite(digest, key)
        for blob in cited_blobs(document):
            self._cite(blob, key)
        for kind, cited in cited_names(document):
            if not self._has(ref_key(kind, cited)):
                self._findings.problem(f"{ref_key(kind, cited)}: missing, but {key} builds on it; restore it")
        if isinstance(document, Evaluation | PromotionStatement):
            name = key.rpartition("/")[2]
            bundle_id = self._catalog.bundle_of(document)
            if not self._histories.is_broken(bundle_id) and self._histories.recorded(bundle_id, name) != digest:
                self._findings.problem(f"{key}: the ledger of {bundle_id} does not know it; restore the ledger")

    # Ledgers

    def _bundles(self) -> list[str]:
        """Return every bundle that has a reference, a head or entries: each must have all three."""
        named = {key.split("/")[1] for key in self._below("ledger/bun_")}
        named |= {
            key.rpartition("/")[2] for key in self._keys if key.startswith(("heads/ledger/bun_", "refs/bundles/"))
        }
        return sorted(named)

    def _check_governance(self) -> tuple[LedgerEntry, ...]:
        """Verify policies and rosters; without them no decision can be taken again."""
        with self._findings.of(f"ledger/{GOVERNANCE_LEDGER}/"):
            history = self._verifier.history(GOVERNANCE_LEDGER)
            self._histories.check_head(GOVERNANCE_LEDGER, len(history), None)
            for entry in history:
                self._check_change(entry_key(GOVERNANCE_LEDGER, entry.seq), entry.body)
            self._verifier.governance()
            self._histories.governed = True
            return history
        self._findings.remark("decisions were not verified, because governance does not verify; restore it first")
        return ()

    def _check_change(self, where: str, body: Body) -> None:
        if isinstance(body, RosterSet):
            self._cite(body.roster, where)
        elif isinstance(body, PolicySet):
            self._cite(body.policy, where)
            key = ref_key("policies", short_id("pol", body.policy))
            if not self._has(key):
                self._findings.problem(f"{key}: missing, but {where} put it into force; restore it from a backup")

    def _check_checkpoints(self, against: CheckpointExport | None) -> int:
        audit = CheckpointAudit(self._catalog, self._verifier, self._findings, self._has)
        history: tuple[LedgerEntry, ...] = ()
        with self._findings.of(f"ledger/{CHECKPOINT_LEDGER}/"):
            history = self._verifier.history(CHECKPOINT_LEDGER)
            self._histories.check_head(CHECKPOINT_LEDGER, len(history), None)
            for entry in history:
                if isinstance(entry.body, CheckpointMade):
                    self._cite(entry.body.heads, entry_key(CHECKPOINT_LEDGER, entry.seq))
            audit.check(history)
        if against is not None:
            audit.check_export(against)
        return len(history)


def _digest_in(key: str) -> str:
    return "sha256:" + key.removeprefix("cas/sha256/").replace("/", "")
