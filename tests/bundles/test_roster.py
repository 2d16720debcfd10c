"""A roster that refuses what it does not act on, and agrees with ssh-keygen about the rest."""

from __future__ import annotations

import base64
import contextlib
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bundles.errors import MalformedDocumentError, NotFoundError
from bundles.roster import (
    CHECKPOINT,
    EVALUATION,
    GOVERNANCE,
    NAMESPACES,
    PROMOTION,
    Roster,
    SignerKey,
    load_roster,
)
from bundles.signatures import public_of, read_public_key

RITA, TOM, STRANGER = "rita@example.com", "tom@example.com", "stranger@example.com"
NOW_NS = 1_770_000_000 * 10**9


def line_of(seed: int) -> str:
    key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32).public_key()
    return key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


RITAS, TOMS, LOST = line_of(1), line_of(2), line_of(3)
P256 = derive_private_key(7, SECP256R1()).public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


def token_line() -> str:
    name, blob = b"sk-ssh-ed25519@openssh.com", base64.b64decode(RITAS.split()[1])
    fields = len(name).to_bytes(4) + name + blob[4 + len("ssh-ed25519") :] + (4).to_bytes(4) + b"ssh:"
    return f"{name.decode()} {base64.b64encode(fields).decode()}"


def problem_of(
    allowed_signers: str, *, person: str = RITA, used: str = RITAS, namespace: str = PROMOTION, at_ns: int = NOW_NS
) -> str | None:
    return Roster(allowed_signers=allowed_signers).key_problem(person, read_public_key(used), namespace, at_ns)


