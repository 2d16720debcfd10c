"""`sequence policy`: read, compared, and put into force by whom it names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Command, Firm

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = (ROOT / "bundles" / "policies" / "default.yaml").read_text()


def test_a_mistake_is_named_with_line_and_key(sequence: Command) -> None:
    (sequence.folder / "policy.yaml").write_text(SHIPPED + "\nsurprise: 1\n")
    line = len(SHIPPED.splitlines()) + 2
    assert (
        f"policy.yaml:{line}: surprise: unknown field" in sequence("policy", "check", "policy.yaml", exit_code=5).stderr
    )
    sequence("policy", "set", "policy.yaml", exit_code=5)
    sequence("policy", "diff", "default", "nowhere.yaml", exit_code=4)


def test_show_says_everything_that_is_asked_for(sequence: Command) -> None:
    lines = sequence("policy", "show").stdout.splitlines()
    assert "edge live: shadow evaluation, on a later market than the evidence before" in lines
    for expected in (
        "  runners: 2 of the roster",
        "  soak: 24 h at shadow",
        "  author: has signed the bundle",
        "  a later evaluation that fails demotes",
        "  approvals: 2 signed by risk or trading (at least 1 by risk, 1 by trading), within 72 h",
        "  fills >= 20 (dry run)",
        "break-glass: signed by break-glass; lasts 4 h, at most 24 h",
        "  reviews afterwards: 2 signed by risk or trading or operator",
        "governance (changes of policy and roster): 1 signed by governance",
        "release from quarantine: signed by operator or risk",
    ):
        assert expected in lines
    assert sequence.json("policy", "show") == sequence.json("policy", "show", "default")


def test_differences_are_named_by_place(sequence: Command) -> None:
    changed = (
        SHIPPED.replace("soak_hours: 24", "soak_hours: 12", 1)
        .replace('        - {metric: traps, op: "==", value: 0}\n', "", 1)
        .replace("value: 2}   #", "value: 3}   #", 1)
    )  # fmt: skip
    (sequence.folder / "p.yaml").write_text(changed)
    assert sequence("policy", "diff", "current", "p.yaml").stdout.splitlines() == [
        "Removed: edge.replay.rules.traps ==: 0",
        "Changed: edge.replay.rules.max_drawdown_pct <=: 2 → 3",
        "Changed: edge.live.soak_hours: 24 → 12",
    ]
    changes = sequence.json("policy", "diff", "p.yaml", "default")["changes"]
    assert {"place": "ladders.edge.live.soak_hours", "a": 12, "b": 24} in changes
    assert {"place": "ladders.edge.replay.rules.traps ==", "a": None, "b": "0"} in changes
    assert sequence("policy", "diff", "default", "current").stdout == "No difference.\n"


def test_the_schema_knows_every_key(sequence: Command) -> None:
    schema = sequence.json("policy", "schema")
    assert set(schema["required"]) == {"name", "ladders", "break_glass", "governance", "release"}
    assert "demote_on_failure" in schema["$defs"]["StageRule"]["properties"]


def test_who_governs_signs_changes(sequence: Command, firm: Firm, tmp_path: Path) -> None:
    changed = sequence.folder / "p.yaml"
    changed.write_text(firm.policy.read_text().replace("name: default", "name: ours", 1))
    before = sequence.json("policy", "show")["digest"]
    refused = sequence.json("policy", "set", changed, exit_code=3)["error"]["unmet"]
    assert any("is typed, the policy asks for a signature" in condition for condition in refused)
    tom = ("--approver", "tom@firm", "--key", firm.key("tom"))
    assert "none of the roles governance" in sequence("policy", "set", changed, *tom, exit_code=3).stderr
    assert sequence.json("policy", "show")["digest"] == before

    firm.owns("jane", tmp_path / "home")
    done = sequence.json("policy", "set", changed, "--approver", "jane@firm")
    assert (done["ledger_seq"], done["changes"]) == (3, [{"place": "name", "a": "default", "b": "ours"}])
    assert sequence.json("policy", "show")["name"] == "ours"
    assert sequence.json("policy", "show", done["policy"][:10])["digest"] == done["digest"]
    assert "In force already." in sequence("policy", "set", changed, "--approver", "jane@firm").stdout
    assert "Changed: name: ours → default" in sequence("policy", "diff", done["policy"], firm.policy).stdout


def test_the_roster_shows_people_roles_and_keys(sequence: Command, firm: Firm) -> None:
    signers = firm.folder / "allowed_signers"
    public = firm.key("tom").with_suffix(".pub").read_text()
    limited = 'tom@firm namespaces="sequence-promotion",valid-before="20300101Z" '
    signers.write_text(signers.read_text().replace(f"tom@firm {public}", f"{limited}{public}"))
    jane = ("--approver", "jane@firm", "--key", firm.key("jane"))
    changed = ("policy", "roster", signers, "--roles", firm.folder / "roles.yaml")
    assert "is typed, the policy asks for a signature" in sequence(*changed, exit_code=3).stderr
    sequence(*changed, *jane)
    lines = sequence("policy", "roster").stdout.splitlines()
    assert lines[lines.index("tom@firm: trading") + 1].endswith(
        ", only for sequence-promotion, until 2030-01-01T00:00:00Z"
    )
    (tom,) = [each for each in sequence.json("policy", "roster")["people"] if each["person"] == "tom@firm"]
    assert tom["roles"] == ["trading"]
    assert tom["keys"][0]["namespaces"] == ["sequence-promotion"]
    (firm.folder / "roles.yaml").write_text("roles:\n  tom@firm: [trading]\n")
    assert "nobody could be asked next time" in sequence(*changed, *jane, exit_code=3).stderr


def test_a_policy_may_want_two_who_sign_apart(sequence: Command, firm: Firm, tmp_path: Path) -> None:
    roles = firm.folder / "roles.yaml"
    roles.write_text(roles.read_text().replace("tom@firm: [trading]", "tom@firm: [trading, governance]"))
    jane = ("--approver", "jane@firm", "--key", firm.key("jane"))
    sequence("policy", "roster", firm.folder / "allowed_signers", "--roles", roles, *jane)
    two = sequence.folder / "two.yaml"
    two.write_text(firm.policy.read_text().replace("governance: {count: 1", "governance: {count: 2"))
    sequence("policy", "set", two, *jane)
    refused = sequence("policy", "set", firm.policy, *jane, exit_code=3)
    assert "1 of 2 signatures by governance" in refused.stderr
    statement = refused.stderr.splitlines()[0].removeprefix("Statement: ")
    (tmp_path / "tom.sig").write_text(firm.sign("tom", statement, "sequence-governance"))
    tom = ("--signature", f"tom@firm={tmp_path / 'tom.sig'}")
    assert sequence.json("policy", "set", firm.policy, *tom, *jane)["ledger_seq"] == 5
    sequence("policy", "set", two, "--signature", "tom@firm", exit_code=2)
