"""Who is who: people, the keys that speak for them, and their roles.

The roster is an ``allowed_signers`` file (ssh-keygen(1)) with roles beside it. What that format can say and this module
does not act on (patterns, certificate authorities, local times) is refused when the roster is read, never ignored.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, model_validator

from bundles.canonical import Document, Part
from bundles.errors import MalformedDocumentError, NotFoundError
from bundles.manifests import Name
from bundles.people import read_person, same_person
from bundles.signatures import PublicKey, read_public_key
from bundles.statements import CHECKPOINT, EVALUATION, GOVERNANCE, PROMOTION
from bundles.yaml_documents import read_yaml

NAMESPACES: Final = frozenset({PROMOTION, EVALUATION, GOVERNANCE, CHECKPOINT})
"""What a signature is for; one made for one purpose never counts for another."""

_LINE: Final = re.compile(
    r"""(?: "(?P<quoted>[^"]*)" | (?P<plain>[^\s"]+) ) [ \t]+
        (?: (?P<options>(?: [^\s"] | "[^"]*" )+) [ \t]+ )??  # lazy: a key type is no option, a comment is no key
        (?P<key>[^\s"]+ [ \t]+ AAAA[^\s"]*)                  # every SSH key begins so: its first field is short
        (?: [ \t].* )?""",
    re.VERBOSE,
)
_OPTION: Final = re.compile(r'(?P<name>[a-z-]+)(?:="(?P<value>[^"\\]*)")?(?:,(?=.)|$)', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SignerKey:
    """One person's key; the namespaces and times bound what it may be used for, and when."""

    person: str
    key: PublicKey
    valid_after_ns: int | None = None
    valid_before_ns: int | None = None
    namespaces: frozenset[str] = NAMESPACES

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
        owners: dict[PublicKey, str] = {}
        for each in self.keys:
            owner = owners.setdefault(each.key, each.person)
            if owner != each.person:
                raise ValueError(
                    f"allowed_signers gives one key to {owner} and to {each.person}; each person needs an own key"
                )
        return self

    @cached_property
    def keys(self) -> tuple[SignerKey, ...]:
        """The keys that may sign for this product."""
        # Only a newline ends a line for ssh-keygen; str.splitlines would let a comment hide a key.
        lines = enumerate((line.strip(" \t\r") for line in self.allowed_signers.split("\n")), start=1)
        try:
            found = [_read_signer(line, number) for number, line in lines if line and not line.startswith("#")]
        except MalformedDocumentError as error:
            raise ValueError(str(error)) from error
        return tuple(key for keys in found for key in keys)

    def roles_of(self, person: str) -> frozenset[str]:
        """Return the roles that a person holds."""
        who = same_person(person)
        return frozenset(role for name, roles in self.roles.items() if same_person(name) == who for role in roles)

    def people_with(self, role: str) -> tuple[str, ...]:
        """Return the names of those who hold a role, as the roster writes them."""
        return tuple(name for name, roles in self.roles.items() if role in roles)

    def key_problem(self, person: str, used: PublicKey, namespace: str, at_ns: int) -> str | None:
        """Say why a key does not speak for a person in a namespace at a time; None if it does."""
        who = same_person(person)
        if all(key.person != who for key in self.keys):
            return f"{person} has no key in the roster; add one to allowed_signers"
        listed = [each for each in self.keys if each.key == used]
        if not listed:
            return (
                f"the key {used.fingerprint} that signed for {person} is not in the roster; sign with a key that it "
                "lists, or add this one to allowed_signers"
            )
        if listed[0].person != who:  # a roster gives a key to one person
            return (
                f"the key {used.fingerprint} that signed for {person} is in the roster under another name, "
                f"{listed[0].person}; each signs with an own key and name"
            )
        meant = [each for each in listed if namespace in each.namespaces]
        if not meant:
            return (
                f"the key of {person} is not for {namespace}, only for {', '.join(sorted(listed[0].namespaces))}; add "
                "it to the namespaces of the key in allowed_signers, or sign with another key"
            )
        if not any(each.holds_at(at_ns) for each in meant):
            return f"the key of {person} is not valid at this time; renew it in allowed_signers"
        return None


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
            f"{allowed_signers} holds no key for {', '.join(sorted(NAMESPACES))}, so nobody could sign. Write a line "
            "for each person: name, key type, key."
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
    try:
        found = _LINE.fullmatch(line)
        if not found:
            raise ValueError("it is not written as: names, options if any, key type, key")  # noqa: TRY301
        options = _read_options(found["options"] or "")
        names = (found["quoted"] or found["plain"] or "").split(",")
        namespaces = options["namespaces"].split(",") if "namespaces" in options else sorted(NAMESPACES)
        if not all(names) or any(re.search(r"[*?!\[\]]", text) for text in (*names, *namespaces)):
            raise ValueError("patterns are not supported; write the names out")  # noqa: TRY301
        if any(re.search(r"\s", namespace) for namespace in namespaces):
            raise ValueError("namespaces are written without spaces, with commas between them")  # noqa: TRY301
        people = [same_person(read_person(name)) for name in names]
        after, before = (_read_time(options.get(name)) for name in ("valid-after", "valid-before"))
        if after is not None and before is not None and after >= before:
            raise ValueError("the key is never valid: valid-before must be later than valid-after")  # noqa: TRY301
        key = read_public_key(found["key"])
    except (ValueError, MalformedDocumentError) as error:
        raise MalformedDocumentError(f"allowed_signers line {number}: {error}.") from error
    ours = NAMESPACES & set(namespaces)
    return tuple(SignerKey(person, key, after, before, ours) for person in dict.fromkeys(people)) if ours else ()


def _read_options(text: str) -> dict[str, str]:
    """Return the options of a line; those without a value are refused, since none is acted on."""
    options: dict[str, str] = {}
    place = 0
    while place < len(text):
        found = _OPTION.match(text, place)
        name = found["name"].lower() if found else ""
        if name == "cert-authority":
            raise ValueError("certificate authorities are not supported; list each person's own key")
        if not found or name not in {"namespaces", "valid-after", "valid-before"} or found["value"] is None:
            raise ValueError(
                f"the options {text[place:][:60]!a} are not understood; there are namespaces, valid-after and "
                'valid-before, each written as name="value"'
            )
        if name in options:
            raise ValueError(f"the option {name} is given twice; keep one")
        options[name] = found["value"]
        place = found.end()
    return options


def _read_time(text: str | None) -> int | None:
    """Return nanoseconds since 1970 of ``YYYYMMDDZ`` or ``YYYYMMDDHHMM[SS]Z``."""
    if text is None:
        return None
    form = {9: "%Y%m%dZ", 13: "%Y%m%d%H%MZ", 15: "%Y%m%d%H%M%SZ"}.get(len(text))
    if form is None or not re.fullmatch(r"[0-9]+Z", text):
        raise ValueError(
            f"the time {text!r} is not YYYYMMDDZ or YYYYMMDDHHMM[SS]Z; give it in UTC, so that it means the "
            "same everywhere"
        )
    return int(datetime.strptime(text, form).replace(tzinfo=UTC).timestamp()) * 10**9