def ns(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> int:
    return int(datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp()) * 10**9


def test_whose_key_it_is() -> None:
    text = f"{RITA} {RITAS}\n{TOM} {TOMS}\n"
    assert problem_of(text) is None
    assert f"{STRANGER} has no key in the roster; add one" in (problem_of(text, person=STRANGER) or "")
    unknown = problem_of(text, used=LOST) or ""
    assert f"{read_public_key(LOST).fingerprint} that signed for {RITA} is not in the roster" in unknown
    assert f"under another name, {TOM}" in (problem_of(text, used=TOMS) or "")


@pytest.mark.parametrize("key", [RITAS, P256, token_line()], ids=["ed25519", "ecdsa", "token"])
def test_every_kind_of_key_may_be_listed(key: str) -> None:
    assert problem_of(f"{RITA} {key} of rita\n", used=key) is None
    assert Roster(allowed_signers=f"{RITA} {key}\n").keys == (SignerKey(RITA, read_public_key(key)),)


def test_one_person_may_have_several_keys() -> None:
    text = f'{RITA} {RITAS}\n{RITA} namespaces="{CHECKPOINT}" {P256}\n'
    for namespace in NAMESPACES:
        assert problem_of(text, namespace=namespace) is None
        assert (problem_of(text, used=P256, namespace=namespace) is None) == (namespace == CHECKPOINT)


def test_names_are_compared_as_people_are() -> None:
    text = f"# people\n\n  # indented\r\n{RITA},{RITA.upper()} {RITAS} comment here\r\n"
    assert len(Roster(allowed_signers=text).keys) == 1
    for spelling in (RITA, RITA.title(), f" {RITA.upper()} ", f"Rita Lee <{RITA}>"):
        assert problem_of(text, person=spelling) is None
    assert problem_of(f'"Rita Lee" {RITAS}\n', person="rita lee") is None


@pytest.mark.parametrize(
    ("options", "good", "bad"),
    [
        ('valid-after="20260101Z"', ns(2026, 1, 1), ns(2026, 1, 1) - 1),
        ('valid-before="202601011230Z"', ns(2026, 1, 1, 12, 30) - 1, ns(2026, 1, 1, 12, 30)),
        ('valid-after="20260101Z",valid-before="20260102000000Z"', ns(2026, 1, 1, 5), ns(2026, 1, 2)),
        ('VALID-BEFORE="20260101Z",Namespaces="sequence-promotion"', 0, ns(2026, 1, 1)),
    ],
)
def test_keys_are_valid_in_their_time_only(options: str, good: int, bad: int) -> None:
    text = f"{RITA} {options} {RITAS}\n"
    assert problem_of(text, at_ns=good) is None
    assert "not valid at this time; renew it" in (problem_of(text, at_ns=bad) or "")


def test_time_and_namespace_must_hold_on_one_line() -> None:
    text = (
        f'{RITA} namespaces="{PROMOTION}",valid-before="20200101Z" {RITAS}\n{RITA} namespaces="{CHECKPOINT}" {RITAS}\n'
    )
    assert problem_of(text, namespace=CHECKPOINT) is None
    assert "not valid at this time" in (problem_of(text) or "")
    assert "is not for sequence-governance" in (problem_of(text, namespace=GOVERNANCE) or "")


def test_a_key_counts_for_its_namespaces_only() -> None:
    for namespace in NAMESPACES:
        assert problem_of(f"{RITA} {RITAS}\n", namespace=namespace) is None
    ours = f'{RITA} namespaces="git,{PROMOTION},{EVALUATION}" {RITAS}\n'
    assert Roster(allowed_signers=ours).keys[0].namespaces == {PROMOTION, EVALUATION}
    assert problem_of(ours) is problem_of(ours, namespace=EVALUATION) is None
    said = problem_of(ours, namespace=GOVERNANCE) or ""
    assert f"not for {GOVERNANCE}, only for {EVALUATION}, {PROMOTION}" in said
    for others in ("git", "", "sequence-promotion2,Sequence-Promotion"):
        assert Roster(allowed_signers=f'{RITA} namespaces="{others}" {RITAS}\n').keys == ()
    assert "has no key" in (problem_of(f'{RITA} namespaces="git" {RITAS}\n') or "")


REFUSED = [
    (f"*@example.com {RITAS}", "patterns are not supported"),
    (f"!{RITA},x {RITAS}", "patterns are not supported"),
    (f'{RITA} namespaces="*" {RITAS}', "patterns are not supported"),
    (f'{RITA} namespaces="sequence-*" {RITAS}', "patterns are not supported"),
    (f'{RITA} namespaces="git, {PROMOTION}" {RITAS}', "without spaces"),
    (f"{RITA}, {RITAS}", "patterns are not supported"),
    (f"{RITA} cert-authority {RITAS}", "certificate authorities"),
    (f'{RITA} cert-authority,namespaces="{PROMOTION}" {RITAS}', "certificate authorities"),
    (f'{RITA} namespaces="{PROMOTION}",cert-authority {RITAS}', "certificate authorities"),
    (f'{RITA} valid-after="20260101" {RITAS}', "give it in UTC"),
    (f'{RITA} valid-after="2026010\u0661Z" {RITAS}', "give it in UTC"),
    (f'{RITA} valid-after="20261301Z" {RITAS}', "line 2"),
    (f'{RITA} valid-after="20260101Z",valid-before="20260101Z" {RITAS}', "never valid"),
    (f'{RITA} valid-after="20260101Z",valid-after="20260101Z" {RITAS}', "given twice"),
    (f'{RITA} valid-after="20260101Z", {RITAS}', "not understood"),
    (f"{RITA} valid-after=20260101Z {RITAS}", "not understood"),
    (f"{RITA} valid-after {RITAS}", "not understood"),
    (f'{RITA} namespaces="{PROMOTION}\\"" {RITAS}', "line 2"),
    (f'{RITA} namespaces="{PROMOTION}\\" {RITAS}', "not understood"),
    (f"{RITA} no-touch-required {RITAS}", "line 2.*not understood"),
    (f'{RITA} verify-required="x" {RITAS}', "line 2.*not understood"),
    (f"{RITA} ssh-ed25519 AAAA", "line 2.*cannot be read"),
    (f"{RITA} {RITAS[:-4]}", "line 2.*cannot be read"),
    (f"{RITA} ssh-dss AAAAB3NzaC1kc3M=", "DSA keys are too weak"),
    (f"{RITA} ssh-ed25519-cert-v01@openssh.com AAAA", "certificates are not supported"),
    (f"{RITA} ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTY=", "line 2.*cannot be read"),
    (RITA, "line 2: it is not written as"),
    (f"{RITA} ssh-ed25519", "line 2: it is not written as"),
    (f"{RITAS}", "line 2"),
    (f'"{RITA} {RITAS}', "line 2"),
    (f"\u3164 {RITAS}", "line 2"),
    (f"{RITA}\u00a0x {RITAS}", "line 2"),
    (f"{RITA} {RITAS}\n{TOM} {RITAS}", "each person needs an own key"),
    (f'{RITA} namespaces="{PROMOTION}" {RITAS}\n{TOM} namespaces="{CHECKPOINT}" {RITAS}', "each person needs"),
    (f"{RITA},{TOM} {RITAS}", "each person needs an own key"),
]


@pytest.mark.parametrize(("line", "reason"), REFUSED)
def test_a_roster_refuses_what_it_does_not_act_on(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "allowed_signers"
    path.write_text(f"# people\n{line}\n", encoding="utf-8")
    with pytest.raises(MalformedDocumentError, match=reason) as caught:
        load_roster(path)
    assert str(path) in str(caught.value)


@given(st.text() | st.lists(st.sampled_from([RITA, TOM, RITAS, "namespaces=", '"', ",", " ", "\n", "#"])).map("".join))
@settings(deadline=None)
def test_no_text_raises_anything_but_what_pydantic_reports(text: str) -> None:
    with contextlib.suppress(ValidationError):
        Roster(allowed_signers=text)


def test_a_comment_hides_no_key() -> None:
    for mark in ("\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\r"):
        assert Roster(allowed_signers=f"# old:{mark}{RITA} {RITAS}\n").keys == ()


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
@pytest.mark.parametrize(
    "line",
    [
        "{name} {key}",
        "{name} {key} AAAAcomment",
        " \t{name}\t{key}",
        "{name}\t \t{key}\r",
        '"{name}" {key}',
        '"{name},Rita@Example.COM" {key}',
        '{name} namespaces="{ns}" {key}',
        '{name} NameSpaces="git,{ns}" {key} comment',
        '{name} namespaces="git" {key}',
        '{name} namespaces="" {key}',
        '{name} valid-after="20200101Z",namespaces="{ns}" {key}',
        '{name} valid-after="20200101Z",valid-before="20210101Z" {key}',
        '{name} valid-before="20210101Z" {key}',
        '{name} valid-after="29990101Z" {key}',
        "someone-else {key}",
        "# {name} {key}",
        "\t# {name} {key}",
        "# x\x0b{name} {key}",
        "",
    ],
)
def test_ssh_keygen_agrees(line: str, tmp_path: Path) -> None:
    key, signers, signature = tmp_path / "id", tmp_path / "allowed_signers", tmp_path / "signature"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key], check=True)
    sign: list[str | Path] = ["ssh-keygen", "-Y", "sign", "-q", "-n", PROMOTION, "-f", key]
    signature.write_bytes(subprocess.run(sign, input=b"x", capture_output=True, check=True).stdout)
    text = line.format(name=RITA, key=public_of(key), ns=PROMOTION) + "\n"
    signers.write_bytes(text.encode())
    verify: list[str | Path] = [
        "ssh-keygen",
        "-Y",
        "verify",
        "-q",
        "-n",
        PROMOTION,
        "-I",
        RITA,
        "-f",
        signers,
        "-s",
        signature,
    ]
    theirs = subprocess.run(verify, input=b"x", capture_output=True, check=False)
    now_ns = int(datetime.now(UTC).timestamp()) * 10**9
    ours = Roster(allowed_signers=text).key_problem(RITA, public_of(key), PROMOTION, now_ns)
    assert (theirs.returncode == 0) == (ours is None), theirs.stderr


