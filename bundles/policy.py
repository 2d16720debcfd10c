"""What each stage asks for: evidence, coverage, rules, age and approvals.

Written in YAML, read into frozen models, named by digest. A policy covers every stage of every ladder, so that no
promotion can meet a stage without rules.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from bundles.canonical import Document, Number, Part
from bundles.errors import MalformedDocumentError, NotFoundError
from bundles.evidence import EvaluationKind
from bundles.manifests import Name
from bundles.stages import STAGES
from bundles.yaml_documents import read_yaml

Operator = Literal["==", "!=", "<", "<=", ">", ">="]
Role = Name
_Count = Annotated[int, Field(strict=True, ge=0, lt=2**31)]


class Rule(Part):
    """One figure and what it must be. A dry-run rule is shown and decides nothing."""

    metric: Name
    op: Operator
    value: Number
    dry_run: Annotated[bool, Field(strict=True)] = False


class CoverageRule(Part):
    """How much data an evaluation must have seen; with less, its verdict is inconclusive."""

    min_duration_s: _Count
    min_events: _Count


class ApprovalRule(Part):
    """Who must agree. Without roles anyone but the author may; with ``signed`` by a key of the roster."""

    count: Annotated[int, Field(strict=True, ge=1, le=100)]
    roles: tuple[Role, ...] = ()
    signed: Annotated[bool, Field(strict=True)]


class StageRule(Part):
    """What one stage asks of a bundle that wants to enter it.

    With ``later_window`` the evaluation must see a market that begins after the end of one which was evidence already.
    """

    evidence: EvaluationKind
    coverage: CoverageRule
    max_age_days: Annotated[int, Field(strict=True, ge=1, le=3650)]
    rules: Annotated[tuple[Rule, ...], Field(min_length=1)]
    approvals: ApprovalRule
    later_window: Annotated[bool, Field(strict=True)] = False


class BreakGlassRule(Part):
    """Who may break the glass."""

    roles: tuple[Role, ...] = ()
    signed: Annotated[bool, Field(strict=True)]


class EdgeLadder(Part):
    """What the stages of an edge algo ask for."""

    replay: StageRule
    shadow: StageRule
    live: StageRule
    scaled: StageRule


class PolicyLadder(Part):
    """What the stages of a routing or assignment policy ask for."""

    replay: StageRule
    sandbox: StageRule
    live: StageRule
    scaled: StageRule


class Ladders(Part):
    """The three ladders by target."""

    edge: EdgeLadder
    sor: PolicyLadder
    assignment: PolicyLadder


class Policy(Document):
    """The rules of all ladders."""

    schema_version: Literal[1] = 1
    name: Name
    ladders: Ladders
    break_glass: BreakGlassRule

    def rule(self, target: str, stage: str) -> StageRule | None:
        """Return what a stage asks for, or None if the ladder has no such stage above research."""
        if stage not in STAGES.get(target, ())[1:]:
            return None
        found = getattr(getattr(self.ladders, target), stage)
        return found if isinstance(found, StageRule) else None


def load_policy(text_or_path: str | Path) -> Policy:
    """Read a policy from a path, or from YAML text (a string of more than one line).

    Raises:
        NotFoundError: no such file.
        MalformedDocumentError: naming file, line and key of each problem.

    """
    if isinstance(text_or_path, str) and "\n" in text_or_path:
        return read_yaml(Policy, text_or_path, "policy")
    path = Path(text_or_path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise NotFoundError(f"The policy {path} cannot be read: {error.strerror}. Check the path.") from error
    except UnicodeDecodeError as error:
        raise MalformedDocumentError(f"The policy {path} is not UTF-8 text: {error}.") from error
    return read_yaml(Policy, text, str(path))


@cache
def default_policy() -> Policy:
    """Return the policy that is shipped, which holds wherever a store names no other."""
    return load_policy(Path(__file__).parent / "policies" / "default.yaml")
