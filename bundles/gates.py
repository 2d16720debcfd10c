"""Metrics and rules in, a verdict out, with every check in plain words.

Pure: a stored verdict is never trusted, it is derived again.

* A run that was cut short says nothing: inconclusive.
* A bundle that broke during its run fails, whatever else is known.
* A rule that does not hold fails, also when other figures are missing.
* Too little data, or a missing figure that a rule needs, is inconclusive.
* So is an evaluation under settings that are easier than the stage asks for: that it passed says too little.
* So is a rule on a confidence bound while the value that it asks for lies within the interval: the data neither show
  that it holds nor that it does not.
* Or a rule on a probability between the value that it asks for and the one at which it fails.
* Dry-run rules are shown and decide nothing.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from bundles.evidence import Evaluation, Metrics
from bundles.policy import Rule, SettingRule, StageRule

Verdict: TypeAlias = Literal["pass", "fail", "inconclusive"]

_INTEGER: Final = re.compile(r"-?[0-9]{1,19}")
_HOLDS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class Check:
    """One condition, such as ``max_drawdown_pct 0.42 <= 5``; ``ok`` is None where it cannot be told."""

    text: str
    ok: bool | None
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class GateResult:
    """A verdict and all the checks that it rests on."""

    verdict: Verdict
    checks: tuple[Check, ...]


def evaluate_gate(rule: StageRule, evaluation: Evaluation) -> GateResult:
    """Judge one evaluation by the rules of a stage."""
    status = _status_check(evaluation)
    enough = (*_coverage_checks(rule, evaluation), *_setting_checks(rule, evaluation))
    rules = tuple(_rule_check(each, evaluation.metrics) for each in rule.rules)
    deciding = [check.ok for check in rules if not check.dry_run]
    verdict: Verdict
    if status.ok is None:
        verdict = "inconclusive"
    elif status.ok is False or False in deciding:
        verdict = "fail"
    elif None in deciding or not all(check.ok for check in enough):
        verdict = "inconclusive"
    else:
        verdict = "pass"
    return GateResult(verdict, (status, *enough, *rules))


def _status_check(evaluation: Evaluation) -> Check:
    detail = f": {evaluation.status_detail}" if evaluation.status_detail else ""
    ok = {"completed": True, "failed": False, "interrupted": None}[evaluation.status]
    return Check(f"run {evaluation.status}{detail}", ok)


def _coverage_checks(rule: StageRule, evaluation: Evaluation) -> tuple[Check, ...]:
    seen, wanted = evaluation.coverage, rule.coverage
    return (
        Check(
            f"duration_s {_told(seen.duration_s, '>=', wanted.min_duration_s)} >= {wanted.min_duration_s}",
            seen.duration_s >= wanted.min_duration_s,
        ),
        Check(f"events {seen.events} >= {wanted.min_events}", seen.events >= wanted.min_events),
    )


def _setting_checks(rule: StageRule, evaluation: Evaluation) -> tuple[Check, ...]:
    """Return what is easier than asked for, or one line that nothing is: there are many settings."""
    checks = [check for each in rule.settings for check in _checks_of_setting(each, evaluation.inputs.settings)]
    easier = tuple(check for check in checks if not check.ok)
    if easier or not checks:
        return easier
    return (Check(f"settings: {len(checks)} of {len(checks)} at least as hard as asked for", ok=True),)


def _checks_of_setting(rule: SettingRule, settings: Mapping[str, Any]) -> Iterator[Check]:
    wanted = f"{rule.op} {rule.value if isinstance(rule.value, str) else _figure(rule.value)}"
    path = rule.setting.split(".")
    at: Any = settings
    for part in path[:-1] if path[-1] == "*" else path:
        at = at.get(part) if isinstance(at, Mapping) else None
    if path[-1] != "*":
        found = {rule.setting: at}
    elif isinstance(at, Mapping):
        found = {f"{rule.setting.removesuffix('*')}{name}": value for name, value in at.items()}
    else:
        found = {rule.setting: None}
    for name, said in found.items():
        value = _as_told(said, rule.value)
        if value is None:
            shown = "is missing" if said is None else f"is {said!r}"
            yield Check(f"setting {name} {shown}, {wanted} is asked for", ok=False)
        else:
            yield Check(f"setting {name} {said} {wanted}", _HOLDS[rule.op](value, rule.value))


def _as_told(said: Any, wanted: float | str) -> float | str | None:
    """Return a setting in the form of the value that it is compared with; None if it has no such form."""
    if isinstance(wanted, str):
        return said if isinstance(said, str) else None
    if isinstance(said, str):  # 64-bit integers are written as text
        return int(said) if _INTEGER.fullmatch(said) else None
    return said if isinstance(said, int | float) else None


def _rule_check(rule: Rule, metrics: Metrics) -> Check:
    wanted, value = f"{rule.op} {_figure(rule.value)}", metrics.get(rule.judged)
    if value is None:
        return Check(f"{rule.judged} is missing, {wanted} is asked for", None, rule.dry_run)
    holds = _HOLDS[rule.op](value, rule.value)
    text = f"{rule.judged} {_told(value, rule.op, rule.value)} {wanted}"
    if not holds and rule.fails_at is not None and _HOLDS[rule.op](value, rule.fails_at):
        return Check(f"{text}: not told yet, it fails at {_figure(rule.fails_at)}", None, rule.dry_run)
    other = None if holds or rule.other_bound is None else metrics.get(rule.other_bound)
    if other is not None and _HOLDS[rule.op](other, rule.value):
        return Check(f"{text}: not told yet, {rule.other_bound} is {_figure(other)}", None, rule.dry_run)
    return Check(text, holds, rule.dry_run)


def _told(value: float, op: str, wanted: float) -> str:
    """Return a figure, rounded unless the text would then say the opposite of what holds."""
    shown = _figure(value)
    return shown if _HOLDS[op](float(shown), wanted) == _HOLDS[op](value, wanted) else repr(value)


def _figure(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6g}"
