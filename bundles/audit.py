"""Verify a whole store offline: every blob, reference, ledger and decision.

Nothing is taken from what the store says about itself. What a crash leaves behind is accepted and named as unfinished:
blobs that nothing refers to, a history whose bundle or evaluation was not named yet, a head that lags behind its
ledger.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final

from pydantic import BaseModel

from bundles.canonical import digest_of, short_id
from bundles.catalog import Catalog, blob_key, ref_key
from bundles.entries import GOVERNANCE_LEDGER, Evaluated, LedgerEntry
from bundles.errors import IntegrityError, InvalidInputError, NotFoundError
from bundles.evidence import Evaluation
from bundles.ledger import entry_key, head_key
from bundles.manifests import Artifact, AssignmentBundle, BlobRef, EdgeBundle, SorBundle
from bundles.state import fold
from bundles.store.protocol import ObjectStore
from bundles.verification import Verifier

_KNOWN_KEYS: Final = re.compile(
    r"cas/sha256/[0-9a-f]{2}/[0-9a-f]{62}|refs/(bundles|artifacts|datasets|evaluations|policies|requests)/[^/]+"
    r"|(ledger/(bun_[0-9a-f]{16}|governance|checkpoints)/\d{8}\.json)|heads/ledger/(bun_[0-9a-f]{16}|governance|checkpoints)"
)


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What was found; the store is sound if there are no problems.

    ``unfinished`` lists what a crash cut short and the same command, run again, completes.
    """

    problems: tuple[str, ...]
    unfinished: tuple[str, ...]
    entries: int
    objects: int


def verify(store: ObjectStore, progress: Callable[[int], None] | None = None) -> AuditReport:
    """Check everything in a store; ``progress`` is told the number of objects read so far.

    Raises:
        NotFoundError: there is no store at that address.

    """
    if not store.exists():
        raise NotFoundError(
            f"There is no store at {store.url}. Check the address; the first thing registered creates a store."
        )
    return _Audit(store, progress).run()


