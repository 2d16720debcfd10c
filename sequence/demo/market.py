"""The demo's market data: a real sample to replay on, a synthetic hour for shadow, synthetic venues to route over."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bundles.errors import UnreachableError
from sequence.demo.telling import progress

if TYPE_CHECKING:
    from bundles.catalog import Catalog
    from evals.market.tape import Tape

HOUR_S: Final = 3_601
"""An hour and a little: the shipped policy wants to see 3,600 s from shadow and sandbox on."""

VENUES: Final = {"alpha": 500, "beta": 300, "gamma": 400}
"""Synthetic venues and their taker fees in ppm."""

_PARENTS: Final = 400


@dataclass(frozen=True)
class Market:
    """What the demo judges on: ids of datasets, and the parent orders."""

    sample: str
    hour: str
    venues: tuple[str, ...]
    parents: Path


def prepare_market(out: Path, catalog: Catalog, data: Path) -> Market:
    """Import and make everything, and register it."""
    from evals.market.synthetic import synthetic_tape

    sample = _registered(catalog, data, _sample())
    progress("Market data: making an hour of a SYNTHETIC market, and three venues of it")
    hour, venues = synthetic_tape(42, duration_s=HOUR_S), synthetic_tapes(HOUR_S)
    parents = out / "parents.parquet"
    _write_parents(parents, venues[0])
    return Market(
        sample=sample,
        hour=_registered(catalog, data, hour),
        venues=tuple(_registered(catalog, data, tape) for tape in venues),
        parents=parents,
    )


def _sample() -> Tape:
    from evals.market.gdax import import_gdax
    from evals.market.synthetic import synthetic_tape
    from sequence.sample import fetch_sample

    progress("Market data: fetching the real sample, once")
    try:
        book, messages = fetch_sample(Path(".cache/sample").absolute())
    except UnreachableError as error:
        progress(f"The real sample cannot be had: {error}\nThis run uses a SYNTHETIC market instead.")
        return synthetic_tape(7, start_ns=_DAY_BEFORE_NS)
    progress("Market data: importing 9.7 minutes of every order, and validating")
    return import_gdax(book, messages)


_DAY_BEFORE_NS: Final = 1_767_139_200 * 10**9
"""2025-12-31: the synthetic hour follows on the day after."""


def synthetic_tapes(duration_s: int) -> list[Tape]:
    """Return the tapes of the synthetic venues."""
    from evals.market.synthetic import DEFAULT_INSTRUMENT, synthetic_venues

    instruments = [
        DEFAULT_INSTRUMENT.model_copy(update={"venue": venue, "taker_fee_ppm": fee}) for venue, fee in VENUES.items()
    ]
    return synthetic_venues(42, instruments, duration_s=duration_s)


def _write_parents(path: Path, tape: Tape) -> None:
    from evals.parents.calibration import calibrate
    from evals.parents.generator import GENERATOR, GENERATOR_VERSION, Wanted, generate_parents
    from evals.parents.parquet import write_parents

    found = generate_parents(calibrate(tape), Wanted(count=_PARENTS, size_multiple=100), seed=42)
    path.write_bytes(write_parents(found, importer=GENERATOR, importer_version=GENERATOR_VERSION))


def _registered(catalog: Catalog, data: Path, tape: Tape) -> str:
    """Write a tape below the data root and register it as a dataset; return the id."""
    from evals.market.datasets import build_dataset
    from evals.market.tape import write_tape

    files = write_tape(data, tape)
    instrument = tape.info.instrument
    # Its own days only: without the real sample another tape of the same venue lies beside the hour.
    first, last = (date.fromisoformat(path.parent.name.removeprefix("date=")) for path in (files[0], files[-1]))
    dataset = build_dataset(data, instrument.venue, instrument.symbol, first, last)
    progress(
        f"Market data: {dataset.dataset_id}, {len(tape.events):,} events of {instrument.venue} {instrument.symbol}"
    )
    return catalog.register_dataset(dataset)
