"""What the demo says while it runs."""

from __future__ import annotations

import sys
import time
from typing import Final

_BEGAN: Final = time.monotonic()


def progress(text: str) -> None:
    """Say what happens now, after how many seconds."""
    say(f"{time.monotonic() - _BEGAN:4.0f} s  {text}")


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
