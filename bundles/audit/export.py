"""Exports for a review: one file that tells the story, and as JSON also holds what proves it.

What verification reads is what a file needs to be verified without the store: so the export verifies, and keeps every
small object that was read for it, verbatim. The bytes of algos, research and tables stay in the store; the record
names them by digest.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from bundles.audit.review import Review, review_of
from bundles.canonical import Document, read_document
from bundles.catalog import Catalog
from bundles.entries import LedgerEntry, Promoted
from bundles.errors import IntegrityError, InvalidInputError, NotFoundError
from bundles.ledger import head_key
from bundles.roster import Roster
from bundles.state import fold
from bundles.store.memory import MemoryStore
from bundles.store.protocol import ObjectStore
from bundles.verification import Verifier

_COLUMNS: Final = (
    *("when", "ledger", "entry", "what", "made_by", "recorded_by", "approved_by", "evidence"),
    *("request", "policy", "roster", "break_glass", "notes"),
)


class Export(Document):
    """A review with its proof: ``objects`` is the part of the store that verification reads, as text by key."""

    kind: Literal["audit-export"] = "audit-export"
    schema_version: Literal[1] = 1
    bundles: tuple[str, ...]
    promotion: str | None
    """The request whose promotion alone is told."""
    review: Review
    objects: dict[str, str]


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What verifying a file gave."""

    problems: tuple[str, ...]
    remarks: tuple[str, ...]
    entries: int


def export(catalog: Catalog, bundles: Iterable[str] = (), promotion: str | None = None, *, now_ns: int) -> Export:
    """Return the review of some bundles (all of them, unless some are named), or of one promotion, with its proof.

    Raises:
        NotFoundError: no such bundle or promotion.
        IntegrityError: naming what does not verify; nothing is exported.

    """
    recorder = _Recorder(catalog.store)
    seen = Catalog(recorder)
    verifier = Verifier(seen)
    if promotion is not None:
        statement = catalog.request(promotion)
        promotion, bundles = statement.request_id, [catalog.bundle_of(statement)]
    chosen = tuple(catalog.resolve_bundle(name) for name in bundles) or tuple(catalog.bundle_ids())
    review = _told(seen, verifier, chosen, promotion, now_ns)
    return Export(
        bundles=chosen,
        promotion=promotion,
        review=review,
        objects={key: content.decode() for key, content in sorted(recorder.objects.items())},
    )


def _told(catalog: Catalog, verifier: Verifier, bundles: Sequence[str], promotion: str | None, now_ns: int) -> Review:
    """Return the review of bundles, or what of it is about one promotion."""
    review = review_of(catalog, verifier, bundles, now_ns=now_ns)
    if promotion is None:
        return review
    made = [entry.body for name in bundles for entry in verifier.history(name) if isinstance(entry.body, Promoted)]
    if all(body.request != promotion for body in made):
        raise NotFoundError(f"No promotion was made on {promotion}. See what became of it: sequence bundle history")
    kept = (
        each for each in review.changes if each.request == promotion or (each.ledger in bundles and each.entry == 1)
    )
    return review.model_copy(update={"changes": tuple(kept)})


def verify_export(export: Export, where: str, roster: Roster, *, has_roles: bool) -> ExportReport:
    """Verify a file with nothing but itself and the roster: every entry, signature and decision of its bundles.

    The roster in force in the file must be the given one; its roles only if they were given (``has_roles``).
    """
    store = MemoryStore({key: text.encode() for key, text in export.objects.items()}, where)
    catalog = Catalog(store)
    verifier = Verifier(catalog)
    problems: list[str] = []
    remarks: list[str] = []
    entries = 0
    try:
        governance = verifier.governance()
        entries += governance.entries
        if set(governance.roster.keys) != set(roster.keys):
            problems.append(f"{where}: the roster in force there has other keys than the given one; ask who is right")
        if has_roles and governance.roster.roles != roster.roles:
            problems.append(f"{where}: the roster in force there has other roles than the given one; ask who is right")
        elif not has_roles:
            remarks.append("the roles of people were taken from the file, as none were given (--roles)")
        for name in export.bundles:
            history = verifier.history(name)
            entries += len(history)
            found = verifier.problems(history) if history else [f"{where}: holds no ledger of {name}; export again"]
            problems += found or _head_problems(catalog, name, history)
        told = None if problems else _told(catalog, verifier, export.bundles, export.promotion, export.review.at_ns)
        if told is not None and told != export.review:
            problems.append(f"{where}: the review tells what its proof does not give; it was changed, export it again")
    except (IntegrityError, NotFoundError, InvalidInputError) as error:
        problems.append(f"{where}: {error}")
    return ExportReport(problems=tuple(problems), remarks=tuple(remarks), entries=entries)


def _head_problems(catalog: Catalog, name: str, history: Sequence[LedgerEntry]) -> list[str]:
    """Say that a head, which proves nothing and is believed by lists, shows something else than its ledger gives."""
    head = catalog.ledger.head(name)
    if head is None or head.standing == fold(history[: head.seq]).standing():
        return []
    return [f"{head_key(name)}: shows a standing that the ledger does not give; it was changed, export it again"]


def load_audit_export(path: Path) -> Export:
    """Read an export; NotFoundError or MalformedDocumentError, naming the file."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise NotFoundError(f"{path} cannot be read: {error.strerror}. Check the path.") from error
    return read_document(Export, content, str(path))


def as_csv(review: Review) -> str:
    """Return one line for each change, for a spreadsheet."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    for change in review.changes:
        approved = "; ".join(
            f"{word.person} ({', '.join(word.roles) or 'no role'}, {word.key or 'typed'})"
            for word in change.approved_by
        )
        evidence = "; ".join(f"{each.evaluation} {each.kind} {each.verdict}" for each in change.evidence)
        cells = [change.at, change.ledger, str(change.entry), change.what, change.made_by, change.recorded_by]
        cells += [approved, evidence, change.request, change.policy, change.roster, change.break_glass, change.notes]
        writer.writerow(map(_cell, cells))
    return text.getvalue()


def _cell(text: str) -> str:
    """Keep a spreadsheet from taking what a person wrote for a formula."""
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text


class _Recorder:
    """A store that remembers what was read of it."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self.objects: dict[str, bytes] = {}

    @property
    def url(self) -> str:
        return self._store.url

    def exists(self) -> bool:
        return self._store.exists()

    def get(self, key: str) -> bytes:
        self.objects[key] = self._store.get(key)
        return self.objects[key]

    def get_versioned(self, key: str) -> tuple[bytes, str] | None:
        found = self._store.get_versioned(key)
        if found is not None:
            self.objects[key] = found[0]
        return found

    def list(self, prefix: str) -> Iterator[str]:
        return self._store.list(prefix)

    def contents(self, prefix: str, remembered: Callable[[], Mapping[str, bytes]]) -> Iterator[tuple[str, bytes]]:
        return self._store.contents(prefix, remembered)

    def put_if_absent(self, key: str, content: bytes) -> bool:
        return self._store.put_if_absent(key, content)

    def compare_and_swap(self, key: str, content: bytes, expected_version: str | None) -> str:
        return self._store.compare_and_swap(key, content, expected_version)
