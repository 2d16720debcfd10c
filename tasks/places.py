"""Where a flow finds the store and the tapes: its parameters, else the worker's environment, else the user's home."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from bundles.catalog import Catalog
from bundles.store import open_store


def store_url(store: str | None) -> str:
    """Return the store's address: the parameter, else ``SEQUENCE_STORE``, else ``~/.sequence/store``."""
    return store or os.environ.get("SEQUENCE_STORE") or f"file://{Path.home() / '.sequence' / 'store'}"


def data_root(data: str | None) -> Path:
    """Return the folder of the tapes: the parameter, else ``SEQUENCE_DATA``, else ``~/.sequence/data``."""
    return Path(data or os.environ.get("SEQUENCE_DATA") or Path.home() / ".sequence" / "data")


def open_catalog(store: str | None) -> Catalog:
    """Return the catalog of a store (see :func:`store_url`), opened once for each address."""
    return _open(store_url(store), os.environ.get("SEQUENCE_S3_ENDPOINT"))


@cache
def _open(url: str, s3_endpoint: str | None) -> Catalog:
    return Catalog(open_store(url, s3_endpoint=s3_endpoint))
