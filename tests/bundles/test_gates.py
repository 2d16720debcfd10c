"""Verdicts against a slow, obvious reading of the rules."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bundles.evidence import Coverage
from bundles.gates import GateResult, evaluate_gate
from bundles.policy import ApprovalRule, CoverageRule, Rule, SettingRule, StageRule, default_policy
from bundles.stages import STAGES
from tests.bundles.conftest import edge_bundle, evaluation_of

VALUES = st.none() | st.integers(-3, 3) | st.sampled_from([0.5, -0.5, 1.0000001, 2.9999999])
RULES = st.builds(
    Rule,
    metric=st.sampled_from(["traps", "sharpe", "fills"]),
    op=st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
    value=st.integers(-3, 3),
    dry_run=st.booleans(),
)


def stage_rule(rules: tuple[Rule, ...]) -> StageRule:
    return StageRule(
        evidence="replay",
        coverage=CoverageRule(min_duration_s=300, min_events=1000),
        max_age_days=1,
        rules=rules,
        approvals=ApprovalRule(count=1, signed=False),
    )


def with_settings(*rules: SettingRule, **settings: object) -> GateResult:
    stage = stage_rule((Rule(metric="traps", op="==", value=0),)).model_copy(update={"settings": rules})
    evaluation = evaluation_of(edge_bundle(), "replay", metrics={"traps": 0})
    inputs = evaluation.inputs.model_copy(update={"settings": settings})
    return evaluate_gate(stage, evaluation.model_copy(update={"inputs": inputs}))


HARD = {"queue_model": "risk_averse", "partial_fills": True, "capital_1e9": "100", "faults": {"reject_ppm": 10_000}}
ASKED = (
    SettingRule(setting="queue_model", op="==", value="risk_averse"),
    SettingRule(setting="partial_fills", op="==", value=1),
    SettingRule(setting="capital_1e9", op="<=", value=100),
    SettingRule(setting="faults.reject_ppm", op=">=", value=10_000),
    SettingRule(setting="latencies.*", op=">=", value=5),
)


@pytest.mark.parametrize("latencies", [{}, {"a": "5", "b": 7}])
def test_settings_as_hard_as_asked_for_pass(latencies: dict[str, object]) -> None:
    assert with_settings(*ASKED, **HARD, latencies=latencies).verdict == "pass"


@pytest.mark.parametrize(
    ("easier", "told"),
    [
        ({"queue_model": "optimistic"}, "setting queue_model optimistic == risk_averse"),
        ({"queue_model": 3}, "setting queue_model is 3, == risk_averse is asked for"),
        ({"partial_fills": False}, "setting partial_fills False == 1"),
        ({"capital_1e9": "9000000000000000000"}, "setting capital_1e9 9000000000000000000 <= 100"),
        ({"capital_1e9": "a hundred"}, "setting capital_1e9 is 'a hundred', <= 100 is asked for"),
        ({"faults": {"reject_ppm": 0}}, "setting faults.reject_ppm 0 >= 10000"),
        ({"faults": {}}, "setting faults.reject_ppm is missing, >= 10000 is asked for"),
        ({"faults": 10_000}, "setting faults.reject_ppm is missing, >= 10000 is asked for"),
        ({"latencies": {"a": 5, "b": "4"}}, "setting latencies.b 4 >= 5"),
        ({"latencies": None}, "setting latencies.* is missing, >= 5 is asked for"),
    ],
)
def test_a_pass_under_easier_settings_decides_nothing(easier: dict[str, object], told: str) -> None:
    result = with_settings(*ASKED, **HARD | {"latencies": {}} | easier)
    assert result.verdict == "inconclusive"
    assert [check.text for check in result.checks if not check.ok] == [told]


def test_a_failure_under_easier_settings_is_a_failure() -> None:
    stage = stage_rule((Rule(metric="traps", op="==", value=0),)).model_copy(update={"settings": ASKED})
    assert evaluate_gate(stage, evaluation_of(edge_bundle(), "replay", metrics={"traps": 1})).verdict == "fail"


@pytest.mark.parametrize(
    "wrong",
    [
        {"setting": "queue_model", "op": ">=", "value": "risk_averse"},
        {"setting": "Queue", "op": "==", "value": 1},
        {"setting": "a.*.b", "op": "==", "value": 1},
        {"setting": "a\n", "op": "==", "value": 1},
        {"setting": "a", "op": "==", "value": float("nan")},
    ],
)
def test_rules_on_settings_that_say_nothing_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        SettingRule.model_validate(wrong)


def judged(rules: tuple[Rule, ...], **facts: object):
    return evaluate_gate(stage_rule(rules), evaluation_of(edge_bundle(), "replay", **facts))


@given(
    rules=st.lists(RULES, min_size=1, max_size=4).map(tuple),
    metrics=st.fixed_dictionaries({"traps": VALUES, "sharpe": VALUES, "fills": VALUES}),
    status=st.sampled_from(["completed", "failed", "interrupted"]),
    duration_s=st.sampled_from([0, 299, 300, 301]),
    events=st.sampled_from([0, 999, 1000]),
)
@settings(deadline=None, max_examples=300)
def test_verdict(rules, metrics, status, duration_s, events) -> None:
    coverage = Coverage(first_ns=5, last_ns=5 + duration_s * 10**9, events=events, packets=0)
    result = judged(rules, metrics=metrics, status=status, coverage=coverage)
    broken = missing = False
    for rule in rules:
        value = metrics[rule.metric]
        if rule.dry_run:
            continue
        if value is None:
            missing = True
        elif not eval(f"{value!r} {rule.op} {rule.value!r}"):
            broken = True
    if status == "interrupted":
        wanted = "inconclusive"
    elif status == "failed" or broken:
        wanted = "fail"
    elif missing or duration_s < 300 or events < 1000:
        wanted = "inconclusive"
    else:
        wanted = "pass"
    assert result.verdict == wanted
    assert len(result.checks) == 3 + len(rules)
    for check, rule in zip(result.checks[3:], rules, strict=True):
        assert check.dry_run == rule.dry_run
        if check.ok is not None:  # the text says what was found, rounding included
            assert eval(check.text.removeprefix(rule.metric)) is check.ok


@pytest.mark.parametrize(
    ("value", "text", "ok"),
    [
        (0.42, "max_drawdown_pct 0.42 <= 5", True),
        (7, "max_drawdown_pct 7 <= 5", False),
        (5.0000000001, "max_drawdown_pct 5.0000000001 <= 5", False),
        (None, "max_drawdown_pct is missing, <= 5 is asked for", None),
    ],
)
def test_text(value, text, ok) -> None:
    result = judged((Rule(metric="max_drawdown_pct", op="<=", value=5),), metrics={"max_drawdown_pct": value})
    assert (result.checks[-1].text, result.checks[-1].ok) == (text, ok)


def test_a_moment_too_little_is_not_rounded_to_enough() -> None:
    coverage = Coverage(first_ns=0, last_ns=300 * 10**9 - 1, events=1_000, packets=0)
    duration = judged((Rule(metric="fills", op=">=", value=0),), metrics={"fills": 1}, coverage=coverage).checks[1]
    assert (duration.text, duration.ok) == ("duration_s 299.999999999 >= 300", False)


@pytest.mark.parametrize("target", ["edge", "sor", "assignment"])
def test_one_utc_day_is_enough_for_every_stage(target: str) -> None:
    """Nightly evaluations see one day, whose last event comes before midnight, and a recorder may start again in it."""
    rules = [default_policy().rule(target, stage) for stage in STAGES[target]]
    asked_s = [rule.coverage.min_duration_s for rule in rules if rule is not None]
    assert len(asked_s) == 4
    assert max(asked_s) <= 23 * 3_600


def test_a_broken_run_says_how() -> None:
    result = judged((Rule(metric="x", op="==", value=0),), status="failed", status_detail="trap in on_book")
    assert result.verdict == "fail"
    assert result.checks[0].text == "run failed: trap in on_book"


@pytest.mark.parametrize(
    ("lower", "upper", "verdict"),
    [
        (0.1, 0.9, "pass"),
        (-0.1, 0.9, "inconclusive"),  # the data show neither
        (0.0, 0.9, "inconclusive"),
        (-0.9, -0.1, "fail"),
        (0.0, 0.0, "fail"),  # the very same: not better
        (None, None, "inconclusive"),
        (-0.1, None, "fail"),
    ],
)
def test_a_bound_is_not_told_while_the_value_lies_within_the_interval(lower, upper, verdict) -> None:
    better = Rule(metric="pnl_diff_bps", bound="lower95", op=">", value=0)
    interval = {"pnl_diff_bps_lower95": lower, "pnl_diff_bps_upper95": upper}
    enough = Coverage(first_ns=0, last_ns=300 * 10**9, events=1000, packets=0)
    result = judged((better,), metrics=interval, coverage=enough)
    assert result.verdict == verdict
    mirrored = Rule(metric="cost", bound="upper95", op="<", value=0)
    other = {"cost_lower95": None if upper is None else -upper, "cost_upper95": None if lower is None else -lower}
    assert judged((mirrored,), metrics=other, coverage=enough).verdict == verdict
    if verdict == "inconclusive" and lower is not None:
        assert "not told yet, pnl_diff_bps_upper95 is 0.9" in result.checks[-1].text


@pytest.mark.parametrize(
    ("probability", "verdict"),
    [(0.95, "pass"), (0.9, "pass"), (0.5, "inconclusive"), (0.1, "inconclusive"), (0.05, "fail")],
)
def test_a_probability_between_two_values_tells_nothing(probability: float, verdict: str) -> None:
    likely = Rule(metric="deflated_sharpe", op=">=", value=0.9, fails_at=0.1)
    enough = Coverage(first_ns=0, last_ns=300 * 10**9, events=1000, packets=0)
    result = judged((likely,), metrics={"deflated_sharpe": probability}, coverage=enough)
    assert result.verdict == verdict
    assert (verdict == "inconclusive") == ("it fails at 0.1" in result.checks[-1].text)
