"""What people and runners put their names to: canonical documents, each kind signed in a namespace of its own.

A signature made for one kind of statement never counts for another, and every statement names the one thing, and the
one place in a ledger, that it is about: it cannot be brought a second time.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from bundles.canonical import Digest, Document, short_id

PROMOTION: Final = "sequence-promotion"
EVALUATION: Final = "sequence-evaluation"
GOVERNANCE: Final = "sequence-governance"
CHECKPOINT: Final = "sequence-checkpoint"

EntryNumber = Annotated[int, Field(ge=1, lt=2**31)]
"""The number of an entry in a ledger."""


class Statement(Document):
    """Base of what is signed; ``namespace`` is OpenSSH's (PROTOCOL.sshsig)."""

    namespace: ClassVar[str]


class PromotionStatement(Statement):
    """What an approver agrees to, or denies; ``entry`` is the ledger entry that opened the request."""

    namespace: ClassVar[str] = PROMOTION

    kind: Literal["promotion-statement"] = "promotion-statement"
    schema_version: Literal[1] = 1
    decision: Literal["approve", "deny"] = "approve"
    bundle: Digest
    target: str
    stage: str
    evaluations: tuple[str, ...]
    verdict: Digest
    policy: Digest
    entry: EntryNumber
    break_glass: bool = False
    glass_s: Annotated[int, Field(ge=1, le=86_400)] | None = None
    """How long a stage that was entered by breaking the glass lasts."""

    @property
    def request_id(self) -> str:
        """``prm_`` and the first 16 hex digits of the digest of what is to be approved."""
        return short_id("prm", self.saying("approve").digest())

    def saying(self, decision: Literal["approve", "deny"]) -> PromotionStatement:
        """Return the statement with a decision."""
        return self if decision == self.decision else self.model_copy(update={"decision": decision})

    def asks_the_same(self, other: PromotionStatement) -> bool:
        """Tell whether two requests ask for the same thing on the same grounds, be they opened at different entries."""
        return self.model_copy(update={"entry": other.entry}) == other


class AuthorStatement(Statement):
    """What the author of a bundle signs: that the name in the record is no other's."""

    namespace: ClassVar[str] = PROMOTION

    kind: Literal["author-statement"] = "author-statement"
    schema_version: Literal[1] = 1
    bundle: Digest


class ReviewStatement(Statement):
    """What a reviewer says afterwards of a broken glass."""

    namespace: ClassVar[str] = PROMOTION

    kind: Literal["review-statement"] = "review-statement"
    schema_version: Literal[1] = 1
    bundle: Digest
    request: str
    verdict: Literal["ratify", "demote"]


class ReleaseStatement(Statement):
    """What an operator says who ends a quarantine; ``quarantine`` is the ledger entry that began it."""

    namespace: ClassVar[str] = PROMOTION

    kind: Literal["release-statement"] = "release-statement"
    schema_version: Literal[1] = 1
    bundle: Digest
    quarantine: EntryNumber


class GovernanceStatement(Statement):
    """Puts a policy or a roster into force, as that entry of the governance ledger."""

    namespace: ClassVar[str] = GOVERNANCE

    kind: Literal["governance-statement"] = "governance-statement"
    schema_version: Literal[1] = 1
    sets: Literal["policy", "roster"]
    document: Digest
    entry: EntryNumber


class EvaluationStatement(Statement):
    """What a runner says that executed an evaluation's inputs: the record it made or checked, and its own result."""

    namespace: ClassVar[str] = EVALUATION

    kind: Literal["evaluation-statement"] = "evaluation-statement"
    schema_version: Literal[1] = 1
    bundle: Digest
    evaluation: str
    record: Digest
    result: Digest


class CheckpointStatement(Statement):
    """What the signer of a checkpoint saw: the heads of all ledgers, as that entry of the checkpoints' ledger."""

    namespace: ClassVar[str] = CHECKPOINT

    kind: Literal["checkpoint-statement"] = "checkpoint-statement"
    schema_version: Literal[1] = 1
    entry: EntryNumber
    previous: Digest | None
    heads: Digest
