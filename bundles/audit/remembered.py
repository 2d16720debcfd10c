"""Compare a store with its checkpoints, and with one that was kept elsewhere."""

from __future__ import annotations

from collections.abc import Callable

from bundles.audit.findings import Findings
from bundles.canonical import digest_of, read_document
from bundles.catalog import Catalog, ref_key
from bundles.checkpoints import Checkpoint, CheckpointExport, read_checkpoint, signer_problem, signers
from bundles.entries import CHECKPOINT_LEDGER, GOVERNANCE_LEDGER, CheckpointMade, LedgerEntry
from bundles.errors import IntegrityError
from bundles.ledger import entry_key, head_key
from bundles.statements import CheckpointStatement
from bundles.verification import CLOCK_TOLERANCE_NS, Verifier


class CheckpointAudit:
    """Finds what a checkpoint has seen and the store does not hold."""

    def __init__(self, catalog: Catalog, verifier: Verifier, findings: Findings, has: Callable[[str], bool]) -> None:
        self._catalog = catalog
        self._verifier = verifier
        self._findings = findings
        self._has = has
        self._compared: set[object] = set()
        self._heads: dict[str, int] = {}

    def check(self, history: tuple[LedgerEntry, ...]) -> None:
        """Verify all checkpoints of the store, the latest first: it has seen most."""
        least_governance: int | None = None
        for entry in reversed(history):
            where = entry_key(CHECKPOINT_LEDGER, entry.seq)
            with self._findings.of(where):
                checkpoint = read_checkpoint(self._catalog, entry)
                if least_governance is not None and checkpoint.governance > least_governance:
                    self._findings.problem(
                        f"{where}: has seen more of governance than the checkpoint after it; one of them is forged"
                    )
                least_governance = checkpoint.governance
                self._compare(checkpoint, f"checkpoint {entry.seq}", entry.at_ns)
                self._check_signer(where, entry, checkpoint)

    def check_export(self, export: CheckpointExport) -> None:
        """Verify an exported checkpoint, and that its store is still this one."""
        where = "the exported checkpoint"
        with self._findings.of(where):
            entry, checkpoint = export.opened(where)
            self._compare_entry(CHECKPOINT_LEDGER, entry.seq, digest_of(export.entry.encode()), where)
            self._compare(checkpoint, where, entry.at_ns)
            self._check_signer(where, entry, checkpoint)

    def _check_signer(self, where: str, entry: LedgerEntry, checkpoint: Checkpoint) -> None:
        governance = self._verifier.governance(checkpoint.governance)
        for later in self._verifier.history(GOVERNANCE_LEDGER)[checkpoint.governance :]:
            if later.at_ns + CLOCK_TOLERANCE_NS < entry.at_ns:
                self._findings.problem(
                    f"{where}: does not know entry {later.seq} of the governance ledger, which is older; one of them "
                    "is forged"
                )
                break
        if not isinstance(entry.body, CheckpointMade):
            return
        body = entry.body
        statement = CheckpointStatement(entry=entry.seq, previous=entry.previous, heads=body.heads)
        problem = signer_problem(statement, body.signature, entry.actor, governance, entry.at_ns)
        if problem and signers(governance):
            self._findings.problem(f"{where}: {problem}; find out who wrote it, restore the checkpoints from a backup")
        elif problem:
            self._findings.remark(
                f"{where}: nobody vouches for this checkpoint, as the roster names nobody who may sign one; give "
                "somebody the role checkpoint"
            )

    def _compare(self, checkpoint: Checkpoint, by: str, at_ns: int) -> None:
        for name, head in checkpoint.heads.items():
            self._compare_entry(name, head.seq, head.entry, by)
            self._check_next(name, head.seq + 1, by, at_ns)
        for key in checkpoint.refs:
            if self._is_new(key) and not self._has(key):
                self._findings.problem(f"{key}: missing, but {by} has seen it; it was removed, restore it")
        for name, digest in checkpoint.artifacts.items():
            key = ref_key("artifacts", name)
            found = self._catalog.store.get_versioned(key) if self._is_new((key, digest)) else None
            if found and found[0].decode("ascii", errors="replace") != digest:
                self._findings.problem(f"{key}: leads elsewhere than {by} has seen; it was changed, restore it")

    def _compare_entry(self, name: str, seq: int, digest: str, by: str) -> None:
        if not self._is_new((name, seq, digest)):
            return
        key = entry_key(name, seq)
        found = self._catalog.store.get_versioned(key)
        if found is None:
            self._findings.problem(
                f"{key}: missing, but {by} has seen it: the ledger was removed, or its end cut off; restore it from a "
                "backup"
            )
        elif digest_of(found[0]) != digest:
            self._findings.problem(f"{key}: is not what {by} has seen: the ledger was written anew; restore it")
        known = self._head(name, seq)
        if found is not None and known < seq:
            self._findings.problem(
                f"{head_key(name)}: {f'remembers entry {known}' if known else 'missing'}, but {by} has seen it "
                f"remember entry {seq}; it was put back, restore it"
            )

    def _check_next(self, name: str, seq: int, by: str, at_ns: int) -> None:
        """Find what is dated before a checkpoint that did not see it: so would a key be used that was revoked since."""
        key = entry_key(name, seq)
        found = self._catalog.store.get_versioned(key) if self._is_new((name, seq, at_ns)) else None
        if found is None:
            return
        with self._findings.of(key):
            entry = read_document(LedgerEntry, found[0], key)
            if entry.at_ns + CLOCK_TOLERANCE_NS < at_ns:
                self._findings.problem(
                    f"{key}: is dated before {by}, which has not seen it; it was written later than it says, restore "
                    "the ledger"
                )

    def _is_new(self, what: object) -> bool:
        """Tell whether something was not compared before: many checkpoints have seen the same."""
        if what in self._compared:
            return False
        self._compared.add(what)
        return True

    def _head(self, name: str, seq: int) -> int:
        """Return which entry a head remembers, 0 if there is none; ``seq`` if it cannot be read."""
        if name not in self._heads:
            try:
                head = self._catalog.ledger.head(name)
            except IntegrityError:
                return seq  # that head was named when its ledger was verified
            self._heads[name] = head.seq if head else 0
        return self._heads[name]
