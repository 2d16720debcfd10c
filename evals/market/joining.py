"""Files of one instrument, in order, become one tape."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from evals.errors import TapeError
from evals.market.days import continues, same_import
from evals.market.rules import utc
from evals.market.schema import TapeInfo
from evals.market.source import Columns


def joined_info(named: Sequence[tuple[str, TapeInfo]]) -> TapeInfo:
    """Return the info of a joined tape: the first file's, with the ``feed`` counts of every import added up.

    Raises:
        TapeError: for no files at all, and for files of different instruments.

    """
    if not named:
        raise TapeError("No tape files were given. Name at least one parquet file.")
    feed: dict[str, int] = {}
    imports: list[TapeInfo] = []
    for name, info in named:
        _check_instrument(named[0], (name, info))
        if not any(same_import(info, other) for other in imports):
            imports.append(info)
            for key, count in info.feed.items():
                feed[key] = feed.get(key, 0) + count
    return named[0][1].model_copy(update={"feed": feed})


def joined_chunks(files: Iterable[tuple[str, TapeInfo, Iterator[Columns]]]) -> Iterator[Columns]:
    """Yield the chunks of one file after the other, each named for errors.

    The opening of a file that goes on where its predecessor ends is left out.

    Raises:
        TapeError: for another instrument than the first file's, and for a file that begins before its predecessor ends.

    """
    first: tuple[str, TapeInfo] | None = None
    earlier: tuple[str, TapeInfo] | None = None
    ends = 0
    for name, info, chunks in files:
        first = first or (name, info)
        _check_instrument(first, (name, info))
        left_out = info.opening_rows if earlier and continues(ends, earlier[1], info) else 0
        for number, chunk in enumerate(chunks):
            begins = int(chunk.receive_ns[0])
            if earlier and number == 0 and begins < ends:
                raise TapeError(
                    f"{name} begins at {utc(begins)}, before {earlier[0]} ends ({utc(ends)}). "
                    "Give the files in time order; if they overlap, remove the duplicate."
                )
            ends = int(chunk.receive_ns[-1])
            if left_out < len(chunk):
                yield chunk.cut(left_out, len(chunk)) if left_out else chunk
            left_out = max(0, left_out - len(chunk))
        earlier = name, info


def _check_instrument(first: tuple[str, TapeInfo], other: tuple[str, TapeInfo]) -> None:
    if other[1].instrument != first[1].instrument:
        raise TapeError(
            f"{other[0]} describes another instrument (or other fees) than {first[0]}. "
            "Read them as two tapes, or import them again with the same instrument facts."
        )
