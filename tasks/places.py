"""Where a flow finds the store and the tapes: its parameters, else the settings of the worker that runs it.

Parameters of flows are plain texts, which Prefect's form shows as one field; an empty one says nothing.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from bundles.catalog import Catalog
from bundles.runners import Runner, this_runner
from bundles.settings import load_settings
from bundles.store import open_store


def data_root(data: str) -> Path:
    """Return the folder of the tapes."""
    return load_settings(data=data).data_root


def worker_name() -> str:
    """Return the name by which the roster may know this worker as a runner."""
    return load_settings().runner


def worker() -> Runner:
    """Return this worker as a runner of evaluations, with the key that signs them."""
    return this_runner(load_settings())


def open_catalog(store: str) -> Catalog:
    """Return the catalog of a store, opened once for each address."""
    settings = load_settings(store=store)
    return _open(settings.store, settings.s3_endpoint)


@cache
def _open(url: str, s3_endpoint: str | None) -> Catalog:
    return Catalog(open_store(url, s3_endpoint=s3_endpoint))