def test_roles(tmp_path: Path) -> None:
    signers, roles = tmp_path / "allowed_signers", tmp_path / "roles.yaml"
    signers.write_text(f"{RITA} {RITAS}\n")
    roles.write_text(f"roles:\n  {RITA.title()}: [risk, trading]\n  {TOM}: [trading]\n")
    roster = load_roster(signers, roles)
    assert roster.roles_of(RITA) == roster.roles_of(RITA.upper()) == {"risk", "trading"}
    assert roster.roles_of(STRANGER) == frozenset()
    assert roster.people_with("trading") == (RITA.title(), TOM)
    assert roster.people_with("risk") == (RITA.title(),)
    assert roster.people_with("none") == ()
    for text, reason in (
        (f"roles:\n  {RITA}: risk\n", r"roles\.yaml:2"),
        (f"roles:\n  {RITA}: [risk]\n  {RITA}: [x]\n", r"roles\.yaml:3"),
        (f"roles:\n  {RITA}: [risk]\n  {RITA.upper()}: [x]\n", "one person twice"),
        ("rolls: {}\n", r"roles\.yaml:1.*unknown field"),
        ("roles:\n  '\u3164': [risk]\n", r"U\+3164"),
    ):
        roles.write_text(text, encoding="utf-8")
        with pytest.raises(MalformedDocumentError, match=reason):
            load_roster(signers, roles)


def test_files_that_hold_no_roster(tmp_path: Path) -> None:
    path = tmp_path / "allowed_signers"
    with pytest.raises(NotFoundError, match="cannot be read"):
        load_roster(path)
    for content in (b"", b"\n", b"# nobody yet\n", f'{RITA} namespaces="git" {RITAS}\n'.encode()):
        path.write_bytes(content)
        with pytest.raises(MalformedDocumentError, match="allowed_signers holds no key"):
            load_roster(path)
    path.write_bytes(b"\xff")
    with pytest.raises(MalformedDocumentError, match="not UTF-8"):
        load_roster(path)


def test_a_roster_is_the_same_document_after_a_round_trip() -> None:
    roster = Roster(allowed_signers=f"{RITA} {RITAS}\n", roles={RITA: ("risk",)})
    again = Roster.model_validate_json(roster.canonical())
    assert again.digest() == roster.digest()
    assert again.keys == roster.keys
