"""Datasets: fixed lists of tape files below a data root, with digests that are verified before use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from bundles.canonical import digest_of
from bundles.errors import IntegrityError, NotFoundError
from bundles.evidence import Dataset, Partition
from evals.errors import TapeError
from evals.market.days import days_of
from evals.market.tape import Tape, content_of, decode, join_tapes
from evals.market.validation import ValidationReport, validate


@dataclass(frozen=True)
class SymbolFiles:
    """What a data root holds of one symbol."""

    venue: str
    symbol: str
    files: tuple[tuple[date, Path], ...]
    """UTC day and path of each parquet file, in the order they are read."""

    @property
    def span(self) -> str:
        """First and last day, as printed in listings and errors."""
        return f"{self.files[0][0]} to {self.files[-1][0]}"


def list_symbols(root: Path) -> list[SymbolFiles]:
    """Return every symbol that has tape files below a data root, sorted by venue and symbol."""
    found: list[SymbolFiles] = []
    for venue, venue_folder in _partitions(root, "venue"):
        for symbol, folder in _partitions(venue_folder, "symbol"):
            files = tuple(
                (_day(day, day_folder), path)
                for day, day_folder in _partitions(folder, "date")
                for path in sorted(day_folder.glob("*.parquet"))
                if not path.name.startswith(".")
            )
            if files:
                found.append(SymbolFiles(venue, symbol, files))
    return found


def find_files(root: Path, venue: str, symbol: str, start: date | None = None, end: date | None = None) -> list[Path]:
    """Return the tape files of a symbol on the UTC days from ``start`` to ``end``, both included.

    Raises:
        NotFoundError: listing what there is instead.

    """
    held = list_symbols(root)
    for listing in held:
        if (listing.venue, listing.symbol) == (venue, symbol):
            chosen = [
                path for day, path in listing.files if (start is None or day >= start) and (end is None or day <= end)
            ]
            if chosen:
                return chosen
    wanted = f"{venue} {symbol} from {start or 'the beginning'} to {end or 'the end'}"
    there = "; ".join(f"{listing.venue} {listing.symbol} ({listing.span})" for listing in held) or "no tapes at all"
    raise NotFoundError(
        f"{root} holds no tape of {wanted}. It holds: {there}. Choose one of these, or import the data first."
    )


def build_dataset(root: Path, venue: str, symbol: str, start: date | None = None, end: date | None = None) -> Dataset:
    """Digest and validate the tape files of a symbol on the UTC days from ``start`` to ``end``, both included.

    Raises:
        NotFoundError: if there are none; lists what there is.
        TapeError: for a damaged file, one that lies under another day than its rows, or a tape that validation refuses.

    """
    return build_dataset_with_report(root, venue, symbol, start, end)[0]


def build_dataset_with_report(
    root: Path, venue: str, symbol: str, start: date | None = None, end: date | None = None
) -> tuple[Dataset, ValidationReport]:
    """Do as :func:`build_dataset` does, and return the whole validation report as well."""
    partitions: list[Partition] = []
    tapes: list[tuple[str, Tape]] = []
    for path in find_files(root, venue, symbol, start, end):
        content = content_of(path)
        tape = decode(content, str(path))
        _check_day(path, tape)
        instrument = tape.info.instrument
        if (instrument.venue, instrument.symbol) != (venue, symbol):
            raise TapeError(
                f"{path} says that it holds {instrument.venue} {instrument.symbol}, but lies under {venue} {symbol}. "
                "Move it to its own folder, or correct its metadata."
            )
        partitions.append(
            Partition(
                key=path.relative_to(root).as_posix(),
                digest=digest_of(content),
                size_bytes=len(content),
                rows=len(tape.events),
                first_ns=int(tape.events["receive_ns"][0]),
                last_ns=int(tape.events["receive_ns"][-1]),
            )
        )
        tapes.append((str(path), tape))
    report = validate(join_tapes(tapes))
    report.raise_if_refused(f"{venue} {symbol} in {root}")
    return Dataset(venue=venue, symbol=symbol, partitions=tuple(partitions), validation=report.summary), report


def load_dataset(root: Path, dataset: Dataset) -> Tape:
    """Read a dataset's tape, verifying every file's size and digest first.

    Raises:
        NotFoundError: if a file is not below the data root.
        IntegrityError: if a file's bytes are not those that the dataset names.
        TapeError: if a file lies under another day than its rows.

    """
    named: list[tuple[str, Tape]] = []
    for partition in dataset.partitions:
        tape = decode(_verified(root, dataset, partition), partition.key)
        _check_day(Path(partition.key), tape)
        named.append((partition.key, tape))
    return join_tapes(named)


def _check_day(path: Path, tape: Tape) -> None:
    """Refuse rows that lie under another day than their own: days are chosen by their folders."""
    day = _day(path.parent.name.removeprefix("date="), path.parent)
    first, last = days_of(tape.events, tape.info)
    if first != day or last != day:
        held = f"{first}" if first == last else f"{first} to {last}"
        raise TapeError(
            f"{path} lies under the UTC day {day}, but its rows are of {held}. "
            f"Move it to the folder date={first}, or import the capture again."
        )


def _verified(root: Path, dataset: Dataset, partition: Partition) -> bytes:
    path = (root / partition.key).resolve()
    if not path.is_relative_to(root.resolve()):
        raise IntegrityError(
            f"Dataset {dataset.dataset_id} names {partition.key!r}, outside the data root. Build it again."
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise NotFoundError(
            f"{path} of dataset {dataset.dataset_id} cannot be read ({error.strerror}). "
            "Point the data root at where the file lies, or copy it back."
        ) from error
    if len(content) != partition.size_bytes or digest_of(content) != partition.digest:
        raise IntegrityError(
            f"{path} is not the file that dataset {dataset.dataset_id} was built from: "
            f"{len(content)} bytes, {digest_of(content)} instead of {partition.size_bytes} bytes, {partition.digest}. "
            "Restore the original file, or build a new dataset from this one."
        )
    return content


def _partitions(folder: Path, key: str) -> Iterator[tuple[str, Path]]:
    """Yield value and path of the hive folders ``<key>=<value>`` in sorted order."""
    if folder.is_dir():
        for path in sorted(folder.glob(f"{key}=*")):
            if path.is_dir():
                yield path.name.removeprefix(f"{key}="), path


def _day(text: str, folder: Path) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise TapeError(f"{folder} is not a UTC day. Name the folder date=YYYY-MM-DD.") from error
