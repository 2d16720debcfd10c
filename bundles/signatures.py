"""SSH signatures: made by ``ssh-keygen``, verified here without it.

Formats: PROTOCOL.sshsig and PROTOCOL.u2f of OpenSSH, RFC 4251 section 5 (fields), RFC 5656 section 3.1 (ECDSA),
RFC 8332 (RSA with SHA-2), RFC 8709 (Ed25519). The reader is stricter than ``ssh-keygen``: a key has one spelling only,
nothing stands where the format reserves a place, and the person must have touched the token.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import TYPE_CHECKING, Final, TypeAlias

from bundles.errors import InvalidInputError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    _Loaded: TypeAlias = Ed25519PublicKey | RSAPublicKey | EllipticCurvePublicKey

ALGORITHMS: Final = (
    "ssh-ed25519",
    "sk-ssh-ed25519@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-rsa",
)
"""Kinds of keys that may sign; ``sk-`` ones live in a hardware token."""

LONGEST_ARMORED: Final = 16_384
"""Characters; a signature by the largest RSA key takes less than half of it."""

_SMALLEST_RSA_BITS: Final = 2048
_LARGEST_RSA_BITS: Final = 16_384
_LARGEST_RSA_EXPONENT: Final = 2**32
_MAGIC: Final = b"SSHSIG"
_VERSION: Final = 1
_BEGIN: Final = b"-----BEGIN SSH SIGNATURE-----"
_END: Final = b"-----END SSH SIGNATURE-----"
_HASHES: Final = {b"sha256": hashlib.sha256, b"sha512": hashlib.sha512}
_ED25519_PRIME: Final = 2**255 - 19
_ED25519_ORDER_8: Final = int("7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7", 16)
_ED25519_WEAK: Final = frozenset(y % _ED25519_PRIME for y in (0, 1, -1, _ED25519_ORDER_8, -_ED25519_ORDER_8))
"""The y of the points P with 8P = 0: anybody can sign for such a key."""

_TOUCHED: Final = 0x01
"""The flag of PROTOCOL.u2f that says that the person was there."""


class BadSignatureError(ValueError):
    """A signature that does not count; the message says why, of "it"."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key as it stands in ``allowed_signers``; equal exactly if the keys are."""

    algorithm: str
    base64: str

    def __str__(self) -> str:
        return f"{self.algorithm} {self.base64}"

    @property
    def fingerprint(self) -> str:
        """The digest that ``ssh-keygen -l`` shows."""
        digest = hashlib.sha256(binascii.a2b_base64(self.base64)).digest()
        return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


def read_public_key(text: str) -> PublicKey:
    """Return the key of a line ``algorithm base64 [comment]``.

    Raises:
        ValueError: saying why this is not a key that may sign.

    """
    words = text.strip().split(maxsplit=2)
    if len(words) < 2 or "\n" in text.strip():
        raise ValueError("a public key is one line: key type, key")
    algorithm, encoded = words[:2]
    _check_algorithm(algorithm)
    key, _ = _load(_from_base64(encoded.encode()))
    if key.algorithm != algorithm:
        raise ValueError(f"the line says {algorithm}, and the key in it is {key.algorithm}")
    return key


def sign(message: bytes, namespace: str, key_path: Path) -> str:
    """Return the armored signature that ``ssh-keygen`` makes.

    The key is a private key file, or a public one that an agent or token serves. What ``ssh-keygen`` says goes to
    stderr at once, because it may ask for a touch of the token.

    Raises:
        InvalidInputError: there is no ssh-keygen, it cannot sign with that key, or such a signature would not count.

    """
    try:
        armored = _ssh_keygen("-Y", "sign", "-q", "-n", namespace, "-f", key_path, given=message, shown=True)
    except _FailedError as error:
        raise InvalidInputError(
            f"ssh-keygen cannot sign with {key_path}: {error}. Give a private key file, or a public one that an agent "
            "or token serves."
        ) from error
    try:
        signer_of(message, armored, namespace)
    except BadSignatureError as error:
        raise InvalidInputError(
            f"a signature made with {key_path} does not count: {error}. Use another key; `ssh-keygen -t ed25519` "
            "makes one."
        ) from error
    return armored


