"""What a store promises, and which keys it takes.

The two conditional writes are all the coordination there is: ids, ledger entries and heads are races that exactly one
writer wins.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from bundles.errors import InvalidInputError

_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}(/[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}){0,15}")
_PREFIX = re.compile(r"([A-Za-z0-9_-][A-Za-z0-9._-]{0,127}/){0,15}([A-Za-z0-9_-][A-Za-z0-9._-]{0,127})?")


class ObjectStore(Protocol):
    """Named bytes with two conditional writes; every method may raise UnreachableError."""

    @property
    def url(self) -> str:
        """The address that `open_store` takes."""

    def exists(self) -> bool:
        """Tell whether there is a store; False only where the first write would create it."""

    def get(self, key: str) -> bytes:
        """Return the content of a key, or raise NotFoundError."""

    def put_if_absent(self, key: str, content: bytes) -> bool:
        """Create a key durably: True if this call created it, False if it was there with the same content.

        Raises:
            NameTakenError: the key holds other content, which stays as it is.

        """

    def get_versioned(self, key: str) -> tuple[bytes, str] | None:
        """Return content and version of a key, or None if there is no such key."""

    def compare_and_swap(self, key: str, content: bytes, expected_version: str | None) -> str:
        """Replace the content if its version is still the expected one (None: if absent); return the new version.

        Raises:
            ConflictError: someone else wrote first; read again and decide again.

        """

    def list(self, prefix: str) -> Iterator[str]:
        """Yield the keys that begin with a prefix, in any order (servers differ), without reading their content."""

    def contents(self, prefix: str, remembered: Callable[[], Mapping[str, bytes]]) -> Iterator[tuple[str, bytes]]:
        """Yield the keys that begin with a prefix, in any order, with their contents.

        ``remembered`` returns what keys held once. A store where a listing tells versions reads only what has changed.
        """


def check_key(key: str) -> str:
    """Return the key if a store may hold it.

    A name that begins with a dot belongs to the store itself (locks, temporary files, its probe), so no key has one.
    """
    if not _KEY.fullmatch(key):
        raise InvalidInputError(
            f"{key!r} cannot be a key of the store: use up to 16 relative path segments of letters, digits, "
            "'.', '_' and '-', "
            "none beginning with a dot."
        )
    return key


def check_prefix(prefix: str) -> str:
    """Return the prefix if some key could begin with it."""
    if not _PREFIX.fullmatch(prefix):
        raise InvalidInputError(
            f"{prefix!r} cannot begin a key of the store: use relative path segments without leading dots."
        )
    return prefix


def is_own_name(key: str) -> bool:
    """Tell whether a listed name belongs to the store itself and not to its contents."""
    return key.startswith(".") or "/." in key
