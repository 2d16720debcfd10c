"""Steps that choose the market data of an evaluation."""

from __future__ import annotations

from pathlib import Path

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from bundles.errors import NotFoundError
from bundles.evidence import Dataset
from evals.market.datasets import build_dataset, list_symbols
from tasks.places import open_catalog


@task(task_run_name="newest dataset", cache_policy=NO_CACHE)
def newest_dataset(venue: str | None, symbol: str | None, *, data: Path, store: str) -> Dataset:
    """Register and return the newest UTC day among the tapes of a venue and symbol (None: any).

    Raises:
        NotFoundError: when the data root holds no tape of that venue and symbol.

    """
    held = [
        listing
        for listing in list_symbols(data)
        if (venue is None or listing.venue == venue) and (symbol is None or listing.symbol == symbol)
    ]
    if not held:
        wanted = " ".join(part for part in (venue, symbol) if part) or "any symbol"
        raise NotFoundError(
            f"{data} holds no tape of {wanted}. Import one: sequence data import …, or set SEQUENCE_DATA."
        )
    latest = max(held, key=lambda listing: (listing.files[-1][0], listing.venue, listing.symbol))
    day = latest.files[-1][0]
    dataset = build_dataset(data, latest.venue, latest.symbol, start=day, end=day)
    open_catalog(store).register_dataset(dataset)
    get_run_logger().info("%s: %s %s on %s", dataset.dataset_id, latest.venue, latest.symbol, day)
    return dataset
