"""`sequence data`: market data, from captures to datasets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bundles.errors import NotFoundError
from sequence.cli.layout import columns
from sequence.cli.markets import DAY, VENUE_AND_SYMBOL
from sequence.cli.parents import parents
from sequence.cli.session import Group, Session, pass_session

if TYPE_CHECKING:
    from evals.market.schema import Instrument
    from evals.market.tape import Tape


@click.group(cls=Group)
def data() -> None:
    """Import and check recorded market data: tapes in parquet, and the datasets that evaluations cite."""


data.add_command(parents)


@data.command("import")
@click.argument("capture", type=click.Choice(["binance", "gdax"]), metavar="FORMAT")
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--market", type=click.Choice(["spot", "usdm", "coinm"]), help="Which Binance market (needed for binance)"
)
@click.option(
    "--instrument",
    "instrument_path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="JSON file with the trading rules and fees of a symbol that is not built in",
)
@pass_session
def import_captures(
    session: Session, capture: str, paths: tuple[Path, ...], market: str | None, instrument_path: Path | None
) -> None:
    """Import captures of FORMAT (binance: files of one stream in order; gdax: start book, then messages)."""
    instrument = None if instrument_path is None else _instrument(instrument_path)
    session.say(f"Reading {', '.join(path.name for path in paths)}")
    if capture == "binance":
        from evals.market.binance import BTC_INSTRUMENTS, import_binance

        chosen = next((each for each in BTC_INSTRUMENTS if each == market), None)
        if chosen is None:
            raise click.UsageError(
                "Missing option '--market'. Say which market the capture is of: spot, usdm or coinm."
            )
        _store(session, import_binance(paths, market=chosen, instrument=instrument))
        return
    from evals.market.gdax import BTC_USD, import_gdax

    if market is not None or len(paths) != 2:
        raise click.UsageError("gdax takes two files, the start book and the messages, and no --market.")
    _store(session, import_gdax(paths[0], paths[1], instrument=instrument or BTC_USD))


@data.command()
@click.option("--seed", default=42, show_default=True, help="The same seed makes the same market")
@click.option("--duration", "duration_s", default=600, show_default=True, help="Seconds")
@click.option("--rate", "packets_per_s", default=100, show_default=True, help="Packets a second, on average")
@click.option(
    "--start",
    type=click.DateTime(formats=["%Y-%m-%d"]),
    metavar="YYYY-MM-DD",
    help="UTC day on which it begins  [default: 2026-01-01]",
)
@click.option("--venues", metavar="LIST", help="Several venues with one fair price, their names separated by commas")
@pass_session
def synthesize(
    session: Session, seed: int, duration_s: int, packets_per_s: int, start: datetime | None, venues: str | None
) -> None:
    """Make a synthetic BTC-USD market for trying things out, at the venue 'synthetic' or at several that are named."""
    from bundles.canonical import read_document
    from evals.market.schema import Instrument
    from evals.market.synthetic import DEFAULT_INSTRUMENT, DEFAULT_START_NS, synthetic_tape, synthetic_venues

    session.progress(f"Making a market of {duration_s:,} s")
    start_ns = DEFAULT_START_NS if start is None else int(start.replace(tzinfo=UTC).timestamp()) * 10**9
    if venues is None:
        tape = synthetic_tape(seed, duration_s=duration_s, packets_per_s=packets_per_s, start_ns=start_ns)
        _store(session, tape)
        return
    facts = DEFAULT_INSTRUMENT.model_dump()
    instruments = [read_document(Instrument, facts | {"venue": name.strip()}, "--venues") for name in venues.split(",")]
    tapes = synthetic_venues(seed, instruments, duration_s=duration_s, packets_per_s=packets_per_s, start_ns=start_ns)
    stored = [_stored(session, tape) for tape in tapes]
    session.emit([document for document, _ in stored], [line for _, lines in stored for line in lines])


@data.command("validate")
@click.argument("targets", nargs=-1, required=True, metavar="DATASET|PATH...")
@pass_session
def validate_tapes(session: Session, targets: tuple[str, ...]) -> None:
    """Validate a dataset (its digests too), or parquet files and folders of them as one tape; exit 5 if refused."""
    from evals.errors import TapeError
    from evals.market.datasets import open_dataset
    from evals.market.source import TapeSource
    from evals.market.tape import TapeFiles
    from evals.market.validation import validate

    if len(targets) == 1 and targets[0].startswith("data_") and not Path(targets[0]).exists():
        tape: TapeSource = open_dataset(session.settings.data_root, session.catalog.dataset(targets[0]))
    else:
        tape = TapeFiles(_parquet_files(targets))
    report = validate(tape)
    session.emit(report.document(), report.text().splitlines())
    if report.refuse:
        raise click.exceptions.Exit(TapeError.exit_code)


@data.command("register")
@click.argument("tape", type=VENUE_AND_SYMBOL, metavar="VENUE/SYMBOL")
@click.option("--start", type=DAY, metavar="YYYY-MM-DD", help="First UTC day. Default: the first that is recorded")
@click.option("--end", type=DAY, metavar="YYYY-MM-DD", help="Last UTC day, included. Default: the last one")
@pass_session
def register(session: Session, tape: tuple[str, str], start: datetime | None, end: datetime | None) -> None:
    """Register days that lie below the data root as a dataset, which evaluations can name."""
    from evals.market.datasets import list_symbols

    root = session.settings.data_root
    held = [file for each in list_symbols(root) if (each.venue, each.symbol) == tape for file in each.files]
    if not held:
        raise NotFoundError(f"No tape of {'/'.join(tape)} lies below {root}. See what does: sequence data list")
    first, last = (start.date() if start else held[0][0]), (end.date() if end else held[-1][0])
    if last < first:
        raise click.UsageError(f"--end {last} lies before --start {first}.")
    files = [path for day, path in held if first <= day <= last]
    session.emit(*_registered(session, *tape, first, last, files))


@data.command("list")
@pass_session
def list_data(session: Session) -> None:
    """List the tapes below the data root and the datasets of the store."""
    from evals.market.datasets import list_symbols

    tapes = [
        {"venue": each.venue, "symbol": each.symbol, "days": each.span, "files": len(each.files)}
        for each in list_symbols(session.settings.data_root)
    ]
    datasets = [
        {
            "dataset": each.dataset_id,
            "venue": each.venue,
            "symbol": each.symbol,
            "files": len(each.partitions),
            "rows": sum(part.rows for part in each.partitions),
        }
        for each in session.catalog.datasets()
    ]
    session.emit(
        {"data_root": str(session.settings.data_root), "tapes": tapes, "datasets": datasets},
        [
            *columns(("VENUE", "SYMBOL", "DAYS", "FILES"), _rows(tapes)),
            "",
            *columns(("DATASET", "VENUE", "SYMBOL", "FILES", "ROWS"), _rows(datasets)),
        ],
    )


def _store(session: Session, tape: Tape) -> None:
    """Write a tape below the data root, register its days as a dataset, and show both."""
    session.emit(*_stored(session, tape))


def _stored(session: Session, tape: Tape) -> tuple[dict[str, Any], list[str]]:
    """Write a tape and register its days as a dataset; return what is shown of them."""
    from evals.market.tape import write_tape

    root = session.settings.data_root
    session.progress(f"Writing {len(tape.events):,} events of {tape.info.instrument.venue}")
    files = write_tape(root, tape)
    first, last = (date.fromisoformat(path.parent.name.removeprefix("date=")) for path in (files[0], files[-1]))
    instrument = tape.info.instrument
    return _registered(session, instrument.venue, instrument.symbol, first, last, files)


def _registered(
    session: Session, venue: str, symbol: str, first: date, last: date, files: Sequence[Path]
) -> tuple[dict[str, Any], list[str]]:
    """Register days of a tape as a dataset; return what is shown of it."""
    from evals.market.datasets import build_dataset_with_report

    session.progress(f"Validating {venue} {symbol}")
    dataset, report = build_dataset_with_report(session.settings.data_root, venue, symbol, first, last)
    session.catalog.register_dataset(dataset)
    document = {
        "dataset": dataset.dataset_id,
        "venue": dataset.venue,
        "symbol": dataset.symbol,
        "files": [str(path) for path in files],
        "events": sum(each.rows for each in dataset.partitions),
        "validation": report.document(),
    }
    lines = [
        f"Dataset: {dataset.dataset_id}",
        f"Instrument: {dataset.venue} {dataset.symbol}",
        *(f"Tape: {path}" for path in files),
        *report.text().splitlines(),
    ]
    return document, lines


def _instrument(path: Path) -> Instrument:
    from bundles.canonical import read_document
    from evals.market.schema import Instrument

    return read_document(Instrument, path.read_bytes(), str(path))


def _parquet_files(targets: Sequence[str]) -> list[Path]:
    from bundles.errors import NotFoundError

    found: list[Path] = []
    for target in map(Path, targets):
        held = sorted(target.rglob("*.parquet")) if target.is_dir() else [target]
        if not held or not target.exists():
            raise NotFoundError(
                f"{target} is neither a parquet file, nor a folder with any, nor a dataset's id (data_…)."
            )
        found += held
    return found


def _rows(documents: Sequence[dict[str, Any]]) -> list[list[str]]:
    return [[str(value) for value in document.values()] for document in documents]
