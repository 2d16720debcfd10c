"""A store in memory: what an exported file holds is verified as if it were a store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from bundles.canonical import digest_of
from bundles.errors import ConflictError, NameTakenError, NotFoundError
from bundles.store.protocol import check_key, check_prefix


class MemoryStore:
    """Keys and contents of a mapping; for one thread."""

    def __init__(self, objects: Mapping[str, bytes], url: str) -> None:
        self.objects = {check_key(key): content for key, content in objects.items()}
        self._url = url

    @property
    def url(self) -> str:
        """What messages call this store; it cannot be opened by it."""
        return self._url

    def exists(self) -> bool:
        """Return True."""
        return True

    def get(self, key: str) -> bytes:
        """Return the content of a key, or raise NotFoundError."""
        if key not in self.objects:
            raise NotFoundError(f"{self.url} has no {key}. Check the id.")
        return self.objects[key]

    def put_if_absent(self, key: str, content: bytes) -> bool:
        """Create a key; False if it was there with the same content, NameTakenError if with other content."""
        known = self.objects.setdefault(check_key(key), content)
        if known != content:
            raise NameTakenError(f"{key} in {self.url} holds other content and never changes. Choose another name.")
        return known is content

    def get_versioned(self, key: str) -> tuple[bytes, str] | None:
        """Return content and version of a key, or None."""
        content = self.objects.get(check_key(key))
        return None if content is None else (content, digest_of(content))

    def compare_and_swap(self, key: str, content: bytes, expected_version: str | None) -> str:
        """Replace the content if the version is still the expected one; return the new version."""
        known = self.get_versioned(key)
        if (known[1] if known else None) != expected_version:
            raise ConflictError(f"{key} in {self.url} was changed by someone else. Read it again and decide again.")
        self.objects[key] = content
        return digest_of(content)

    def list(self, prefix: str) -> Iterator[str]:
        """Yield the keys that begin with a prefix."""
        check_prefix(prefix)
        return iter([key for key in self.objects if key.startswith(prefix)])

    def contents(
        self,
        prefix: str,
        remembered: Callable[[], Mapping[str, bytes]],  # noqa: ARG002 -- nothing is quicker than memory
    ) -> Iterator[tuple[str, bytes]]:
        """Yield them with their contents."""
        return iter([(key, content) for key, content in self.objects.items() if key.startswith(prefix)])
