"""Ends an algo from outside: when its time is up, and at Ctrl-C.

While a kernel runs, Python cannot call the handler of a signal: a loop within its fuel would keep Ctrl-C waiting. The
interpreter does write each signal's number into a socket, though, and a thread that waits there stops the guest; then
the kernel returns and whoever handles SIGINT in this process does so as always.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final

_OVER: Final = b"\0"
"""No signal has this number."""


class Interrupted(Exception):  # noqa: N818 -- not an error of anything: the wall-clock net closed
    """The wall-clock limit ended a callback."""


class Watch:
    """Calls ``interrupt`` from another thread after ``limit_s`` seconds, or at once at SIGINT.

    Only the main thread hears of signals; elsewhere there is the limit alone. Two watches must not overlap in time.
    """

    def __init__(self, limit_s: float, interrupt: Callable[[], None]) -> None:
        self._deadline = time.monotonic() + limit_s
        self._interrupt = interrupt
        self._told = False
        self._former: int | None = None

    def __enter__(self) -> None:
        self._reader, self._writer = socket.socketpair()
        self._writer.setblocking(False)
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._thread.start()
        if threading.current_thread() is threading.main_thread():
            self._former = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        """Stop watching.

        Raises:
            KeyboardInterrupt: if SIGINT ended the algo and its handler let that pass.

        """
        if self._former is not None:
            signal.set_wakeup_fd(self._former)
        self._writer.send(_OVER)
        self._thread.join()
        self._reader.close()
        self._writer.close()
        if self._told and kind is Interrupted:
            raise KeyboardInterrupt

    def _wait(self) -> None:
        while True:
            try:
                self._reader.settimeout(max(self._deadline - time.monotonic(), 0.001))
                numbers = self._reader.recv(64)
            except TimeoutError:
                self._interrupt()
                self._deadline = float("inf") if self._deadline == float("inf") else time.monotonic() + 3_600
                continue
            if signal.SIGINT in numbers:
                self._told = True
                self._interrupt()
            if self._former is not None and self._former >= 0:
                with contextlib.suppress(OSError):
                    os.write(self._former, numbers.rstrip(_OVER))
            if _OVER in numbers:
                return
