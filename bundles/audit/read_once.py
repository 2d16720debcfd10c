"""A store and its catalog as an audit reads them: what never changes is read and parsed once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from io import UnsupportedOperation
from typing import Any, Final, TypeVar

from pydantic import TypeAdapter

from bundles.catalog import Catalog
from bundles.errors import NotFoundError
from bundles.store.protocol import ObjectStore

Read = TypeVar("Read")

_LARGEST_KEPT: Final = 65_536
"""Bytes. Documents are smaller; modules, tables and traces are read once and not parsed."""


class ReadOnceStore:
    """Remembers content that is written once. Heads, and what is not there, are asked for again each time."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._kept: dict[str, tuple[bytes, str]] = {}

    @property
    def url(self) -> str:
        """The address of the store."""
        return self._store.url

    def exists(self) -> bool:
        """Tell whether there is a store."""
        return self._store.exists()

    def get(self, key: str) -> bytes:
        """Return the content of a key, or raise NotFoundError."""
        found = self.get_versioned(key)
        if found is None:
            raise NotFoundError(f"The store {self.url} has no {key}. Restore it from a backup.")
        return found[0]

    def get_versioned(self, key: str) -> tuple[bytes, str] | None:
        """Return content and version of a key, or None."""
        known = self._kept.get(key)
        if known is not None:
            return known
        found = self._store.get_versioned(key)
        if found is not None and len(found[0]) <= _LARGEST_KEPT and not key.startswith("heads/"):
            self._kept[key] = found
        return found

    def list(self, prefix: str) -> Iterator[str]:
        """Yield the keys that begin with a prefix, as they are now."""
        return self._store.list(prefix)

    def contents(self, prefix: str, remembered: Callable[[], Mapping[str, bytes]]) -> Iterator[tuple[str, bytes]]:
        """Yield them with their contents, as they are now."""
        return self._store.contents(prefix, remembered)

    def put_if_absent(self, key: str, content: bytes) -> bool:
        """Refuse: an audit writes nothing."""
        raise UnsupportedOperation(f"An audit writes nothing, but {len(content)} bytes were to go to {key}.")

    def compare_and_swap(self, key: str, content: bytes, expected_version: str | None) -> str:
        """Refuse: an audit writes nothing."""
        raise UnsupportedOperation(
            f"An audit writes nothing, but {key} at {expected_version} was to become {len(content)} bytes."
        )


class ReadOnceCatalog(Catalog):
    """Parses each document once."""

    def __init__(self, store: ObjectStore) -> None:
        super().__init__(ReadOnceStore(store))
        self._documents: dict[tuple[str, int], Any] = {}

    def read(self, digest: str, schema: type[Read] | TypeAdapter[Read]) -> Read:
        """Return the document with a digest."""
        key = (digest, id(schema))
        if key not in self._documents:
            self._documents[key] = super().read(digest, schema)
        document: Read = self._documents[key]
        return document
