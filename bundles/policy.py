"""What each stage asks for: evidence, coverage, rules, age and approvals.

Written in YAML, read into frozen models, named by digest. A policy covers every stage of every ladder, so that no
promotion can meet a stage without rules.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from bundles.canonical import Document, Number, Part
from bundles.errors import MalformedDocumentError, NotFoundError
from bundles.evidence import EvaluationKind
from bundles.manifests import Name
from bundles.stages import STAGES
from bundles.yaml_documents import read_yaml

Operator = Literal["==", "!=", "<", "<=", ">", ">="]
Role = Name
Bound = Literal["lower90", "lower95", "lower99", "upper90", "upper95", "upper99"]
Count = Annotated[int, Field(strict=True, ge=0, lt=2**31)]
Flag = Annotated[bool, Field(strict=True)]
GlassHours = Annotated[int, Field(strict=True, ge=1, le=24)]


class Rule(Part):
    """One figure and what it must be. A dry-run rule is shown and decides nothing."""

    metric: Name
    op: Operator
    value: Number
    bound: Bound | None = None
    """Judge a confidence bound in place of the figure itself: the metric ``<metric>_<bound>``, such as
    ``return_bps_lower95``."""
    fails_at: Number | None = None
    """Of probabilities: it fails only where this value is missed as well; between the two the data tell neither."""
    dry_run: Flag = False

    @property
    def judged(self) -> str:
        """The name of the figure that is judged."""
        return f"{self.metric}_{self.bound}" if self.bound else self.metric

    @property
    def other_bound(self) -> str | None:
        """The name of the interval's other end, if a bound is judged."""
        if self.bound is None:
            return None
        end, percent = self.bound[:-2], self.bound[-2:]
        return f"{self.metric}_{'upper' if end == 'lower' else 'lower'}{percent}"


class SettingRule(Part):
    """A setting under which an evaluation must have been made, so that nobody makes a test easier than the stage asks.

    ``setting`` is a path into the evaluation's settings, such as ``faults.reject_ppm``; a last ``*`` stands for
    everything there. Switches count as 1 and 0.
    """

    setting: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*(\.\*)?$", max_length=128)]
    op: Operator
    value: Number | Name

    @model_validator(mode="after")
    def _names_have_no_order(self) -> SettingRule:
        if isinstance(self.value, str) and self.op not in {"==", "!="}:
            raise ValueError(f"op {self.op} compares numbers; {self.value} can only be == or !=")
        return self


class CoverageRule(Part):
    """How much data an evaluation must have seen; with less, its verdict is inconclusive."""

    min_duration_s: Count
    min_events: Count


class RunnerRule(Part):
    """Who must have executed the evidence: so many different runners, all with the same result.

    Listed runners are those that the roster gives the role ``runner``; their signatures are verified. A roster that
    lists any runner asks for listed ones everywhere.
    """

    count: Annotated[int, Field(strict=True, ge=1, le=10)] = 1
    listed: Flag = False


class Signers(Part):
    """Whose word counts. Without roles anybody's but the author's; with ``signed`` by a key of the roster."""

    roles: tuple[Role, ...] = ()
    signed: Flag


class ApprovalRule(Signers):
    """Whose word, of how many different people, and of how many at least of a role."""

    count: Annotated[int, Field(strict=True, ge=1, le=100)]
    at_least: dict[Role, Annotated[int, Field(strict=True, ge=1, le=100)]] = Field(default_factory=dict)
    valid_hours: Annotated[int, Field(strict=True, ge=1, le=8760)] = 72
    """How long a request stays open."""

    @model_validator(mode="after")
    def _can_be_met(self) -> ApprovalRule:
        strange = sorted(set(self.at_least) - set(self.roles))
        if strange:
            raise ValueError(f"at_least names {', '.join(strange)}, which roles does not list")
        return self


class StageRule(Part):
    """What one stage asks of a bundle that wants to enter it.

    With ``later_window`` the evaluation must see a market that begins after the end of one which was evidence already.
    With ``demote_on_failure`` a bundle that stands there, or higher, falls to the stage below as soon as a later
    evaluation of this kind fails these rules.
    """

    evidence: EvaluationKind
    coverage: CoverageRule
    max_age_days: Annotated[int, Field(strict=True, ge=1, le=3650)]
    rules: Annotated[tuple[Rule, ...], Field(min_length=1)]
    settings: tuple[SettingRule, ...] = ()
    """Settings that make the evaluation hard enough; under easier ones its verdict is inconclusive."""
    approvals: ApprovalRule
    later_window: Flag = False
    runners: RunnerRule = RunnerRule()
    signed_author: Flag = False
    """Whether the author's name must be signed, so that nobody approves a bundle registered in another's name."""
    soak_hours: Count = 0
    """How long a bundle must have stood at the stage below."""
    demote_on_failure: Flag = False


class BreakGlassRule(Signers):
    """Who may break the glass, for how long, and who looks at it afterwards."""

    default_hours: GlassHours = 4
    max_hours: GlassHours = 24
    reviews: ApprovalRule


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
    governance: ApprovalRule
    """Who may change the policy and the roster."""
    release: Signers
    """Who may end a quarantine."""

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
