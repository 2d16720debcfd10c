"""One person's word: what a signature covers, and whose word counts."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bundles.approvals import Approval, approval_problems, signature_problem, word_of
from bundles.canonical import digest_of
from bundles.errors import InvalidInputError
from bundles.policy import Signers
from bundles.roster import Roster, load_roster
from bundles.statements import (
    AuthorStatement,
    CheckpointStatement,
    EvaluationStatement,
    GovernanceStatement,
    PromotionStatement,
    ReleaseStatement,
    ReviewStatement,
    Statement,
)
from tests.bundles.conftest import AUTHOR, NOW_NS, RITA, ROSTER, TOM, Person

STATEMENT = PromotionStatement(
    bundle=digest_of(b"bundle"),
    target="edge",
    stage="live",
    evaluations=("eval_1",),
    verdict=digest_of(b"verdict"),
    policy=digest_of(b"policy"),
    entry=3,
)
CHANGES: list[dict[str, Any]] = [
    {"bundle": digest_of(b"other")},
    {"decision": "deny"},
    {"target": "sor"},
    {"stage": "scaled"},
    {"evaluations": ()},
    {"verdict": digest_of(b"other")},
    {"policy": digest_of(b"other")},
    {"entry": 4},
    {"break_glass": True},
    {"glass_s": 60},
]


def problem_of(signature: str, *, name: str = RITA.name, roster: Roster = ROSTER, statement: Statement = STATEMENT):
    return signature_problem(statement, signature, name, roster, NOW_NS)


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
def test_a_word_signed_with_a_key_file_covers_every_part_of_the_statement(tmp_path: Path) -> None:
    key, signers = tmp_path / "id", tmp_path / "allowed_signers"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key], check=True)
    signers.write_text(f"{RITA.name} {key.with_suffix('.pub').read_text()}")
    roster = load_roster(signers)
    word = word_of(RITA.name, STATEMENT, at_ns=NOW_NS, key=key)
    assert word.kind == "signed"
    assert problem_of(word.signature, roster=roster) is None
    for change in CHANGES:
        changed = STATEMENT.model_copy(update=change)
        assert "does not verify" in (problem_of(word.signature, roster=roster, statement=changed) or "")
    assert problem_of(word.signature, roster=roster, name=TOM.name)
    assert problem_of(word.signature)


def test_no_statement_passes_for_another_kind() -> None:
    digest = digest_of(b"x")
    others: list[Statement] = [
        ReviewStatement(bundle=digest, request="prm_1", verdict="ratify"),
        ReleaseStatement(bundle=digest, quarantine=2),
        GovernanceStatement(sets="policy", document=digest, entry=1),
        EvaluationStatement(bundle=digest, evaluation="eval_1", record=digest, result=digest),
        CheckpointStatement(entry=1, previous=None, heads=digest),
        AuthorStatement(bundle=digest),
        STATEMENT,
    ]
    for signed in others:
        signature = RITA.sign(signed.canonical(), signed.namespace)
        for other in others:
            assert (problem_of(signature, statement=other) is None) == (other is signed)


def test_a_signature_in_another_name_space_does_not_count() -> None:
    assert problem_of(RITA.sign(STATEMENT.canonical())) is None
    for namespace in ("git", "file", "sequence-governance"):
        assert "does not verify" in (problem_of(RITA.sign(STATEMENT.canonical(), namespace)) or "")


@pytest.mark.parametrize(
    ("approval", "signers", "texts"),
    [
        (RITA.says(STATEMENT), Signers(roles=("risk",), signed=True), []),
        (RITA.says(STATEMENT, signed=False), Signers(signed=False), []),
        (Person("Somebody").says(STATEMENT, signed=False), Signers(signed=False), []),
        (RITA.says(STATEMENT, signed=False), Signers(signed=True), ["is typed"]),
        (RITA.says(STATEMENT), Signers(roles=("trading", "operator"), signed=True), ["holds none of the roles"]),
        (AUTHOR.says(STATEMENT), Signers(signed=True), ["is the author"]),
        (Person(f"  {AUTHOR.name.upper()}").says(STATEMENT, signed=False), Signers(signed=False), ["is the author"]),
    ],
)
def test_whose_word_counts(approval: Approval, signers: Signers, texts: list[str]) -> None:
    problems = list(
        approval_problems(
            approval, statement=STATEMENT, roster=ROSTER, author=AUTHOR.name, signers=signers, at_ns=NOW_NS
        )
    )
    assert len(problems) == len(texts)
    for text, problem in zip(texts, problems, strict=True):
        assert text in problem


def test_a_word_is_typed_or_signed() -> None:
    for kind, signature in (("typed", "x"), ("signed", "")):
        with pytest.raises(ValueError, match="carries"):
            Approval(approver="a", kind=kind, signature=signature, at_ns=0)  # type: ignore[arg-type]


def test_signing_with_a_key_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="absent"):
        word_of(RITA.name, STATEMENT, at_ns=NOW_NS, key=tmp_path / "absent")


def test_people_are_compared_without_case_and_spaces() -> None:
    assert Person(" Rita@Example.COM ").says(STATEMENT).person == RITA.says(STATEMENT).person


def test_a_request_id_does_not_depend_on_the_answer() -> None:
    assert STATEMENT.saying("deny").request_id == STATEMENT.request_id
    assert len({STATEMENT.model_copy(update=change).request_id for change in CHANGES}) == len(CHANGES)