def make_key(path: Path, comment: str) -> None:
    """Make an Ed25519 key pair without passphrase in ``path`` and ``path.pub``, and the folder if there is none.

    Raises:
        InvalidInputError: something is there already, or cannot be written; nothing that was there is changed.

    """
    if not comment.isprintable():
        raise InvalidInputError(
            f"{comment!a} cannot be the comment of a key. Leave line ends and control characters out."
        )
    public_path = path.with_name(path.name + ".pub")
    for taken in (path, public_path):
        if os.path.lexists(taken):
            raise InvalidInputError(f"{taken} is there already and stays as it is. Use that key, or give another path.")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".new-key-", dir=path.parent) as folder:
            made = Path(folder, "key")
            _ssh_keygen("-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", made)
            # Of two processes that come here, one gets the name: a link is whole or not there, and replaces nothing.
            os.link(made, path)
            made.with_suffix(".pub").replace(public_path)
    except (OSError, _FailedError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InvalidInputError(f"no key can be made at {path}: {reason}. Give another path.") from error


def public_of(key_path: Path) -> PublicKey:
    """Return the public key of a private key file, or the one that a public key file holds.

    Raises:
        InvalidInputError: the file cannot be read, or holds no key that may sign.

    """
    try:
        text = key_path.read_bytes().decode()
        if "PRIVATE KEY-----" in text:
            text = _ssh_keygen("-y", "-f", key_path)
        return read_public_key(text)
    except (OSError, ValueError, _FailedError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InvalidInputError(
            f"no public key can be read from {key_path}: {reason}. Give a private key file, or its .pub file."
        ) from error


@lru_cache(maxsize=1024)
def signer_of(message: bytes, armored: str, namespace: str) -> PublicKey:
    """Return the key that made this signature over this message in this namespace.

    Raises:
        BadSignatureError: saying why it does not count.

    """
    from cryptography.exceptions import InvalidSignature

    try:
        fields = _Fields(_dearmored(armored))
        if fields.take(len(_MAGIC)) != _MAGIC or fields.number() != _VERSION:
            raise BadSignatureError("it is not an SSH signature of version 1")  # noqa: TRY301
        blob, made_in, reserved, hash_name, signature = (fields.string() for _ in range(5))
        fields.end()
        if made_in != namespace.encode():
            raise BadSignatureError(f"it was not made in the namespace {namespace}")  # noqa: TRY301
        if reserved or hash_name not in _HASHES:
            raise BadSignatureError("it uses a hash other than SHA-256 and SHA-512, or a reserved field")  # noqa: TRY301
        key, loaded = _load_signer(blob)
        digest = _HASHES[hash_name](message).digest()
        _verify(key, loaded, signature, _MAGIC + b"".join(map(_string, (made_in, b"", hash_name, digest))))
    except BadSignatureError:
        raise
    except InvalidSignature as error:
        raise BadSignatureError("it does not fit the message") from error
    except ValueError as error:
        raise BadSignatureError(f"it cannot be read: {error}") from error
    return key


def _load_signer(blob: bytes) -> tuple[PublicKey, _Loaded]:
    try:
        return _load(blob)
    except ValueError as error:
        raise BadSignatureError(f"its key cannot be used: {error}") from error


def _verify(key: PublicKey, loaded: _Loaded, signature: bytes, signed: bytes) -> None:
    """Check a signature of RFC 5656, 8332, 8709 or PROTOCOL.u2f; raises ValueError, or InvalidSignature."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    fields = _Fields(signature)
    made_with, proof = fields.string().decode(), fields.string()
    if key.algorithm.startswith("sk-"):
        flags, counter = fields.take(1), fields.take(4)
        if not flags[0] & _TOUCHED:
            raise BadSignatureError("it was made without a touch of the token")
        application = _Fields(_from_base64(key.base64.encode())).strings()[-1]
        signed = hashlib.sha256(application).digest() + flags + counter + hashlib.sha256(signed).digest()
    fields.end()
    if isinstance(loaded, RSAPublicKey):
        if made_with not in {"rsa-sha2-256", "rsa-sha2-512"}:
            raise BadSignatureError("it is an RSA signature that does not use SHA-2")
        loaded.verify(proof, signed, PKCS1v15(), hashes.SHA256() if made_with[-3:] == "256" else hashes.SHA512())
        return
    if made_with != key.algorithm:
        raise BadSignatureError("it is of another kind than its key")
    if isinstance(loaded, EllipticCurvePublicKey):
        numbers = _Fields(proof)
        in_der = encode_dss_signature(numbers.positive(), numbers.positive())
        numbers.end()
        size = loaded.key_size
        loaded.verify(
            in_der,
            signed,
            ECDSA(hashes.SHA256() if size <= 256 else hashes.SHA384() if size <= 384 else hashes.SHA512()),
        )
    else:
        loaded.verify(proof, signed)


def _check_algorithm(algorithm: str) -> None:
    if "-cert-v0" in algorithm:
        raise ValueError("certificates are not supported; give the key itself")
    if algorithm == "ssh-dss":
        raise ValueError("DSA keys are too weak; make a key with `ssh-keygen -t ed25519`")
    if algorithm not in ALGORITHMS:
        raise ValueError(f"{algorithm[:60]!a} is not a kind of key that may sign; these are: {', '.join(ALGORITHMS)}")


@lru_cache(maxsize=256)
def _load(blob: bytes) -> tuple[PublicKey, _Loaded]:
    """Read a key blob that ``ssh-keygen`` could have written; raises ValueError."""
    # The cryptography package takes as long to import as all the rest, and is needed only where keys are.
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_ssh_public_key,
    )

    try:
        algorithm = _Fields(blob).string().decode()
    except ValueError as error:
        raise ValueError("the key cannot be read") from error
    _check_algorithm(algorithm)
    key = PublicKey(algorithm, base64.b64encode(blob).decode())
    line = str(key).encode()
    try:
        loaded: _Loaded = load_ssh_public_key(line)  # type: ignore[assignment]  # no DSA: _check_algorithm
    except (ValueError, NotImplementedError, UnsupportedAlgorithm) as error:
        raise ValueError(f"the {algorithm} key cannot be read") from error
    if isinstance(loaded, RSAPublicKey):
        bits, exponent = loaded.key_size, loaded.public_numbers().e
        if bits < _SMALLEST_RSA_BITS:
            raise ValueError(f"an RSA key of {bits} bits is too weak; it must have {_SMALLEST_RSA_BITS} or more")
        if bits > _LARGEST_RSA_BITS or exponent > _LARGEST_RSA_EXPONENT:
            raise ValueError("the RSA key is larger than any that ssh-keygen makes")
    if isinstance(loaded, Ed25519PublicKey):
        y = int.from_bytes(loaded.public_bytes(Encoding.Raw, PublicFormat.Raw), "little") % 2**255
        if y >= _ED25519_PRIME or y in _ED25519_WEAK:
            raise ValueError("the Ed25519 key is one for which anybody can sign")
    # A second spelling of one key would pass for a second key. Those of tokens have no parts with two spellings.
    if not algorithm.startswith("sk-") and loaded.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH) != line:
        raise ValueError(f"the {algorithm} key is not written as ssh-keygen writes it")
    return key, loaded


def _dearmored(armored: str) -> bytes:
    if len(armored) > LONGEST_ARMORED:
        raise ValueError(f"longer than {LONGEST_ARMORED} characters")
    text = armored.encode("ascii").strip()
    if not text.startswith(_BEGIN) or not text.endswith(_END):
        raise ValueError(f"not between {_BEGIN.decode()} and {_END.decode()}")
    return _from_base64(b"".join(text[len(_BEGIN) : -len(_END)].split()))


def _from_base64(encoded: bytes) -> bytes:
    """Decode base64 that is written in the one way in which an encoder writes it."""
    try:
        decoded = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        decoded = None
    if decoded is None or base64.b64encode(decoded) != encoded:
        raise ValueError("the base64 is not as an encoder writes it")
    return decoded


def _string(content: bytes) -> bytes:
    return len(content).to_bytes(4) + content


class _Fields:
    """Takes the fields of RFC 4251 section 5 from the front of some bytes; raises ValueError."""

    def __init__(self, left: bytes) -> None:
        self._left = left

    def take(self, size: int) -> bytes:
        if size > len(self._left):
            raise ValueError("something is missing")
        taken, self._left = self._left[:size], self._left[size:]
        return taken

    def number(self) -> int:
        return int.from_bytes(self.take(4))

    def string(self) -> bytes:
        return self.take(self.number())

    def strings(self) -> list[bytes]:
        """Return all that is left as strings."""
        found = []
        while self._left:
            found.append(self.string())
        return found

    def positive(self) -> int:
        """Return an ``mpint`` greater than 0, in its shortest form."""
        content = self.string()
        value = int.from_bytes(content, signed=True)
        if value <= 0 or len(content) != value.bit_length() // 8 + 1:
            raise ValueError("a number is not positive, or not in its shortest form")
        return value

    def end(self) -> None:
        if self._left:
            raise ValueError("something follows the end")


class _FailedError(Exception):
    """What ssh-keygen said when it failed."""


def _ssh_keygen(*arguments: str | Path, given: bytes = b"", shown: bool = False) -> str:
    """Run ssh-keygen with ``given`` as its input; ``shown`` passes on what it says while it runs.

    Raises:
        InvalidInputError: there is no ssh-keygen.
        _FailedError: it fails; the message is what it said.

    """
    with TemporaryFile() as read, TemporaryFile() as written:
        read.write(given)
        read.seek(0)
        try:
            process = subprocess.Popen(  # noqa: S603 -- fixed program, arguments not interpreted
                ["ssh-keygen", *arguments],  # noqa: S607 -- the one that the person uses
                stdin=read,
                stdout=written,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
            )
        except OSError as error:
            raise InvalidInputError(
                f"ssh-keygen cannot be run: {error.strerror}. Install OpenSSH's client tools."
            ) from error
        said = []
        with process:
            for line in process.stderr or ():
                said.append(line)
                if shown:
                    sys.stderr.write(line)
                    sys.stderr.flush()
        if process.returncode:
            raise _FailedError("".join(said).strip().rstrip(".") or f"it ended with code {process.returncode}")
        written.seek(0)
        return written.read().decode()
