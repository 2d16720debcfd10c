"""Starts the command; ready for Ctrl-C before anything else is loaded."""

from __future__ import annotations

import os
import sys

from sequence import interrupts


def run() -> None:
    """Run the command and end the process with its exit code."""
    interrupts.install()
    code: object = interrupts.EXIT_CODE
    try:
        from sequence.cli import main

        main(prog_name="sequence")
    except SystemExit as ending:
        code = ending.code
    except BaseException:
        # An interrupt that meets a library while it is loaded comes out as any kind of exception.
        if not interrupts.settle():
            raise
        sys.stderr.write("Interrupted.\n")
    if interrupts.settle():
        # Libraries that are loaded by half do not close quietly.
        sys.stderr.flush()
        os._exit(interrupts.EXIT_CODE)
    sys.exit(code)  # type: ignore[arg-type]  # what the command exited with


if __name__ == "__main__":
    run()
