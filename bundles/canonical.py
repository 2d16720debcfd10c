"""Canonical bytes, digests and ids: the one place that turns a document into its name.

Canonical JSON is RFC 8785 (JSON Canonicalization Scheme). That scheme keeps integers exact only up to 2^53 - 1, so
every field that may be larger (prices, sizes, money, nanoseconds) has the type :data:`Int64` or :data:`UInt64`, which
is written as a decimal string and read back as an integer.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from functools import cache, cached_property
from typing import Annotated, Any, Final, Self, TypeVar

import rfc8785
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

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


LARGEST_EXACT_INTEGER = 2**53 - 1
"""Largest integer that every JSON reader keeps exact (RFC 8785, RFC 7493)."""


def _read_number(value: object) -> object:
    """Make an integral float the integer it equals: canonical bytes cannot tell the two apart."""
    value = _read_integer(value)
    if isinstance(value, bool | str):
        raise ValueError("this is not a number")  # noqa: TRY004 -- pydantic reports ValueErrors with their place
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} is not finite; use null where a figure is not defined")
        if value.is_integer() and abs(value) < 1e21:
            return int(value)
    return value


def _write_number(value: float) -> int | float | str:
    return str(value) if isinstance(value, int) and abs(value) > LARGEST_EXACT_INTEGER else value


Number = Annotated[
    int | float,
    BeforeValidator(_read_number),
    PlainSerializer(_write_number, when_used="json"),
]
"""A finite figure of any size; integers beyond 2^53 - 1 are written to JSON as decimal strings."""


class Part(BaseModel):
    """Base of everything inside a document: frozen, and no field that the schema does not name."""

    # Validators are built when a model is first used: importing all of them would double the start of the command.
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy with other values; what was worked out from the old ones (cached properties) stays behind."""
        copy = super().model_copy(update=update, deep=deep)
        for name in copy.__dict__.keys() - type(self).model_fields.keys():
            del copy.__dict__[name]
        return copy


class Document(Part):
    """Base of everything that is stored under its digest."""

    def canonical(self) -> bytes:
        """Return the document's canonical bytes (RFC 8785, UTF-8)."""
        return canonical_json(self.model_dump(mode="json"))

    def digest(self) -> str:
        """Return ``sha256:<hex>`` of the canonical bytes."""
        return self.known_digest

    @cached_property
    def known_digest(self) -> str:
        """The digest, worked out once."""
        return digest_of(self.canonical())


def canonical_json(value: Any) -> bytes:
    """Serialise plain JSON data (dict, list, str, int, float, bool, None) to RFC 8785 bytes.

    Raises:
        MalformedDocumentError: for NaN, infinity, integers beyond 2^53 - 1, text that is not valid Unicode, or a type
            that JSON does not have.

    """
    try:
        # Four fifths of the time that an audit takes would go into rfc8785, which is plain Python.
        if _is_simple(value):
            return _SIMPLE.encode(value).encode()
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        broken = _text_without_utf8(value)
        if broken is not None:
            raise MalformedDocumentError(
                f"The text {_shorten(broken)} is not valid Unicode: it holds half of a surrogate pair. "
                "Give it in UTF-8."
            ) from error
        raise MalformedDocumentError(
            f"This value has no canonical JSON form: {error}. Give large integers an Int64 field and leave "
            "out NaN and infinity."
        ) from error


_SIMPLE: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _is_simple(value: Any) -> bool:
    """Tell whether the standard library writes these data exactly as RFC 8785 asks.

    It does for text, and for objects whose names are ASCII (RFC 8785 orders others by UTF-16 code units). Its figures
    have the shortest digits, too, but it begins exponents elsewhere and writes integral floats with ``.0``.
    """
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return True
    if kind is dict:
        for name, each in value.items():
            if type(name) is not str or not name.isascii() or not (type(each) is str or _is_simple(each)):
                return False
        return True
    if kind is list:
        return all(map(_is_simple, value))
    if kind is int:
        return bool(abs(value) <= LARGEST_EXACT_INTEGER)
    return bool(kind is float and 1e-4 <= abs(value) < 1e16 and not value.is_integer())


def _text_without_utf8(value: object) -> str | None:
    """Return the first text in plain JSON data that UTF-8 cannot write."""
    if isinstance(value, str):
        return value if any("\ud800" <= char <= "\udfff" for char in value) else None
    inner: list[object] = [*value, *value.values()] if isinstance(value, dict) else []
    inner += value if isinstance(value, list | tuple) else []
    return next((found for each in inner if (found := _text_without_utf8(each)) is not None), None)


def digest_of(content: bytes) -> str:
    """Return ``sha256:<hex>`` of some bytes."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def short_id(prefix: str, digest: str) -> str:
    """Return an id such as ``bun_e4f2a1…``: the prefix and the first 16 hex digits of the digest."""
    return f"{prefix}_{digest.removeprefix('sha256:')[:ID_HEX_DIGITS]}"


Read = TypeVar("Read")


def read_document(schema: type[Read] | TypeAdapter[Read], given: bytes | str | dict[str, Any], what: str) -> Read:
    """Return the document that JSON text or plain data describes.

    ``what`` names the thing in messages, such as a path or ``edge bundle``.

    Raises:
        MalformedDocumentError: naming every place that does not fit, one a line.

    """
    if not isinstance(given, dict):
        given = _parse_json(given, what)
    adapter: TypeAdapter[Read] = schema if isinstance(schema, TypeAdapter) else _adapter(schema)  # type: ignore[arg-type]
    try:
        return adapter.validate_python(given)
    except ValidationError as error:
        raise MalformedDocumentError(explain(error, what)) from error


@cache
def _adapter(schema: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(schema)


def explain(error: ValidationError, what: str, locate: Callable[[tuple[int | str, ...]], str] | None = None) -> str:
    """Say in one line for each problem where it is, what is wrong, and what was given there.

    ``locate`` turns the path of a problem into where a reader finds it; the default is the path with dots.
    """
    lines = [f"{what} does not fit its schema; correct this and try again:"]
    for problem in error.errors(include_url=False):
        place = problem["loc"]
        where = locate(place) if locate else ".".join(map(str, place)) or "the whole document"
        text = {"extra_forbidden": "unknown field", "missing": "required field is missing"}.get(problem["type"])
        text = text or problem["msg"].removeprefix("Value error, ")
        shown = (
            ""
            if problem["type"] in {"missing", "extra_forbidden"} or not place
            else f" (given: {_shorten(problem['input'])})"
        )
        lines.append(f"  {where}: {text}{shown}")
    return "\n".join(lines)


def _shorten(given: object) -> str:
    text = ascii(given) if isinstance(given, str) and not given.isprintable() else repr(given)
    return text if len(text) <= 80 else text[:77] + "..."


def _parse_json(text: bytes | str, what: str) -> Any:
    def refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        fields = dict(pairs)
        if len(fields) < len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise MalformedDocumentError(f"{what} names the field {twice!r} twice. Keep one.")
        return fields

    def refuse_constant(name: str) -> Any:
        raise MalformedDocumentError(
            f"{what} contains {name}, which JSON does not have. Use null where a figure is not defined."
        )

    try:
        return json.loads(text, object_pairs_hook=refuse_duplicates, parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        raise MalformedDocumentError(f"{what} is not JSON: {error}. Give the file as it was written.") from error
