"""Who agreed to what: statements, approvals, and the roster of people and keys.

Signatures are OpenSSH's (PROTOCOL.sshsig, namespace ``sequence-promotion``), made by ``ssh-keygen -Y sign`` and
verified here without it. The roster is an ``allowed_signers`` file (ssh-keygen(1)) with roles beside it. What that
format can say and this module does not act on (patterns, certificate authorities, local times) is refused when the
roster is read, never ignored.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from bundles.canonical import Digest, Document, Int64, Part
from bundles.errors import InvalidInputError, MalformedDocumentError, NotFoundError
from bundles.manifests import Name
from bundles.people import Note, PersonName, read_person, same_person
from bundles.yaml_documents import read_yaml

NAMESPACE: Final = "sequence-promotion"
"""Keeps a signature made for a promotion from counting as one made for anything else."""

_STRONG_HASHES: Final = frozenset({b"sha256", b"sha512"})


class Statement(Document):
    """What an approver agrees to; changing any part makes it another statement."""

    kind: Literal["promotion-statement"] = "promotion-statement"
    schema_version: Literal[1] = 1
    bundle: Digest
    target: str
    stage: str
    evaluations: tuple[str, ...]
    verdict: Digest
    policy: Digest
    break_glass: bool = False


class Approval(Part):
    """One person's agreement to one statement: a typed name, or a signature that proves it."""

    approver: PersonName
    notes: Note = ""
    statement: Digest
    kind: Literal["typed", "signed"] = "typed"
    signature: str = ""
    at_ns: Int64

    @model_validator(mode="after")
    def _signature_fits_kind(self) -> Approval:
        if (self.kind == "signed") != bool(self.signature):
            raise ValueError("a signed approval carries a signature and a typed one carries none")
        return self

    @property
    def person(self) -> str:
        """The approver's name in the form in which names are compared."""
        return same_person(self.approver)


@dataclass(frozen=True, slots=True)
class SignerKey:
    """One line of the ``allowed_signers`` file; the times bound when the key may be used."""

    person: str
    algorithm: str
    key_base64: str
    valid_after_ns: int | None
    valid_before_ns: int | None

    def holds_at(self, at_ns: int) -> bool:
        """Tell whether the key may be used at a time."""
        return (self.valid_after_ns is None or at_ns >= self.valid_after_ns) and (
            self.valid_before_ns is None or at_ns < self.valid_before_ns
        )


