"""What ledgers hold: one kind of entry for each thing that can happen.

Each entry holds the digest of the bytes of the one before, so no entry can be changed or taken out unnoticed. The order
of a ledger is the order of time; clocks only date it, and never run backwards within one ledger.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from bundles.approvals import Approval
from bundles.canonical import Digest, Document, Int64, Part
from bundles.evidence import EvaluationKind
from bundles.people import Note, PersonName
from bundles.statements import EntryNumber, PromotionStatement

GOVERNANCE_LEDGER = "governance"
"""The ledger of policies, rosters and broken glass; the others are named after their bundle."""

CHECKPOINT_LEDGER = "checkpoints"

GovernanceEntries = Annotated[int, Field(ge=0, lt=2**31)]
"""How many entries the governance ledger had: under which policy and roster something was decided."""


class Registered(Part):
    """A bundle came into being; the entry's actor is its author. What lists show is repeated from the manifest."""

    kind: Literal["registered"] = "registered"
    manifest: Digest
    target: str
    strategy: str
    wasm: Digest | None


class Authored(Part):
    """The author, who is the entry's actor, signed the bundle."""

    kind: Literal["authored"] = "authored"
    signature: str


class Evaluated(Part):
    """An evaluation was recorded; the entry's actor is its runner, who signed it unless the signature is empty."""

    kind: Literal["evaluated"] = "evaluated"
    evaluation: str
    evaluation_kind: EvaluationKind
    record: Digest
    result: Digest
    signature: str = ""


class Attested(Part):
    """A runner executed an evaluation's inputs again and came to this result."""

    kind: Literal["attested"] = "attested"
    evaluation: str
    record: Digest
    result: Digest
    signature: str = ""


class Requested(Part):
    """Somebody asks for a promotion; the statement names this very entry."""

    kind: Literal["requested"] = "requested"
    statement: PromotionStatement
    notes: Note


class Approved(Part):
    """Somebody agrees to a request."""

    kind: Literal["approved"] = "approved"
    request: str
    approval: Approval
    governance: GovernanceEntries


class Denied(Part):
    """Somebody denies a request, which ends it."""

    kind: Literal["denied"] = "denied"
    request: str
    approval: Approval
    governance: GovernanceEntries


class Promoted(Part):
    """The bundle moved up on a request."""

    kind: Literal["promoted"] = "promoted"
    request: str
    from_stage: str
    stage: str
    governance: GovernanceEntries
    reviews: Annotated[int, Field(ge=0)] = 0
    """How many must review this promotion afterwards; above zero only where the glass was broken."""


class Demoted(Part):
    """The bundle moved down; ``evaluation`` is the one that failed, where a policy did it."""

    kind: Literal["demoted"] = "demoted"
    from_stage: str
    stage: str
    evaluation: str | None = None
    notes: Note


class Quarantined(Part):
    """The bundle may go nowhere until it is released."""

    kind: Literal["quarantined"] = "quarantined"
    notes: Note


class Released(Part):
    """A quarantine ended."""

    kind: Literal["released"] = "released"
    quarantine: EntryNumber
    approval: Approval
    governance: GovernanceEntries


class Reviewed(Part):
    """Somebody looked at a broken glass afterwards; ``demote`` ends the stage at once."""

    kind: Literal["reviewed"] = "reviewed"
    request: str
    verdict: Literal["ratify", "demote"]
    approval: Approval
    governance: GovernanceEntries


class PolicySet(Part):
    """A policy was put into force."""

    kind: Literal["policy-set"] = "policy-set"
    policy: Digest
    approvals: tuple[Approval, ...]


class RosterSet(Part):
    """A roster was put into force."""

    kind: Literal["roster-set"] = "roster-set"
    roster: Digest
    approvals: tuple[Approval, ...]


class GlassBroken(Part):
    """A glass is being broken for a bundle: written first, so that no bundle moves by it unnoticed elsewhere."""

    kind: Literal["glass-broken"] = "glass-broken"
    bundle: str
    request: str
    stage: str
    wasm: Digest | None
    lineage: tuple[str, ...]
    """The artifacts that the bundle cites and their ancestors: what makes another bundle the same algo."""


class CheckpointMade(Part):
    """The heads of all ledgers as the signer, the entry's actor, saw them."""

    kind: Literal["checkpoint"] = "checkpoint"
    heads: Digest
    signature: str


Body: TypeAlias = (
    Registered
    | Authored
    | Evaluated
    | Attested
    | Requested
    | Approved
    | Denied
    | Promoted
    | Demoted
    | Quarantined
    | Released
    | Reviewed
    | PolicySet
    | RosterSet
    | GlassBroken
    | CheckpointMade
)


class LedgerEntry(Document):
    """One line of a history."""

    schema_version: Literal[1] = 1
    seq: EntryNumber
    ledger: str
    at_ns: Int64
    actor: PersonName
    previous: Digest | None
    body: Annotated[Body, Field(discriminator="kind")]

    @property
    def kind(self) -> str:
        """Return what happened, such as ``promoted``."""
        return self.body.kind
