"""What a ledger holds, and the state that follows from it.

Entries are of three kinds: registered, evaluated, promoted. Each holds the digest of the bytes of the one before, so
no entry can be changed or taken out unnoticed. The order of the ledger is the order of time; clocks only date it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from bundles.approvals import Approval, Statement
from bundles.canonical import Digest, Document, Int64, Part
from bundles.errors import IntegrityError
from bundles.evidence import EvaluationKind
from bundles.people import Note, PersonName


class Registered(Part):
    """A bundle came into being; the entry's actor is its author."""

    kind: Literal["registered"] = "registered"
    manifest: Digest


class Evaluated(Part):
    """An evaluation was recorded; the entry's actor is its runner."""

    kind: Literal["evaluated"] = "evaluated"
    evaluation: str
    evaluation_kind: EvaluationKind
    record: Digest


class Promoted(Part):
    """The bundle moved up: everything the decision rested on, so that it can be taken again."""

    kind: Literal["promoted"] = "promoted"
    from_stage: str
    statement: Statement
    approvals: tuple[Approval, ...]
    roster: Digest
    notes: Note


Body: TypeAlias = Registered | Evaluated | Promoted


class LedgerEntry(Document):
    """One line of a bundle's history."""

    schema_version: Literal[1] = 1
    seq: Annotated[int, Field(ge=1)]
    bundle: str
    at_ns: Int64
    actor: PersonName
    previous: Digest | None
    body: Annotated[Body, Field(discriminator="kind")]

    @property
    def kind(self) -> str:
        """Return ``registered``, ``evaluated`` or ``promoted``."""
        return self.body.kind


@dataclass(frozen=True, slots=True)
class RecordedEvaluation:
    """An evaluation as the ledger knows it."""

    seq: int
    at_ns: int
    evaluation: str
    kind: EvaluationKind
    record: str


@dataclass(frozen=True, slots=True)
class RecordedPromotion:
    """A promotion as the ledger knows it."""

    seq: int
    at_ns: int
    body: Promoted


@dataclass(frozen=True, slots=True)
class BundleState:
    """What has become of a bundle."""

    bundle: str
    manifest: str
    author: str
    stage: str
    evaluated: tuple[RecordedEvaluation, ...]
    promotions: tuple[RecordedPromotion, ...]

    def find(self, evaluation: str) -> RecordedEvaluation | None:
        """Return the latest mention of an evaluation."""
        return next((each for each in reversed(self.evaluated) if each.evaluation == evaluation), None)

    def latest(self, kind: str) -> RecordedEvaluation | None:
        """Return the evaluation of a kind that counts: the last one."""
        return next((each for each in reversed(self.evaluated) if each.kind == kind), None)


def fold(entries: Sequence[LedgerEntry]) -> BundleState:
    """Return the state that follows from a history.

    Raises:
        IntegrityError: the history cannot have come about.

    """
    first = entries[0]
    if not isinstance(first.body, Registered):
        raise IntegrityError(
            f"The ledger of {first.bundle} begins with {first.kind}, not with registered. Restore it from a backup."
        )
    stage, evaluated, promotions = "research", [], []
    for entry in entries[1:]:
        body = entry.body
        if isinstance(body, Evaluated):
            evaluated.append(
                RecordedEvaluation(entry.seq, entry.at_ns, body.evaluation, body.evaluation_kind, body.record)
            )
        elif isinstance(body, Promoted):
            if body.from_stage != stage or body.statement.bundle != first.body.manifest:
                raise IntegrityError(
                    f"Entry {entry.seq} of the ledger of {entry.bundle} promotes another bundle, or from "
                    f"{body.from_stage} "
                    f"while the bundle was at {stage}. Restore it from a backup."
                )
            stage = body.statement.stage
            promotions.append(RecordedPromotion(entry.seq, entry.at_ns, body))
        else:
            raise IntegrityError(
                f"Entry {entry.seq} of the ledger of {entry.bundle} registers it again. Restore it from a backup."
            )
    return BundleState(first.bundle, first.body.manifest, first.actor, stage, tuple(evaluated), tuple(promotions))
