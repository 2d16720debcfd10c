"""Signatures against the real ssh-keygen, and a roster that refuses what it does not act on."""

from __future__ import annotations

import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundles.approvals import NAMESPACE, Approval, Roster, Statement, load_roster, sign_statement, signature_problem
from bundles.canonical import digest_of
from bundles.errors import InvalidInputError, MalformedDocumentError, NotFoundError
from tests.bundles.conftest import NOW_NS, RITA, ROSTER, STRANGER, TOM, Person

STATEMENT = Statement(
    bundle=digest_of(b"bundle"),
    target="edge",
    stage="live",
    evaluations=("eval_1",),
    verdict=digest_of(b"verdict"),
    policy=digest_of(b"policy"),
)
CHANGES = [
    {"bundle": digest_of(b"other")},
    {"target": "sor"},
    {"stage": "scaled"},
    {"evaluations": ()},
    {"verdict": digest_of(b"other")},
    {"policy": digest_of(b"other")},
    {"break_glass": True},
]
needs_ssh_keygen = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")


def problem_of(
    signature: str,
    *,
    name: str = RITA.name,
    roster: Roster = ROSTER,
    statement: Statement = STATEMENT,
    at_ns: int = NOW_NS,
):
    approval = Approval(approver=name, statement=statement.digest(), kind="signed", signature=signature, at_ns=NOW_NS)
    return signature_problem(statement, approval, roster, at_ns)


@pytest.fixture(params=["ed25519", "rsa"])
def key_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "id"
    bits = ["-b", "2048"] if request.param == "rsa" else []
    subprocess.run(["ssh-keygen", "-q", "-t", request.param, *bits, "-N", "", "-C", "", "-f", path], check=True)
    return path


@needs_ssh_keygen
def test_what_ssh_keygen_signs_verifies_here_and_there(key_file: Path, tmp_path: Path) -> None:
    signature = sign_statement(STATEMENT, key_file)
    signers = tmp_path / "allowed_signers"
    signers.write_text(f"{RITA.name} {key_file.with_suffix('.pub').read_text()}")
    roster = load_roster(signers)
    assert problem_of(signature, roster=roster) is None
    for change in CHANGES:
        assert "does not verify" in problem_of(signature, roster=roster, statement=STATEMENT.model_copy(update=change))
    assert "has no key" in problem_of(signature, roster=roster, name=TOM.name)
    assert "does not list" in problem_of(signature)

    def ssh_keygen_verifies(message: bytes) -> bool:
        (tmp_path / "signature").write_text(signature)
        command = [
            "ssh-keygen",
            "-Y",
            "verify",
            "-n",
            NAMESPACE,
            "-I",
            RITA.name,
            "-f",
            signers,
            "-s",
            tmp_path / "signature",
        ]
        return subprocess.run(command, input=message, capture_output=True, check=False).returncode == 0

    assert ssh_keygen_verifies(STATEMENT.canonical())
    assert not ssh_keygen_verifies(STATEMENT.canonical() + b" ")


@needs_ssh_keygen
def test_signing_with_a_key_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "id").write_text("not a key")
    (tmp_path / "id").chmod(0o600)
    for path in (tmp_path / "id", tmp_path / "absent"):
        with pytest.raises(InvalidInputError, match=path.name):
            sign_statement(STATEMENT, path)


def test_signing_without_ssh_keygen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InvalidInputError, match="Install OpenSSH"):
        sign_statement(STATEMENT, tmp_path / "id")


def test_the_name_space_and_a_strong_hash_are_needed() -> None:
    message = STATEMENT.canonical()
    assert problem_of(RITA.sign(message)) is None
    assert problem_of(RITA.sign(message, hash_name="sha256")) is None
    assert "does not verify" in problem_of(RITA.sign(message, namespace="git"))
    assert "weak hash" in problem_of(RITA.sign(message, hash_name="sha1"))


SIGNATURE = RITA.sign(STATEMENT.canonical())


@given(place=st.integers(0, len(SIGNATURE) - 1), letter=st.characters(codec="latin-1"))
@settings(deadline=None, max_examples=300)
def test_no_changed_signature_raises_or_counts_for_another(place: int, letter: str) -> None:
    changed = SIGNATURE[:place] + letter + SIGNATURE[place + 1 :]
    problem_of(changed)  # base64 has spare bits, so some changes leave the same signature
    assert problem_of(changed, name=TOM.name) is not None
    assert problem_of(changed, statement=STATEMENT.model_copy(update={"stage": "scaled"})) is not None


@given(st.text() | st.text().map(lambda text: f"-----BEGIN SSH SIGNATURE-----\n{text}\n-----END SSH SIGNATURE-----\n"))
@settings(deadline=None)
def test_no_text_passes_for_a_signature(text: str) -> None:
    if text:
        assert problem_of(text) is not None


@given(st.integers(0, len(SIGNATURE) - 60))
@settings(deadline=None)
def test_no_truncated_signature_counts(length: int) -> None:
    if length:
        assert problem_of(SIGNATURE[:length]) is not None


