"""Signatures against the real ssh-keygen; tokens made in software, and proved right by it first."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ecdsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA512
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st

from bundles.errors import InvalidInputError
from bundles.signatures import (
    ALGORITHMS,
    BadSignatureError,
    PublicKey,
    make_key,
    public_of,
    read_public_key,
    sign,
    signer_of,
)

NAMESPACE = "sequence-promotion"
MESSAGE = b'{"kind":"promotion-statement"}'
GENERATED = [["ed25519"], ["rsa", "-b", "2048"], *(["ecdsa", "-b", bits] for bits in ("256", "384", "521"))]
needs_ssh_keygen = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")


def string(content: bytes) -> bytes:
    return len(content).to_bytes(4) + content


def mpint(value: int) -> bytes:
    return string(value.to_bytes(value.bit_length() // 8 + 1))


@dataclass(frozen=True)
class Envelope:
    """A signature of PROTOCOL.sshsig by a key in software, of which a test can change any part."""

    blob: bytes
    prove: Callable[[bytes], bytes]
    magic: bytes = b"SSHSIG"
    version: int = 1
    namespace: bytes = NAMESPACE.encode()
    reserved: bytes = b""
    hash_name: str = "sha512"
    tail: bytes = b""
    signature_tail: bytes = b""

    @property
    def public(self) -> str:
        kind = self.blob[4 : 4 + int.from_bytes(self.blob[:4])].decode()
        return f"{kind} {base64.b64encode(self.blob).decode()}"

    def inner(self, message: bytes = MESSAGE) -> bytes:
        digest = hashlib.new(self.hash_name, message).digest()
        return b"SSHSIG" + b"".join(map(string, (self.namespace, self.reserved, self.hash_name.encode(), digest)))

    def outer(self, message: bytes = MESSAGE) -> bytes:
        fields = (
            self.blob,
            self.namespace,
            self.reserved,
            self.hash_name.encode(),
            self.prove(self.inner(message)) + self.signature_tail,
        )
        return self.magic + self.version.to_bytes(4) + b"".join(map(string, fields)) + self.tail

    def sign(self, message: bytes = MESSAGE) -> str:
        return armored(self.outer(message))


def armored(blob: bytes) -> str:
    text = base64.b64encode(blob).decode()
    lines = [text[at : at + 70] for at in range(0, len(text), 70)]
    return "\n".join(["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""])


def blob_of(key: Any) -> bytes:
    line = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return base64.b64decode(line.split()[1])


ED25519 = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"a key of the tests").digest())
PLAIN = Envelope(blob_of(ED25519), lambda signed: string(b"ssh-ed25519") + string(ED25519.sign(signed)))
P256 = generate_ecdsa(SECP256R1())


def ecdsa_numbers(signed: bytes) -> bytes:
    return b"".join(map(mpint, decode_dss_signature(P256.sign(signed, ECDSA(SHA256())))))


ECDSA_256 = Envelope(blob_of(P256), lambda signed: string(b"ecdsa-sha2-nistp256") + string(ecdsa_numbers(signed)))


def token(kind: str, *, flags: int = 0x01, application: bytes = b"ssh:") -> Envelope:
    """Return what a hardware token signs (PROTOCOL.u2f), by a key in software."""
    name = f"sk-{kind}@openssh.com".encode()
    plain, sign_raw = (blob_of(ED25519), ED25519.sign) if "ed25519" in kind else (blob_of(P256), ecdsa_numbers)
    fields = plain[4 + len(kind) :]

    def prove(signed: bytes) -> bytes:
        said = bytes([flags]) + (7).to_bytes(4)
        hashed = hashlib.sha256(application).digest() + said + hashlib.sha256(signed).digest()
        return string(name) + string(sign_raw(hashed)) + said

    return Envelope(string(name) + fields + string(application), prove)


TOKENS = {kind: token(kind) for kind in ("ssh-ed25519", "ecdsa-sha2-nistp256")}


def ssh_keygen_verifies(folder: Path, public: str, signature: str, message: bytes = MESSAGE) -> bool:
    signers, file = folder / "allowed_signers", folder / "signature"
    signers.write_text(f"ada {public}\n")
    file.write_text(signature)
    command: list[str | Path] = ["ssh-keygen", "-Y", "verify", "-f", signers, "-I", "ada", "-n", NAMESPACE, "-s", file]
    return subprocess.run(command, input=message, capture_output=True, check=False).returncode == 0


def refusal(signature: str, *, message: bytes = MESSAGE, namespace: str = NAMESPACE) -> str:
    with pytest.raises(BadSignatureError) as caught:
        signer_of(message, signature, namespace)
    return str(caught.value)


@needs_ssh_keygen
@pytest.mark.parametrize("kind", GENERATED, ids="-".join)
def test_what_ssh_keygen_signs_verifies_here(kind: list[str], tmp_path: Path) -> None:
    path = tmp_path / "id"
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-C", "ada", "-f", path, "-t", *kind], check=True)
    signature = sign(MESSAGE, NAMESPACE, path)
    key = read_public_key(path.with_suffix(".pub").read_text())
    assert signer_of(MESSAGE, signature, NAMESPACE) == key == public_of(path) == public_of(path.with_suffix(".pub"))
    assert path.with_suffix(".pub").read_text() == f"{key} ada\n"
    assert ssh_keygen_verifies(tmp_path, str(key), signature)
    assert "does not fit the message" in refusal(signature, message=MESSAGE + b" ")
    assert "not made in the namespace git" in refusal(signature, namespace="git")
    shown = subprocess.run(["ssh-keygen", "-l", "-f", path], capture_output=True, check=True, text=True).stdout
    assert shown.split()[1] == key.fingerprint


@needs_ssh_keygen
def test_an_agent_signs_for_a_public_key(tmp_path: Path) -> None:
    path = tmp_path / "id"
    make_key(path, "")
    program = (
        "import sys; from pathlib import Path; from bundles.signatures import sign; "
        f"sys.stdout.write(sign({MESSAGE!r}, {NAMESPACE!r}, Path(sys.argv[1])))"
    )
    script = 'ssh-add -q "$1" && rm "$1" && exec "$2" -c "$3" "$1.pub"'
    made = subprocess.run(
        ["ssh-agent", "sh", "-c", script, "sh", path, sys.executable, program],
        capture_output=True,
        check=True,
        text=True,
    )
    assert signer_of(MESSAGE, made.stdout, NAMESPACE) == public_of(path.with_suffix(".pub"))


@needs_ssh_keygen
def test_both_hashes_of_the_message_count(tmp_path: Path) -> None:
    path = tmp_path / "id"
    make_key(path, "")
    for name in ("sha256", "sha512"):
        command: list[str | Path] = ["ssh-keygen", "-Y", "sign", "-O", f"hashalg={name}", "-n", NAMESPACE, "-f", path]
        made = subprocess.run(command, input=MESSAGE, capture_output=True, check=True).stdout.decode()
        assert signer_of(MESSAGE, made, NAMESPACE) == public_of(path)


@needs_ssh_keygen
@pytest.mark.parametrize("kind", TOKENS)
def test_what_a_token_signs_verifies_as_ssh_keygen_says(kind: str, tmp_path: Path) -> None:
    made = TOKENS[kind]
    signature = made.sign()
    assert ssh_keygen_verifies(tmp_path, made.public, signature)
    assert signer_of(MESSAGE, signature, NAMESPACE) == read_public_key(made.public)
    assert not ssh_keygen_verifies(tmp_path, made.public, signature, b"other")
    assert "does not fit" in refusal(signature, message=b"other")
    with_pin = token(kind, flags=0x05)
    assert ssh_keygen_verifies(tmp_path, with_pin.public, with_pin.sign())
    assert signer_of(MESSAGE, with_pin.sign(), NAMESPACE) == read_public_key(made.public)
    for flags in (0x00, 0x04):
        assert "without a touch" in refusal(token(kind, flags=flags).sign())
    other = token(kind, application=b"ssh:work")
    assert read_public_key(other.public) != read_public_key(made.public)
    assert "does not fit" in refusal(replace(other, prove=made.prove).sign())


@needs_ssh_keygen
def test_keys_in_software_are_as_ssh_keygen_makes_them(tmp_path: Path) -> None:
    for made in (PLAIN, ECDSA_256):
        assert ssh_keygen_verifies(tmp_path, made.public, made.sign())
        assert signer_of(MESSAGE, made.sign(), NAMESPACE) == read_public_key(made.public)


RSA = generate_rsa(public_exponent=65537, key_size=2048)


def rsa_envelope(name: str, hash_: Any) -> Envelope:
    return Envelope(blob_of(RSA), lambda signed: string(name.encode()) + string(RSA.sign(signed, PKCS1v15(), hash_)))


def test_rsa_signs_with_sha_2_only() -> None:
    hash_: Any
    for name, hash_ in (("rsa-sha2-256", SHA256()), ("rsa-sha2-512", SHA512())):
        signature = rsa_envelope(name, hash_).sign()
        assert signer_of(MESSAGE, signature, NAMESPACE).algorithm == "ssh-rsa"
    for name, hash_ in (("ssh-rsa", SHA1()), ("ssh-rsa", SHA512()), ("rsa-sha2-512-cert", SHA512())):
        assert "does not use SHA-2" in refusal(rsa_envelope(name, hash_).sign())
    assert "does not fit" in refusal(rsa_envelope("rsa-sha2-256", SHA512()).sign())


def with_name(name: str, made: Envelope) -> Envelope:
    return replace(
        made, prove=lambda signed: string(name.encode()) + made.prove(signed)[4 + len(made.public.split()[0]) :]
    )


def with_numbers(*numbers: bytes) -> Envelope:
    return replace(ECDSA_256, prove=lambda _: string(b"ecdsa-sha2-nistp256") + string(b"".join(numbers)))


def padded_number(signed: bytes) -> bytes:
    r, s = decode_dss_signature(P256.sign(signed, ECDSA(SHA256())))
    padded = b"\0" + r.to_bytes(r.bit_length() // 8 + 1)
    return string(b"ecdsa-sha2-nistp256") + string(string(padded) + mpint(s))


SIGNATURE = PLAIN.sign()
BODY = "".join(SIGNATURE.splitlines()[1:-1])


@pytest.mark.parametrize(
    ("signature", "reason"),
    [
        pytest.param(replace(PLAIN, namespace=b"git").sign(), "namespace", id="namespace"),
        pytest.param(replace(PLAIN, namespace=NAMESPACE.encode() + b"\0").sign(), "namespace", id="longer-namespace"),
        pytest.param(replace(PLAIN, reserved=b"x").sign(), "reserved", id="reserved"),
        pytest.param(replace(PLAIN, version=2).sign(), "version 1", id="version"),
        pytest.param(replace(PLAIN, magic=b"SSHSIX").sign(), "version 1", id="magic"),
        pytest.param(replace(PLAIN, hash_name="sha1").sign(), "hash", id="sha1"),
        pytest.param(replace(PLAIN, hash_name="sha384").sign(), "hash", id="sha384"),
        pytest.param(replace(PLAIN, tail=b"\0").sign(), "follows the end", id="tail"),
        pytest.param(replace(PLAIN, signature_tail=b"\0").sign(), "follows the end", id="signature-tail"),
        pytest.param(replace(TOKENS["ssh-ed25519"], signature_tail=b"\0").sign(), "follows the end", id="token-tail"),
        pytest.param(replace(PLAIN, blob=PLAIN.blob + b"\0").sign(), "key cannot be read", id="key-tail"),
        pytest.param(replace(PLAIN, blob=b"").sign(), "key cannot be read", id="no-key"),
        pytest.param(replace(PLAIN, blob=ECDSA_256.blob).sign(), "another kind", id="key-of-another-kind"),
        pytest.param(with_name("sk-ssh-ed25519@openssh.com", PLAIN).sign(), "another kind", id="another-name"),
        pytest.param(
            with_name("webauthn-sk-ecdsa-sha2-nistp256@openssh.com", TOKENS["ecdsa-sha2-nistp256"]).sign(),
            "another kind",
            id="webauthn",
        ),
        pytest.param(with_numbers(mpint(1), string(b"")).sign(), "not positive", id="zero"),
        pytest.param(with_numbers(string(b""), string(b"")).sign(), "not positive", id="no-touch-on-some-agents"),
        pytest.param(with_numbers(mpint(1), string(b"\xff")).sign(), "not positive", id="negative"),
        pytest.param(with_numbers(mpint(1)).sign(), "something is missing", id="one-number"),
        pytest.param(with_numbers(mpint(1), mpint(1), b"\0").sign(), "follows the end", id="third-number"),
        pytest.param(with_numbers(mpint(2**4000), mpint(1)).sign(), "does not fit", id="number-beyond-the-curve"),
        pytest.param(replace(ECDSA_256, prove=padded_number).sign(), "shortest form", id="padded-number"),
        pytest.param("", "not between", id="nothing"),
        pytest.param("-----BEGIN SSH SIGNATURE-----", "not between", id="begin-only"),
        pytest.param(
            "-----BEGIN SSH SIGNATURE-----END SSH SIGNATURE-----",
            "something is missing|not between|base64",
            id="overlap",
        ),
        pytest.param(BODY, "not between", id="no-armor"),
        pytest.param(f"{SIGNATURE}{SIGNATURE}", "cannot be read", id="two"),
        pytest.param(f"x\n{SIGNATURE}", "not between", id="text-before"),
        pytest.param(SIGNATURE + " " * 16_384, "longer than", id="too-long"),
        pytest.param("\ud800", "cannot be read", id="surrogate"),
        pytest.param(SIGNATURE.replace("A", "\u0410"), "cannot be read", id="cyrillic"),
    ],
)
def test_refused_with_the_reason(signature: str, reason: str) -> None:
    with pytest.raises(BadSignatureError, match=reason):
        signer_of(MESSAGE, signature, NAMESPACE)


def test_line_ends_and_outer_spaces_do_not_matter() -> None:
    for same in (SIGNATURE.replace("\n", "\r\n"), f"  {SIGNATURE}\n", SIGNATURE.rstrip()):
        assert signer_of(MESSAGE, same, NAMESPACE) == read_public_key(PLAIN.public)


SAMPLES = {"ed25519": PLAIN, "ecdsa": ECDSA_256, **TOKENS, "rsa": rsa_envelope("rsa-sha2-512", SHA512())}
SIGNED = {name: made.sign() for name, made in SAMPLES.items()}


def decoded(text: str) -> bytes | None:
    """Return the bytes of an armored text, if it is one, as an outsider reads them."""
    lines = text.split()
    if lines[:3] != ["-----BEGIN", "SSH", "SIGNATURE-----"] or lines[-3:] != ["-----END", "SSH", "SIGNATURE-----"]:
        return None
    try:
        return base64.b64decode("".join(lines[3:-3]), validate=True)
    except ValueError:
        return None


@given(name=st.sampled_from(list(SIGNED)), place=st.integers(0, 2**16), letter=st.characters(codec="latin-1"))
@settings(deadline=None, max_examples=1500)
def test_no_changed_letter_verifies(name: str, place: int, letter: str) -> None:
    signature = SIGNED[name]
    place %= len(signature)
    changed = signature[:place] + letter + signature[place + 1 :]
    if decoded(changed) == decoded(signature):
        return
    refusal(changed)


@given(name=st.sampled_from(list(SIGNED)), place=st.integers(0, 2**16), mask=st.integers(1, 255))
@settings(deadline=None, max_examples=1500)
def test_no_changed_byte_verifies(name: str, place: int, mask: int) -> None:
    content = bytearray(decoded(SIGNED[name]) or b"")
    content[place % len(content)] ^= mask
    refusal(armored(bytes(content)))


@given(name=st.sampled_from(list(SIGNED)), place=st.integers(0, len(MESSAGE) - 1), mask=st.integers(1, 255))
@settings(deadline=None)
def test_no_changed_message_verifies(name: str, place: int, mask: int) -> None:
    message = bytearray(MESSAGE)
    message[place] ^= mask
    refusal(SIGNED[name], message=bytes(message))


@given(text=st.text() | st.binary().map(armored) | st.binary().map(lambda tail: armored(b"SSHSIG\0\0\0\1" + tail)))
@settings(deadline=None)
def test_no_text_passes_for_a_signature(text: str) -> None:
    refusal(text)


FIELD = st.binary(max_size=40) | st.sampled_from([0, 1, 3, 2**2048 + 1, 2**20_000 + 1]).map(lambda n: mpint(n)[4:])


@given(
    algorithm=st.sampled_from(ALGORITHMS),
    curve=st.lists(st.sampled_from([b"nistp256", b"nistp384", b"nistp521"]), max_size=1),
    fields=st.lists(FIELD, max_size=4),
    made_with=st.sampled_from([*ALGORITHMS, "rsa-sha2-256", "rsa-sha2-512"]),
    proof=FIELD,
    tail=st.sampled_from([b"", b"\1\0\0\0\0", b"\1"]),
)
@settings(deadline=None, max_examples=1000)
def test_no_key_of_a_forger_raises_anything_else(
    algorithm: str, curve: list[bytes], fields: list[bytes], made_with: str, proof: bytes, tail: bytes
) -> None:
    blob = b"".join(map(string, (algorithm.encode(), *curve, *fields)))
    refusal(replace(PLAIN, blob=blob, prove=lambda _: string(made_with.encode()) + string(proof) + tail).sign())


def rsa_line(exponent: int, modulus: int) -> str:
    blob = string(b"ssh-rsa") + mpint(exponent) + mpint(modulus)
    return f"ssh-rsa {base64.b64encode(blob).decode()}"


ORDER_8 = int.from_bytes(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little")
WEAK = RSAPublicNumbers(65537, 2**1023 + 1)
PADDED_RSA = string(b"ssh-rsa") + string(b"\0" + mpint(65537)[4:]) + mpint(RSA.public_key().public_numbers().n)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "one line"),
        ("ssh-ed25519", "one line"),
        (f"{PLAIN.public}\n{ECDSA_256.public}", "one line"),
        (rsa_line(WEAK.e, WEAK.n), "1024 bits is too weak"),
        (rsa_line(65537, 2**2046 + 1), "2047 bits is too weak"),
        (rsa_line(65537, 2**17_000 + 1), "larger than any"),
        (rsa_line(2**64 + 1, RSA.public_key().public_numbers().n), "larger than any"),
        (rsa_line(4, RSA.public_key().public_numbers().n), "cannot be read"),
        (f"ssh-rsa {base64.b64encode(PADDED_RSA).decode()}", "not written as ssh-keygen writes it"),
        ("ssh-dss AAAAB3NzaC1kc3M=", "DSA keys are too weak"),
        ("ssh-ed25519-cert-v01@openssh.com AAAA", "certificates are not supported"),
        ("ssh-ed448 AAAA", "not a kind of key that may sign"),
        (f"no-touch-required {PLAIN.public}", "not a kind of key"),
        (PLAIN.public.replace("ssh-ed25519", "ssh-rsa"), "the line says ssh-rsa, and the key in it is ssh-ed25519"),
        ("ssh-ed25519 AAAA", "key cannot be read"),
        ("ssh-ed25519 \u0410AAA", "base64"),
        (PLAIN.public[:-1] + "\u00e9", "base64"),
        (PLAIN.public + "AAAA", "key cannot be read"),
        (TOKENS["ssh-ed25519"].public + "AAAA", "base64"),
        (token("ssh-ed25519", application=b"https://firm.example").public, "cannot be read"),
    ],
)
def test_keys_that_may_not_sign(line: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read_public_key(line)


@pytest.mark.parametrize("y", [0, 1, 2**255 - 20, ORDER_8, 2**255 - 19 - ORDER_8])
@pytest.mark.parametrize("sign_bit", [0, 2**255])
def test_a_key_for_which_anybody_can_sign(y: int, sign_bit: int) -> None:
    raw, identity = (y | sign_bit).to_bytes(32, "little"), (1).to_bytes(32, "little")
    anybodys = Ed25519PublicKey.from_public_bytes(raw)

    def is_forged(message: bytes) -> bool:
        with contextlib.suppress(InvalidSignature):
            anybodys.verify(identity + bytes(32), message)
            return True
        return False

    # One in eight messages or more; an x of 0 has no second sign, and such a key verifies nothing.
    assert any(is_forged(bytes([each])) for each in range(200)) or sign_bit
    blob = string(b"ssh-ed25519") + string(raw)
    with pytest.raises(ValueError, match="anybody can sign"):
        read_public_key(f"ssh-ed25519 {base64.b64encode(blob).decode()}")
    assert "anybody can sign" in refusal(replace(PLAIN, blob=blob).sign())


def test_keys_are_compared_by_value() -> None:
    key = read_public_key(f"  {PLAIN.public} ada@firm.example\n")
    assert key == PublicKey(*PLAIN.public.split())
    assert {key: 1}[read_public_key(PLAIN.public)] == 1
    assert key != read_public_key(TOKENS["ssh-ed25519"].public)


@needs_ssh_keygen
def test_make_key(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "runner.key"
    make_key(path, "runner of the tests")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert {each.name for each in path.parent.iterdir()} == {"runner.key", "runner.key.pub"}
    public = path.with_name("runner.key.pub")
    assert public.read_text().endswith(" runner of the tests\n")
    assert public_of(path) == public_of(public) == signer_of(MESSAGE, sign(MESSAGE, NAMESPACE, path), NAMESPACE)


@needs_ssh_keygen
def test_make_key_replaces_nothing(tmp_path: Path) -> None:
    path, public = tmp_path / "id", tmp_path / "id.pub"
    for taken in (path, public):
        taken.write_text("mine")
        with pytest.raises(InvalidInputError, match=f"{taken.name} is there already"):
            make_key(path, "")
        assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [(taken.name, "mine")]
        taken.unlink()
    path.symlink_to("nowhere")
    with pytest.raises(InvalidInputError, match="is there already"):
        make_key(path, "")
    with pytest.raises(InvalidInputError, match="no key can be made at"):
        make_key(Path("/dev/null/id"), "")
    with pytest.raises(InvalidInputError, match="control characters"):
        make_key(tmp_path / "other", "x\nmallory ssh-ed25519 AAAA")


@needs_ssh_keygen
def test_of_many_that_make_one_key_one_does(tmp_path: Path) -> None:
    path = tmp_path / "id"

    def attempt(_: int) -> bool:
        try:
            make_key(path, "")
        except InvalidInputError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(8))) == 1
    assert {each.name for each in tmp_path.iterdir()} == {"id", "id.pub"}
    assert public_of(path) == public_of(path.with_suffix(".pub"))


@needs_ssh_keygen
def test_files_that_are_no_keys(tmp_path: Path) -> None:
    absent, text, broken, binary = (tmp_path / name for name in ("absent", "text", "broken", "binary"))
    text.write_text("not a key")
    broken.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n")
    binary.write_bytes(b"\xff\xfe")
    for path in (text, broken, binary):
        path.chmod(0o600)
    for path in (absent, text, broken, binary):
        with pytest.raises(InvalidInputError, match=rf"no public key can be read from .*{path.name}.*\.pub"):
            public_of(path)
        with pytest.raises(InvalidInputError, match=rf"cannot sign with .*{path.name}.*agent"):
            sign(MESSAGE, NAMESPACE, path)


@needs_ssh_keygen
def test_a_key_that_ssh_keygen_takes_and_the_product_does_not(tmp_path: Path) -> None:
    path = tmp_path / "id"
    subprocess.run(["ssh-keygen", "-q", "-N", "", "-f", path, "-t", "rsa", "-b", "1024"], check=True)
    with pytest.raises(InvalidInputError, match=r"does not count: .*1024 bits.*another key"):
        sign(MESSAGE, NAMESPACE, path)


def test_without_ssh_keygen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InvalidInputError, match="Install OpenSSH"):
        sign(MESSAGE, NAMESPACE, tmp_path / "id")
    with pytest.raises(InvalidInputError, match="Install OpenSSH"):
        make_key(tmp_path / "id", "")
    assert list(tmp_path.iterdir()) == []


class _Person:
    """Sees what is on the terminal, and touches the token when asked."""

    def __init__(self, touch: Path) -> None:
        self.seen, self._touch = "", touch

    def write(self, text: str) -> None:
        self.seen += text
        if "Confirm user presence" in text:
            self._touch.touch()

    def flush(self) -> None:
        pass


@pytest.mark.parametrize("works", [True, False])
def test_the_prompt_of_a_token_is_seen_while_it_waits(
    works: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, touch, made = tmp_path / "ssh-keygen", tmp_path / "touched", tmp_path / "made"
    made.write_text(TOKENS["ssh-ed25519"].sign())
    last = f"cat {made}" if works else "echo 'Signing failed: device not found' >&2; exit 255"
    program.write_text(
        "#!/bin/sh\necho 'Confirm user presence for key ED25519-SK' >&2\n"
        f"while [ ! -e {touch} ]; do sleep 0.01; done\n{last}\n"
    )
    program.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    person = _Person(touch)
    monkeypatch.setattr(sys, "stderr", person)
    if works:
        assert sign(MESSAGE, NAMESPACE, tmp_path / "id_sk") == made.read_text()
    else:
        with pytest.raises(InvalidInputError, match="device not found"):
            sign(MESSAGE, NAMESPACE, tmp_path / "id_sk")
    assert "Confirm user presence for key ED25519-SK" in person.seen
