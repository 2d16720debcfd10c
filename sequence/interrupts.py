"""Ends the command at Ctrl-C with 130 and no traceback: while it loads, while it runs, while it closes.

Libraries that are being loaded, and callbacks of compiled code, sometimes swallow the exception that a signal raises.
It is therefore raised again every second until the command has noticed. A second Ctrl-C ends the process at once.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Final, NoReturn

EXIT_CODE: Final = 130
AGAIN_S: Final = 1.0

_noticed: Final[list[int]] = []
"""Signals so far; a list, so that the handlers need no global statement."""


def install() -> None:
    """Take over Ctrl-C, unless somebody else (nohup, a debugger) has."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGALRM, _raise)
        signal.signal(signal.SIGINT, _first)
        sys.unraisablehook = _unraisable


def settle() -> bool:
    """Stop raising; tells whether there was a Ctrl-C, whatever became of its exception."""
    if _noticed:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return bool(_noticed)


def _first(number: int, frame: FrameType | None) -> NoReturn:
    _noticed.append(number)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, AGAIN_S, AGAIN_S)
    _raise(number, frame)


def _raise(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _unraisable(problem: sys.UnraisableHookArgs) -> None:
    """Leave out what an interrupt makes of half-loaded libraries."""
    if not _noticed:
        sys.__unraisablehook__(problem)
