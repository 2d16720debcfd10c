"""Runs the command as ``python -m sequence``."""

from sequence.cli import main

main(prog_name="sequence")
