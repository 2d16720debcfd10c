"""Canonical bytes, digests and ids: the one place that turns a document into its name.

Canonical JSON is RFC 8785 (JSON Canonicalization Scheme). That scheme keeps integers exact only up to 2^53 - 1, so every
field that may be larger (prices, sizes, money, nanoseconds) has the type :data:`Int64` or :data:`UInt64`, which is written as a
decimal string and read back as an integer.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

import rfc8785
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, StringConstraints

from bundles.errors import MalformedDocumentError

ID_HEX_DIGITS = 16
"""Hex digits of the digest that an id shows."""

SHORTEST_PREFIX = 6
"""Fewest hex digits that are accepted in place of a whole id."""

Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
"""A SHA-256 digest as it is printed and stored: ``sha256:`` and 64 lower-case hex digits."""


def _read_integer(value: object) -> object:
    """Accept an integer or its canonical decimal string; leave anything else for pydantic to refuse."""
    if isinstance(value, str) and value.removeprefix("-").isascii() and value.removeprefix("-").isdigit():
        number = int(value)
        if str(number) == value:
            return number
    return value


Int64 = Annotated[
    int,
    Field(strict=True, ge=-(2**63), lt=2**63),
    BeforeValidator(_read_integer),
    PlainSerializer(str, return_type=str, when_used="json"),
]
"""A signed 64-bit integer, written to JSON as a decimal string."""

UInt64 = Annotated[
    int,
    Field(strict=True, ge=0, lt=2**64),
    BeforeValidator(_read_integer),
    PlainSerializer(str, return_type=str, when_used="json"),
]
"""An unsigned 64-bit integer, written to JSON as a decimal string."""


class Part(BaseModel):
    """Base of everything inside a document: frozen, and no field that the schema does not name."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")


class Document(Part):
    """Base of everything that is stored under its digest."""

    def canonical(self) -> bytes:
        """Return the document's canonical bytes (RFC 8785, UTF-8)."""
        return canonical_json(self.model_dump(mode="json"))

    def digest(self) -> str:
        """Return ``sha256:<hex>`` of the canonical bytes."""
        return digest_of(self.canonical())


def canonical_json(value: Any) -> bytes:
    """Serialise plain JSON data (dict, list, str, int, float, bool, None) to RFC 8785 bytes.

    Raises:
        MalformedDocumentError: for NaN, infinity, integers beyond 2^53 - 1, or a type that JSON does not have.

    """
    try:
        return rfc8785.dumps(value)
    except rfc8785.CanonicalizationError as error:
        raise MalformedDocumentError(
            f"This value has no canonical JSON form: {error}. Give large integers an Int64 field and leave out NaN and infinity."
        ) from error


def digest_of(content: bytes) -> str:
    """Return ``sha256:<hex>`` of some bytes."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def short_id(prefix: str, digest: str) -> str:
    """Return an id such as ``bun_e4f2a1…``: the prefix and the first 16 hex digits of the digest."""
    return f"{prefix}_{digest.removeprefix('sha256:')[:ID_HEX_DIGITS]}"
