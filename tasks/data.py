"""Steps that choose the data of evaluations that nobody chose the data for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from bundles.errors import LadderError, NotFoundError
from bundles.evidence import Dataset
from evals.market.datasets import SymbolFiles, build_dataset, list_symbols
from evals.recordings.reading import read_header
from evals.recordings.schema import DOCUMENT_NAME, EdgeRecording
from tasks.places import open_catalog

CURVE_DAYS: Final = 6
"""The day itself and those before it, from which a curve of volume is learned."""


@dataclass(frozen=True)
class Recorded:
    """A deployment's recording: its folder, and the venues on which it was made, in order."""

    folder: Path
    venues: tuple[str, ...]


@dataclass(frozen=True)
class DayOfData:
    """The newest day of a symbol: its market data, the parent orders of that day, and what deployments recorded.

    Below the data root, parent orders lie at ``parents/symbol=<s>/date=<YYYY-MM-DD>/*.parquet`` (one file), recordings
    at ``recordings/<bundle id>/date=<YYYY-MM-DD>``.
    """

    home: Dataset
    """The venue on which algos run."""
    venues: tuple[Dataset, ...]
    """All venues of the symbol that have the day."""
    history: tuple[Dataset, ...]
    """The same with the days before, for policies that learn a curve of volume; empty if none does."""
    parents: Path | None
    recordings: Mapping[str, Recorded]
    """By bundle id."""
    told: str


@task(task_run_name="choose the data", cache_policy=NO_CACHE)
def newest_day(venue: str | None, symbol: str | None, *, data: Path, store: str, curves: bool) -> DayOfData:
    """Register the newest UTC day among the tapes of a venue and symbol (None: any), and find what belongs to it.

    With ``curves`` the days before are registered, too.

    Raises:
        NotFoundError: when the data root holds no tape of that venue and symbol.

    """
    held = list_symbols(data)
    fitting = [
        each for each in held if (venue is None or each.venue == venue) and (symbol is None or each.symbol == symbol)
    ]
    if not fitting:
        wanted = " ".join(part for part in (venue, symbol) if part) or "any symbol"
        raise NotFoundError(
            f"{data} holds no tape of {wanted}. Import one: sequence data import …, or set SEQUENCE_DATA."
        )
    latest = max(fitting, key=lambda listing: (listing.files[-1][0], listing.venue, listing.symbol))
    day = latest.files[-1][0]
    catalog = open_catalog(store)

    def registered(listing: SymbolFiles, days: int = 1) -> Dataset:
        start = day - timedelta(days=days - 1)
        dataset = build_dataset(data, listing.venue, listing.symbol, start=start, end=day)
        catalog.register_dataset(dataset)
        return dataset

    same = [each for each in held if each.symbol == latest.symbol and any(when == day for when, _ in each.files)]
    datasets = {each.venue: registered(each) for each in same}
    history = tuple(registered(each, CURVE_DAYS) for each in same) if curves else ()
    found = (data / "parents" / f"symbol={latest.symbol}" / f"date={day}").glob("*.parquet")
    orders = sorted(path for path in found if not path.name.startswith("."))
    recordings = {
        folder.parent.name: Recorded(folder, _venues_of(folder))
        for folder in sorted((data / "recordings").glob(f"*/date={day}"))
        if (folder / DOCUMENT_NAME).is_file()
    }
    told = f"{latest.symbol} on {day} ({latest.venue} of {', '.join(datasets)})"
    get_run_logger().info("%s", told)
    return DayOfData(
        home=datasets[latest.venue],
        venues=tuple(datasets.values()),
        history=history,
        parents=orders[-1] if orders else None,
        recordings=recordings,
        told=told,
    )


def _venues_of(folder: Path) -> tuple[str, ...]:
    """Return the venues of a recording; none if it cannot be read, which its review tells with the reason."""
    try:
        document = read_header((folder / DOCUMENT_NAME).read_bytes(), str(folder))
    except (LadderError, OSError):
        return ()
    return (document.venue,) if isinstance(document, EdgeRecording) else document.venues