class _Audit:
    def __init__(self, store: ObjectStore, progress: Callable[[int], None] | None) -> None:
        self._catalog = Catalog(store)
        self._verifier = Verifier(self._catalog)
        self._store = store
        self._progress = progress or (lambda _count: None)
        self._present: frozenset[str] = frozenset()
        self._blobs: set[str] = set()
        self._problems: list[str] = []
        self._unfinished: list[str] = []
        self._entries = 0

    def run(self) -> AuditReport:
        keys = sorted(self._store.list(""))
        self._problems += [f"{key}: this product writes no such key" for key in keys if not _KNOWN_KEYS.fullmatch(key)]
        for count, key in enumerate((key for key in keys if key.startswith("cas/")), start=1):
            self._check_blob(key)
            self._progress(count)
        self._present = frozenset(keys)
        for kind, read in self._readers().items():
            for key in (key for key in keys if key.startswith(f"refs/{kind}/")):
                self._guard(key, partial(self._check_reference, read, key.rpartition("/")[2]))
        for bundle_id in self._ledgers(keys):
            self._guard(f"ledger/{bundle_id}/", partial(self._check_ledger, bundle_id))
        self._guard(f"ledger/{GOVERNANCE_LEDGER}/", self._verifier.governance)
        return AuditReport(tuple(self._problems), tuple(self._unfinished), self._entries, len(keys))

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

    def _guard(self, where: str, check: Callable[[], object]) -> None:
        try:
            check()
        except (IntegrityError, NotFoundError, InvalidInputError) as error:
            self._problems.append(f"{where}: {error}")

    def _check_blob(self, key: str) -> None:
        digits = key.removeprefix("cas/sha256/").replace("/", "")
        if digest_of(self._store.get(key)) == f"sha256:{digits}":
            self._blobs.add(f"sha256:{digits}")
        else:
            self._problems.append(f"{key}: the bytes do not have this digest; restore them from a backup")

    def _check_reference(self, read: Callable[[str], BaseModel], name: str) -> None:
        document = read(name)
        for digest in _cited_blobs(document):
            if digest not in self._blobs:
                self._problems.append(f"{blob_key(digest)}: missing or changed, but a document refers to it")
        for kind, cited in _citations(document):
            if ref_key(kind, cited) not in self._present:
                self._problems.append(f"{ref_key(kind, cited)}: missing, but {name} cites it; register it again")
        if isinstance(document, Evaluation):
            bundle_id = short_id("bun", document.inputs.bundle)
            recorded = self._catalog.ledger.state(bundle_id).find(document.eval_id)
            if recorded is None or recorded.record != document.digest():
                self._problems.append(
                    f"{ref_key('evaluations', document.eval_id)}: the ledger of {bundle_id} does not know this record"
                )

    def _ledgers(self, keys: list[str]) -> list[str]:
        """Return every bundle that has a reference, a head or entries: each must have all three."""
        named = {key.split("/")[1] for key in keys if key.startswith("ledger/bun_")}
        named |= {key.rpartition("/")[2] for key in keys if key.startswith(("heads/ledger/bun_", "refs/bundles/"))}
        return sorted(named)

    def _check_ledger(self, bundle_id: str) -> None:
        entries = self._catalog.ledger.history(bundle_id)
        if not entries:
            self._problems.append(f"{entry_key(bundle_id, 1)}: missing, so nobody knows what happened to this bundle")
            return
        self._entries += len(entries)
        state = fold(entries)
        if short_id("bun", state.manifest) != bundle_id:
            self._problems.append(f"{entry_key(bundle_id, 1)}: registers {state.manifest}, which has another id")
        if head_key(bundle_id) not in self._present:
            self._unfinished.append(f"{head_key(bundle_id)}: missing")
        if ref_key("bundles", bundle_id) not in self._present:
            self._note(len(entries) > 1, f"{ref_key('bundles', bundle_id)}: missing; register the bundle again")
            return
        cited = {name for each in state.promotions for name in each.request.statement.evaluations}
        for promotion in state.promotions:
            key = ref_key("policies", short_id("pol", promotion.request.statement.policy))
            if key not in self._present:
                self._problems.append(f"{key}: missing, but entry {promotion.seq} of {bundle_id} was decided by it")
        for entry in entries:
            if isinstance(entry.body, Evaluated):
                self._check_evaluated(entry, entry.body, cited)
        self._problems += self._verifier.problems(entries)

    def _check_evaluated(self, entry: LedgerEntry, body: Evaluated, cited: set[str]) -> None:
        record = self._catalog.read(body.record, Evaluation)
        if (record.eval_id, record.inputs.kind) != (body.evaluation, body.evaluation_kind) or (
            short_id("bun", record.inputs.bundle) != entry.ledger
        ):
            self._problems.append(
                f"{entry_key(entry.ledger, entry.seq)}: names {body.evaluation}, but its record is another"
            )
        if ref_key("evaluations", body.evaluation) not in self._present:
            self._note(
                body.evaluation in cited,
                f"{ref_key('evaluations', body.evaluation)}: missing; run the evaluation again",
            )

    def _note(self, is_problem: bool, text: str) -> None:
        (self._problems if is_problem else self._unfinished).append(text)


def _citations(document: BaseModel) -> Iterator[tuple[str, str]]:
    """Yield kind and id of everything that a document builds on."""
    if isinstance(document, Artifact):
        yield from (("artifacts", name) for name in document.parents)
    elif isinstance(document, EdgeBundle | SorBundle | AssignmentBundle):
        yield from (("artifacts", name) for name in document.artifacts)
    elif isinstance(document, Evaluation):
        yield from (("datasets", short_id("data", digest)) for digest in document.inputs.datasets)


def _cited_blobs(document: BaseModel) -> Iterator[str]:
    """Yield the digests of the blobs that a document refers to."""
    for _, value in document:
        if isinstance(value, BlobRef):
            yield value.digest
        elif isinstance(value, dict):
            yield from (each.digest for each in value.values() if isinstance(each, BlobRef))
    if isinstance(document, Evaluation):
        yield from document.inputs.blobs
