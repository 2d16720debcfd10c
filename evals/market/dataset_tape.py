"""The tape of a dataset, verified and read one file and one chunk at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path

from bundles.errors import IntegrityError, NotFoundError
from bundles.evidence import Dataset, Partition
from evals.errors import TapeError
from evals.market.joining import joined_chunks, joined_info
from evals.market.parquet import TapeFile
from evals.market.partitions import digest_of_file, of_its_day, unchanged
from evals.market.schema import TapeInfo
from evals.market.source import Columns


class DatasetTape:
    """The tape of a dataset, as a source that holds one chunk at a time."""

    def __init__(self, root: Path, dataset: Dataset, chunk_rows: int) -> None:
        self._root = root
        self._dataset = dataset
        self._chunk_rows = chunk_rows
        self._infos = [(part.key, self._peek(part)) for part in dataset.partitions]
        self.info = joined_info(self._infos)

    def chunks(self) -> Iterator[Columns]:
        """Read from the beginning."""
        return joined_chunks(
            (name, info, self._verified_chunks(partition, info))
            for (name, info), partition in zip(self._infos, self._dataset.partitions, strict=True)
        )

    def _peek(self, partition: Partition) -> TapeInfo:
        """Read what a file says about itself; whether it is the right file is seen again at each reading."""
        with self._found(partition) as file:
            if os.fstat(file.fileno()).st_size == partition.size_bytes:
                with suppress(TapeError):
                    return TapeFile(file, partition.key).info
            self._verify(partition, file)
            return TapeFile(file, partition.key).info

    def _verified_chunks(self, partition: Partition, info: TapeInfo) -> Iterator[Columns]:
        path = self._path(partition)
        with self._found(partition) as file, unchanged(file, path):
            self._verify(partition, file)
            tape_file = TapeFile(file, partition.key)
            if tape_file.info != info:
                raise IntegrityError(
                    f"{path} was another file when dataset {self._dataset.dataset_id} was opened. "
                    "Run this again, and leave tape files alone meanwhile."
                )
            yield from of_its_day(Path(partition.key), info.opening_rows, tape_file.chunks(self._chunk_rows))

    def _path(self, partition: Partition) -> Path:
        path = (self._root / partition.key).resolve()
        if not path.is_relative_to(self._root.resolve()):
            raise IntegrityError(
                f"Dataset {self._dataset.dataset_id} names {partition.key!r}, outside the data root. Build it again."
            )
        return path

    @contextmanager
    def _found(self, partition: Partition) -> Iterator[BufferedReader]:
        path = self._path(partition)
        try:
            with path.open("rb") as file:
                yield file
        except OSError as error:
            raise NotFoundError(
                f"{path} of dataset {self._dataset.dataset_id} cannot be read ({error.strerror}). "
                "Point the data root at where the file lies, or copy it back."
            ) from error

    def _verify(self, partition: Partition, file: BufferedReader) -> None:
        size_bytes, digest = digest_of_file(file)
        if (size_bytes, digest) != (partition.size_bytes, partition.digest):
            raise IntegrityError(
                f"{self._path(partition)} is not the file that dataset {self._dataset.dataset_id} was built from: "
                f"{size_bytes} bytes, {digest} instead of {partition.size_bytes} bytes, {partition.digest}. "
                "Restore the original file, or build a new dataset from this one."
            )
