"""The shipped policy, and messages that lead to the line at fault."""

from __future__ import annotations

from pathlib import Path

import pytest

import bundles.policy
from bundles.canonical import read_document
from bundles.errors import MalformedDocumentError, NotFoundError
from bundles.policy import Policy, default_policy, load_policy
from bundles.stages import STAGES

SHIPPED = Path(bundles.policy.__file__).parent / "policies" / "default.yaml"


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


def test_the_default_covers_every_stage_and_gets_stricter_upward() -> None:
    policy = default_policy()
    for target, stages in STAGES.items():
        assert policy.rule(target, "research") is None
        rules = [policy.rule(target, stage) for stage in stages[1:]]
        assert all(rules)
        drawdowns = [
            r.value for rule in rules for r in rule.rules if r.metric in {"max_drawdown_pct", "order_to_trade"}
        ]  # type: ignore[union-attr]
        returns = [r.value for rule in rules for r in rule.rules if r.metric == "return_bps"]  # type: ignore[union-attr]
        assert returns == sorted(returns)
        assert drawdowns[0::2] == sorted(drawdowns[0::2], reverse=True)
        durations = [rule.coverage.min_duration_s for rule in rules if rule]
        assert durations == sorted(durations)
        assert [rule.approvals.signed for rule in rules if rule] == [False, False, True, True]
        assert [rule.later_window for rule in rules if rule] == [False, False, True, False]
        for rule in rules:
            assert rule is not None
            zero = {each.metric for each in rule.rules if each.op == "==" and each.value == 0 and not each.dry_run}
            assert "risk_breaches" in zero
            assert target != "edge" or "traps" in zero


def test_the_default_is_read_from_path_or_text_to_one_digest() -> None:
    text = SHIPPED.read_text()
    digests = {load_policy(SHIPPED).digest(), load_policy(str(SHIPPED)).digest(), load_policy(text).digest()}
    assert digests == {default_policy().digest()}
    assert read_document(Policy, default_policy().canonical(), "policy") == default_policy()


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("later_window: true", "latter_window: true", "ladders.edge.live.latter_window: unknown field"),
        ('fuel_p99, op: "<="', 'fuel_p99, op: "=<"', "ladders.edge.replay.rules.3.op"),
        ("value: 0.5,", "value: .nan,", "ladders.edge.replay.rules.7.value"),
        ("count: 2,", "count: 0,", "break_glass.reviews.count"),
        ("max_hours: 24", "max_hours: 25", "break_glass.max_hours"),
        ("at_least: {risk: 1,", "at_least: {rusk: 1,", "ladders.edge.live.approvals"),
        ("soak_hours: 24", "soak_hours: -1", "ladders.edge.live.soak_hours"),
        ("count: 2, listed: true", "count: 2, listed: 1", "ladders.edge.live.runners.listed"),
        ("signed: false", "signed: perhaps", "ladders.edge.replay.approvals.signed"),
        ("min_events: 10000", "min_events: 1.5", "ladders.edge.replay.coverage.min_events"),
        ("max_age_days: 30", "max_age_days: 0", "ladders.edge.replay.max_age_days"),
        ("evidence: replay", "evidence: backtest", "ladders.edge.replay.evidence"),
        ("    scaled:", "    scalled:", "ladders.edge.scalled: unknown field"),
        ("  sor:", "  router:", "ladders.router: unknown field"),
        ("schema_version: 1", "schema_version: 2", "schema_version"),
        ("name: default", "name: default\nname: second", "name is given twice"),
        ("name: default", "name: {a: 1, a: 2}", "name.a is given twice"),
        ("name: default", "name: %", "not valid YAML"),
        ("name: default", "name: *unknown", "not valid YAML"),
        ("name: default", "name: &a [*a]", "aliases are not supported"),
        ("name: default", "name: !!python/object:os.system x", "not valid YAML"),
        ("name: default", "? [a]\n: b", "a key must be a plain word"),
        ("name: default", "name: 2026-02-31", "not valid YAML"),
    ],
)
def test_mistakes_are_named_with_file_line_and_key(tmp_path: Path, old: str, new: str, key: str) -> None:
    text = SHIPPED.read_text()
    mistaken = text.replace(old, new, 1)
    path = tmp_path / "firm.yaml"
    path.write_text(mistaken)
    with pytest.raises(MalformedDocumentError) as caught:
        load_policy(path)
    message = str(caught.value)
    assert key in message
    line = next(line for line in message.splitlines() if key in line)
    number = int(line.strip().removeprefix(f"{path}:").split(":")[0])
    assert abs(number - line_of(text, old)) <= 2


def test_a_missing_stage_is_named() -> None:
    text = SHIPPED.read_text()
    start = text.index("    scaled:", text.index("  assignment:"))
    with pytest.raises(MalformedDocumentError, match=r"ladders\.assignment\.scaled: required field is missing"):
        load_policy(text[:start])


@pytest.mark.parametrize("text", ["\n", "- a\n- b\n", "\x00\n", "text\n", "[" * 5000 + "\n"])
def test_text_that_is_no_policy(text: str) -> None:
    with pytest.raises(MalformedDocumentError, match="policy"):
        load_policy(text)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"none\.yaml"):
        load_policy(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"name: \xe9\n")
    with pytest.raises(MalformedDocumentError, match=r"latin\.yaml is not UTF-8"):
        load_policy(tmp_path / "latin.yaml")
