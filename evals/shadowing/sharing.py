"""One reading of a tape for several runs that go at their own pace in threads of their own."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from evals.market.schema import TapeInfo
    from evals.market.source import Columns, TapeSource

_AHEAD_CHUNKS: Final = 16
"""So many chunks may one reader be ahead of another before it waits."""
_PATIENCE_S: Final = 1.0
"""So long: several tapes that are read in different orders must not wait for each other for ever."""


class Stopped(Exception):  # noqa: N818 -- not an error of anything: nobody wants the rest any more
    """The reading was ended from outside."""


class SharedTape:
    """A tape whose chunks are read once and given to each of its readers.

    What goes wrong while reading is raised in every reader.
    """

    def __init__(self, source: TapeSource, readers: int) -> None:
        self.info = source.info
        self._source: Iterator[Columns] = iter(source.chunks())
        self._waiting: dict[int, deque[Columns]] = {reader: deque() for reader in range(readers)}
        self._changed = threading.Condition()
        self._is_read = False
        """Whether somebody is reading the next chunk."""
        self._is_over = False
        self._error: BaseException | None = None

    def reader(self, number: int) -> SharedReader:
        """Return the tape as one of the readers sees it, once."""
        return SharedReader(self, number)

    def stop(self) -> None:
        """End the reading; may be called from any thread."""
        with self._changed:
            self._error = self._error or Stopped()
            for waiting in self._waiting.values():
                waiting.clear()
            self._changed.notify_all()

    def leave(self, reader: int) -> None:
        """Keep nothing for a reader any more."""
        with self._changed:
            self._waiting.pop(reader, None)
            self._changed.notify_all()

    def take(self, reader: int) -> Columns | None:
        """Return a reader's next chunk, None after the last; waits while another reader reads it."""
        while True:
            with self._changed:
                own = self._waiting[reader]
                self._changed.wait_for(lambda: own or self._is_ended or self._may_be_read, _PATIENCE_S)  # noqa: B023
                if own:
                    self._changed.notify_all()
                    return own.popleft()
                if self._error is not None:
                    raise self._error
                if self._is_over:
                    return None
                if self._is_read:
                    continue
                self._is_read = True
            self._read()

    @property
    def _is_ended(self) -> bool:
        return self._is_over or self._error is not None

    @property
    def _may_be_read(self) -> bool:
        return not self._is_read and all(len(waiting) < _AHEAD_CHUNKS for waiting in self._waiting.values())

    def _read(self) -> None:
        """Read the next chunk for everybody; others may take what waits for them meanwhile."""
        chunk: Columns | None = None
        error: BaseException | None = None
        try:
            chunk = next(self._source, None)
        except BaseException as caught:
            error = caught
            raise
        finally:
            with self._changed:
                self._is_read = False
                self._is_over = chunk is None
                self._error = self._error or error
                if chunk is not None and self._error is None:
                    for waiting in self._waiting.values():
                        waiting.append(chunk)
                self._changed.notify_all()


class SharedReader:
    """A shared tape as one of its readers sees it: a tape that can be read once."""

    def __init__(self, tape: SharedTape, number: int) -> None:
        self._tape = tape
        self._number = number

    @property
    def info(self) -> TapeInfo:
        """What the tape says about itself."""
        return self._tape.info

    def chunks(self) -> Iterator[Columns]:
        """Read from the beginning."""
        while (chunk := self._tape.take(self._number)) is not None:
            yield chunk

    def leave(self) -> None:
        """Read no more."""
        self._tape.leave(self._number)