class Roster(Document):
    """People, their keys and their roles."""

    kind: Literal["roster"] = "roster"
    schema_version: Literal[1] = 1
    allowed_signers: str = ""
    roles: dict[str, tuple[Name, ...]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _can_be_read(self) -> Roster:
        try:
            people = [same_person(read_person(name)) for name in self.roles]
        except MalformedDocumentError as error:
            raise ValueError(f"roles: {error}") from error
        if len(set(people)) < len(people):
            raise ValueError("roles names one person twice; names differ by more than case, spaces and punctuation")
        owners: dict[str, str] = {}
        for key in self.keys:
            owner = owners.setdefault(key.key_base64, key.person)
            if owner != key.person:
                raise ValueError(
                    f"allowed_signers gives one key to {owner} and to {key.person}; each person needs an own key"
                )
        return self

    @cached_property
    def keys(self) -> tuple[SignerKey, ...]:
        """The keys that count for promotions."""
        try:
            lines = enumerate(self.allowed_signers.splitlines(), start=1)
            found = [_read_signer(line, number) for number, line in lines if line.strip() and not line.startswith("#")]
        except MalformedDocumentError as error:
            raise ValueError(str(error)) from error
        return tuple(key for keys in found for key in keys)

    def roles_of(self, person: str) -> frozenset[str]:
        """Return the roles that a person holds."""
        return frozenset(role for name, roles in self.roles.items() if same_person(name) == person for role in roles)


class _RolesFile(Part):
    roles: dict[str, Annotated[tuple[Name, ...], Field(min_length=1)]]


def load_roster(allowed_signers: Path, roles: Path | None = None) -> Roster:
    """Read a roster from an ``allowed_signers`` file and a YAML file ``roles: {name: [role, …]}``.

    Raises:
        NotFoundError: a file cannot be read.
        MalformedDocumentError: naming file, line and what is wrong.

    """
    text, roles_text = _read_text(allowed_signers), _read_text(roles) if roles else ""
    held = read_yaml(_RolesFile, roles_text, str(roles)).roles if roles else {}
    try:
        roster = Roster(allowed_signers=text, roles=held)
    except ValueError as error:
        reason = "; ".join(str(e["msg"]).removeprefix("Value error, ") for e in getattr(error, "errors", list)())
        raise MalformedDocumentError(f"{allowed_signers}: {reason or error}") from error
    if not roster.keys:
        raise MalformedDocumentError(
            f"{allowed_signers} holds no key for promotions, so nobody could sign. Write a line for each person: "
            "name, key type, key."
        )
    return roster


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise NotFoundError(f"{path} cannot be read: {error.strerror}. Check the path.") from error
    except UnicodeDecodeError as error:
        raise MalformedDocumentError(f"{path} is not UTF-8 text: {error}.") from error


def _read_signer(line: str, number: int) -> tuple[SignerKey, ...]:
    """Return one key for each principal of a line, none if the line is for other namespaces."""
    from sshsig import PublicKey  # noqa: PLC0415 -- brings in the cryptography package, needed only where keys are
    from sshsig.allowed_signers import AllowedSigner  # noqa: PLC0415

    try:
        signer = AllowedSigner.parse(line.strip())
        options = dict(signer.options or {})
        if "cert-authority" in options:
            raise ValueError("certificate authorities are not supported; list each person's own key")  # noqa: TRY301
        namespaces = options.pop("namespaces", NAMESPACE).split(",")
        names = signer.principals.split(",")
        if not all(names) or any(re.search(r"[*?!\[\]]", text) for text in (*names, *namespaces)):
            raise ValueError("patterns are not supported; write the names out")  # noqa: TRY301
        people = [same_person(read_person(name)) for name in names]
        after, before = (_read_time(options.get(name)) for name in ("valid-after", "valid-before"))
        public = PublicKey.from_openssh_str(f"{signer.key_type} {signer.base64_key}")
    except (ValueError, NotImplementedError, IndexError, MalformedDocumentError) as error:
        raise MalformedDocumentError(
            f"allowed_signers line {number}: {str(error) or 'the key cannot be read'}."
        ) from error
    if NAMESPACE not in namespaces:
        return ()
    algorithm, key_base64 = public.openssh_str().split()[:2]
    return tuple(SignerKey(person, algorithm, key_base64, after, before) for person in people)


def _read_time(text: str | None) -> int | None:
    """Return nanoseconds since 1970 of ``YYYYMMDDZ`` or ``YYYYMMDDHHMM[SS]Z``."""
    if text is None:
        return None
    form = {9: "%Y%m%dZ", 13: "%Y%m%d%H%MZ", 15: "%Y%m%d%H%M%SZ"}.get(len(text))
    if form is None or not re.fullmatch(r"\d+Z", text):
        raise ValueError(
            f"the time {text!r} is not YYYYMMDDZ or YYYYMMDDHHMM[SS]Z; give it in UTC, so that it means the "
            "same everywhere"
        )
    return int(datetime.strptime(text, form).replace(tzinfo=UTC).timestamp()) * 10**9


def sign_statement(statement: Statement, key_path: Path) -> str:
    """Return the armored signature that ``ssh-keygen`` makes with a key file (private, or public with an agent).

    Raises:
        InvalidInputError: there is no ssh-keygen, or it cannot sign with that key.

    """
    command = ["ssh-keygen", "-Y", "sign", "-q", "-n", NAMESPACE, "-f", str(key_path)]
    try:
        made = subprocess.run(command, input=statement.canonical(), capture_output=True, check=False)  # noqa: S603 -- fixed program, arguments not interpreted
    except OSError as error:
        raise InvalidInputError(
            f"ssh-keygen cannot be run: {error.strerror}. Install OpenSSH's client tools."
        ) from error
    if made.returncode:
        reason = made.stderr.decode(errors="replace").strip()
        raise InvalidInputError(
            f"ssh-keygen cannot sign with {key_path}: {reason}. Give a private key file, or a public one that "
            "an agent serves."
        )
    return made.stdout.decode()


def signature_problem(statement: Statement, approval: Approval, roster: Roster, at_ns: int) -> str | None:
    """Say why a signed approval does not prove that its approver agreed to the statement; None if it does."""
    from sshsig import InvalidSignature, check_signature  # noqa: PLC0415 -- as above
    from sshsig.sshsig import SshsigSignature  # noqa: PLC0415

    known = [key for key in roster.keys if key.person == approval.person]
    if not known:
        return f"{approval.approver} has no key in the roster; add one to allowed_signers"
    try:
        if SshsigSignature.from_armored(approval.signature).hash_algo not in _STRONG_HASHES:
            return f"the signature of {approval.approver} uses a weak hash; sign again with a current ssh-keygen"
        public = check_signature(statement.canonical(), approval.signature, NAMESPACE)
    except (InvalidSignature, NotImplementedError, ValueError, AssertionError):
        return (
            f"the signature of {approval.approver} does not verify for this statement; sign what "
            "`statement_for` returns, again"
        )
    used = public.openssh_str().split()[1]
    if used not in {key.key_base64 for key in known}:
        return f"the signature of {approval.approver} was made with a key that the roster does not list for this name"
    if not any(key.key_base64 == used and key.holds_at(at_ns) for key in known):
        return f"the key of {approval.approver} is not valid at this time; renew it in allowed_signers"
    return None


def approval_problems(
    approval: Approval,
    *,
    statement: Statement,
    roster: Roster,
    author: str,
    roles: tuple[str, ...],
    signed: bool,
    at_ns: int,
) -> Iterator[str]:
    """Say everything that keeps an approval from counting; nothing if it does."""
    name, is_for_this = approval.approver, approval.statement == statement.digest()
    if approval.person == same_person(author):
        yield f"{name} is the author of the bundle and cannot approve it; ask someone else"
    if not is_for_this:
        yield (
            f"the approval of {name} is for another bundle, stage, evaluation, verdict or policy; ask for "
            "approval of what is requested now"
        )
    if signed and approval.kind != "signed":
        yield (
            f"the approval of {name} is typed, the policy asks for a signature; sign the statement with an "
            "SSH key of the roster"
        )
    # A signature of another statement cannot verify for this one: that was said above.
    if is_for_this and approval.kind == "signed":
        problem = signature_problem(statement, approval, roster, at_ns)
        if problem:
            yield problem
    if roles and not roster.roles_of(approval.person) & set(roles):
        yield f"{name} holds none of the roles {', '.join(roles)}; ask someone who does, or add the role to the roster"
