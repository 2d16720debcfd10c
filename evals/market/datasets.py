"""Datasets: fixed lists of tape files below a data root, with digests that are verified before use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from bundles.errors import NotFoundError
from bundles.evidence import Dataset, Partition
from evals.errors import TapeError
from evals.market.dataset_tape import DatasetTape
from evals.market.joining import joined_chunks, joined_info
from evals.market.parquet import TapeFile
from evals.market.partitions import day_of_folder, digest_of_file, of_its_day, unchanged
from evals.market.schema import TapeInfo
from evals.market.source import CHUNK_ROWS, Columns
from evals.market.tape import Tape, gathered, opened
from evals.market.validation import ValidationReport, Validator


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
                (day_of_folder(day_folder), path)
                for _, day_folder in _partitions(folder, "date")
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
    building = _Building(root, find_files(root, venue, symbol, start, end), (venue, symbol))
    validator = Validator()
    for chunk in joined_chunks(building.files()):
        validator.take(chunk)
    report = validator.report(joined_info(building.infos))
    report.raise_if_refused(f"{venue} {symbol} in {root}")
    partitions = tuple(building.partitions)
    return Dataset(venue=venue, symbol=symbol, partitions=partitions, validation=report.summary), report


def open_dataset(root: Path, dataset: Dataset, chunk_rows: int = CHUNK_ROWS) -> DatasetTape:
    """Open a dataset's tape for reading in chunks of at most ``chunk_rows``.

    Every reading verifies each file's size and digest before it yields the first of the file's rows.

    Raises:
        NotFoundError: if a file is not below the data root.
        IntegrityError: if a file has another size than the dataset names, or is no tape because it was changed. While
            reading also if a file's bytes are not those that the dataset names.
        TapeError: if the files are of different instruments. While reading also if a file lies under another day than
            its rows, or begins before its predecessor ends.

    """
    return DatasetTape(root, dataset, chunk_rows)


def load_dataset(root: Path, dataset: Dataset) -> Tape:
    """Read a dataset's tape whole, verifying every file's size and digest first; see :func:`open_dataset`."""
    source = open_dataset(root, dataset)
    return gathered(source.info, source.chunks(), sum(partition.rows for partition in dataset.partitions))


class _Building:
    """The files of a dataset that is being built, and what was noted of each while it was read."""

    def __init__(self, root: Path, paths: Sequence[Path], folders: tuple[str, str]) -> None:
        self.partitions: list[Partition] = []
        self.infos: list[tuple[str, TapeInfo]] = []
        self._root = root
        self._paths = paths
        self._folders = folders

    def files(self) -> Iterator[tuple[str, TapeInfo, Iterator[Columns]]]:
        for path in self._paths:
            with opened(path) as file, unchanged(file, path):
                size_bytes, digest = digest_of_file(file)
                tape_file = TapeFile(file, str(path))
                self._check_folders(path, tape_file.info)
                self.infos.append((str(path), tape_file.info))
                ends = _Ends()
                chunks = of_its_day(path, tape_file.info.opening_rows, tape_file.chunks())
                yield str(path), tape_file.info, ends.noted(chunks)
            key = path.relative_to(self._root).as_posix()
            self.partitions.append(
                Partition(
                    key=key,
                    digest=digest,
                    size_bytes=size_bytes,
                    rows=tape_file.rows,
                    first_ns=ends.first_ns,
                    last_ns=ends.last_ns,
                )
            )

    def _check_folders(self, path: Path, info: TapeInfo) -> None:
        held = info.instrument.venue, info.instrument.symbol
        if held != self._folders:
            raise TapeError(
                f"{path} says that it holds {' '.join(held)}, but lies under {' '.join(self._folders)}. "
                "Move it to its own folder, or correct its metadata."
            )


class _Ends:
    """The first and the last receive time of chunks that pass by."""

    first_ns = 0
    last_ns = 0

    def noted(self, chunks: Iterator[Columns]) -> Iterator[Columns]:
        for number, chunk in enumerate(chunks):
            if number == 0:
                self.first_ns = int(chunk.receive_ns[0])
            self.last_ns = int(chunk.receive_ns[-1])
            yield chunk


def _partitions(folder: Path, key: str) -> Iterator[tuple[str, Path]]:
    """Yield value and path of the hive folders ``<key>=<value>`` in sorted order."""
    if folder.is_dir():
        for path in sorted(folder.glob(f"{key}=*")):
            if path.is_dir():
                yield path.name.removeprefix(f"{key}="), path
