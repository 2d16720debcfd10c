"""Where everything is kept: one small interface, a directory or a bucket behind it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from bundles.errors import InvalidInputError
from bundles.store.directory import DirectoryStore
from bundles.store.protocol import ObjectStore

__all__ = ["ObjectStore", "open_store"]


def open_store(url: str, *, s3_endpoint: str | None = None) -> ObjectStore:
    """Return the store at ``file:///absolute/path`` or ``s3://bucket/prefix``; nothing is contacted yet.

    Raises:
        InvalidInputError: for any other address.

    """
    parts = urlsplit(url)
    if parts.query or parts.fragment or parts.username or parts.password:
        raise InvalidInputError(
            f"The store address {parts.scheme}://{parts.hostname or ''}{parts.path} has parts it cannot have. {_FORMS}"
        )
    if parts.scheme == "file" and parts.netloc in {"", "localhost"} and parts.path not in {"", "/"}:
        return DirectoryStore(Path(unquote(parts.path)))
    if parts.scheme == "s3" and parts.netloc:
        from bundles.store.s3 import S3Store  # boto3 costs a third of a second

        return S3Store(bucket=parts.netloc, prefix=unquote(parts.path).strip("/"), endpoint=s3_endpoint)
    raise InvalidInputError(f"{url!r} is not the address of a store. {_FORMS}")


_FORMS = "Use file:///absolute/path or s3://bucket/prefix."
