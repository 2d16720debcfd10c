"""A store in a directory: atomic and durable with nothing but a POSIX file system.

Create-once is a temporary file, fsync, and a hard link, which fails if the name exists. A swap is a rename under a
lock file. Both end with an fsync of the directory, so that what was reported as written is there after a power cut.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bundles.errors import ConflictError, NameTakenError, NotFoundError, UnreachableError
from bundles.store.protocol import check_key, check_prefix, is_own_name

_TEMPORARY = ".tmp"
_LOCK = ".lock"


class DirectoryStore:
    """Keys are paths below a root, which the first write creates."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def url(self) -> str:
        """The address that `open_store` takes."""
        return self.root.absolute().as_uri()

    def exists(self) -> bool:
        """Tell whether the root is there."""
        with self._failures_of(""):
            return self._has_root()

    def get(self, key: str) -> bytes:
        """Return the content of a key, or raise NotFoundError."""
        content = self._read(key)
        if content is None:
            raise NotFoundError(f"The store {self.url} has no {key}. Check the id, or the address of the store.")
        return content

    def put_if_absent(self, key: str, content: bytes) -> bool:
        """Create a key durably; False if it was there with the same content, NameTakenError if with other content."""
        path = self.root / check_key(key)
        with self._failures_of(key):
            created = not path.exists() and self._link(path, content)
            if not created:
                self._sync_directory(path.parent)  # another writer's link may not be durable yet
        if not created and self._read(key) != content:
            raise NameTakenError(
                f"{key} in {self.url} already holds other content and never changes. Choose another name."
            )
        return created

    def get_versioned(self, key: str) -> tuple[bytes, str] | None:
        """Return content and version (SHA-256 of the content) of a key, or None."""
        content = self._read(key)
        return None if content is None else (content, _version(content))

    def compare_and_swap(self, key: str, content: bytes, expected_version: str | None) -> str:
        """Replace the content if the version is still the expected one; return the new version."""
        path = self.root / check_key(key)
        with self._failures_of(key), self._locked():
            current = self._read(key)
            if (None if current is None else _version(current)) != expected_version:
                raise ConflictError(f"{key} in {self.url} was changed by someone else. Read it again and decide again.")
            self._make_directory(path.parent)
            temporary = self._write_temporary(content)
            try:
                temporary.replace(path)
            except OSError:
                temporary.unlink(missing_ok=True)
                raise
            self._sync_directory(path.parent)
        return _version(content)

    def list(self, prefix: str) -> Iterator[str]:
        """Yield the keys that begin with a prefix, in order of their bytes."""
        folder = check_prefix(prefix).rpartition("/")[0]
        return self._walk(self.root / folder, f"{folder}/" if folder else "", prefix)

    def _walk(self, folder: Path, path_prefix: str, prefix: str) -> Iterator[str]:
        with self._failures_of(prefix):
            try:
                with os.scandir(folder) as entries:
                    names = sorted(entry.name + "/" * entry.is_dir() for entry in entries)
            except (FileNotFoundError, NotADirectoryError):
                self._has_root()
                return
        for name in names:
            key = path_prefix + name
            if is_own_name(key) or not (key.startswith(prefix) or prefix.startswith(key)):
                continue
            if name.endswith("/"):
                yield from self._walk(folder / name, key, prefix)
            elif key.startswith(prefix):
                yield key

    def _read(self, key: str) -> bytes | None:
        with self._failures_of(key):
            try:
                with open(f"{self.root}/{check_key(key)}", "rb", buffering=0) as file:  # noqa: PTH123 -- twice as fast
                    return file.readall()
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                self._has_root()
                return None

    def _has_root(self) -> bool:
        """Tell whether the root is there; OSError if it is, or lies below, something that is no directory."""
        try:
            with os.scandir(self.root):
                return True
        except FileNotFoundError:
            return False

    def _link(self, path: Path, content: bytes) -> bool:
        self._make_directory(path.parent)
        temporary = self._write_temporary(content)
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        finally:
            temporary.unlink()
        self._sync_directory(path.parent)
        return True

    def _write_temporary(self, content: bytes) -> Path:
        self._make_directory(self.root / _TEMPORARY)
        path = self.root / _TEMPORARY / secrets.token_hex(16)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        return path

    def _make_directory(self, path: Path) -> None:
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        path.mkdir(parents=True, exist_ok=True)
        for folder in missing:
            self._sync_directory(folder.parent)

    @staticmethod
    def _sync_directory(path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._make_directory(self.root)
        descriptor = os.open(self.root / _LOCK, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # per open file: excludes threads as well as processes
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def _failures_of(self, key: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UnreachableError(
                f"The store {self.url} cannot be used for {key or 'listing'}: {error.strerror or error}. "
                "Check that the directory exists, is yours to write, has room, and supports hard links."
            ) from error


def _version(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