def ns(*date: int) -> int:
    return int(datetime(*date, tzinfo=UTC).timestamp()) * 10**9


@pytest.mark.parametrize(
    ("options", "good", "bad"),
    [
        ('valid-after="20260101Z"', ns(2026, 1, 1), ns(2026, 1, 1) - 1),
        ('valid-before="202601011230Z"', ns(2026, 1, 1, 12, 30) - 1, ns(2026, 1, 1, 12, 30)),
        ('valid-after="20260101Z",valid-before="20260102000000Z"', ns(2026, 1, 1, 5), ns(2026, 1, 2)),
    ],
)
def test_keys_are_valid_in_their_time_only(options: str, good: int, bad: int) -> None:
    roster = Roster(allowed_signers=f"{RITA.name} {options} {RITA.public}\n")
    assert problem_of(SIGNATURE, roster=roster, at_ns=good) is None
    assert "not valid at this time" in problem_of(SIGNATURE, roster=roster, at_ns=bad)


def test_keys_for_other_name_spaces_do_not_count() -> None:
    ours = Roster(allowed_signers=f'{RITA.name} namespaces="git,{NAMESPACE}" {RITA.public}\n')
    assert problem_of(SIGNATURE, roster=ours) is None
    others = Roster(allowed_signers=f'{RITA.name} namespaces="git" {RITA.public}\n')
    assert "has no key" in problem_of(SIGNATURE, roster=others)


def test_one_line_may_name_several_spellings_of_one_person_and_comments_are_skipped() -> None:
    text = f"# people\n\n{RITA.name},{RITA.name.upper()} {RITA.public} comment here\n"
    assert problem_of(SIGNATURE, roster=Roster(allowed_signers=text), name=RITA.name.title()) is None


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (f"*@example.com {RITA.public}", "patterns are not supported"),
        (f"!{RITA.name},x {RITA.public}", "patterns are not supported"),
        (f'{RITA.name} namespaces="*" {RITA.public}', "patterns are not supported"),
        (f"{RITA.name} cert-authority {RITA.public}", "certificate authorities"),
        (f'{RITA.name} valid-after="20260101" {RITA.public}', "give it in UTC"),
        (f'{RITA.name} valid-after="20261301Z" {RITA.public}', "line 2"),
        (f"{RITA.name} no-touch-required {RITA.public}", "line 2"),
        (f'{RITA.name} verify-required="x" {RITA.public}', "line 2"),
        (f"{RITA.name} ssh-ed25519 AAAA", "line 2"),
        (f"{RITA.name} ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTY=", "line 2"),
        (RITA.name, "line 2"),
        (f'"{RITA.name} {RITA.public}', "line 2"),
        (f"{RITA.name} {RITA.public}\n{TOM.name} {RITA.public}", "each person needs an own key"),
        (f"{RITA.name},{TOM.name} {RITA.public}", "each person needs an own key"),
    ],
)
def test_a_roster_refuses_what_it_does_not_act_on(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "allowed_signers"
    path.write_text(f"# people\n{line}\n")
    with pytest.raises(MalformedDocumentError, match=reason):
        load_roster(path)


def test_roles(tmp_path: Path) -> None:
    signers, roles = tmp_path / "allowed_signers", tmp_path / "roles.yaml"
    signers.write_text(f"{RITA.name} {RITA.public}\n")
    roles.write_text(f"roles:\n  {RITA.name}: [risk, trading]\n")
    roster = load_roster(signers, roles)
    assert roster.roles_of(RITA.name) == {"risk", "trading"}
    assert roster.roles_of(STRANGER.name) == frozenset()
    for text, reason in (
        (f"roles:\n  {RITA.name}: risk\n", r"roles\.yaml:2"),
        (f"roles:\n  {RITA.name}: [risk]\n  {RITA.name}: [x]\n", r"roles\.yaml:3"),
        (f"roles:\n  {RITA.name}: [risk]\n  {RITA.name.upper()}: [x]\n", "one person twice"),
        ("rolls: {}\n", r"roles\.yaml:1.*unknown field"),
    ):
        roles.write_text(text)
        with pytest.raises(MalformedDocumentError, match=reason):
            load_roster(signers, roles)
    with pytest.raises(NotFoundError, match="none"):
        load_roster(tmp_path / "none")
    roles.write_text("roles:\n  '\u3164': [risk]\n")
    with pytest.raises(MalformedDocumentError, match=r"U\+3164"):
        load_roster(signers, roles)
    for text in ("", "\n", "# nobody yet\n"):
        signers.write_text(text)
        with pytest.raises(MalformedDocumentError, match="allowed_signers holds no key"):
            load_roster(signers)


def test_an_approval_is_typed_or_signed() -> None:
    for kind, signature in (("typed", "x"), ("signed", "")):
        with pytest.raises(ValueError, match="carries"):
            Approval(approver="a", statement=digest_of(b""), kind=kind, signature=signature, at_ns=0)  # type: ignore[arg-type]


def test_people_are_compared_without_case_and_spaces() -> None:
    assert Person(" Rita@Example.COM ").approve(STATEMENT).person == RITA.approve(STATEMENT).person
