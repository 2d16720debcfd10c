"""The maker of `quote.py` on hftbacktest many times in one process: what is compiled once serves all runs.

    .venv-peer/bin/python benchmarks/peer/many.py RUNS.json OUT.npz

RUNS.json holds command lines of `quote.py` by name. For each name OUT.npz gets ``NAME``, the log of ended orders, and
``NAME.totals``: orders sent, and the final position in lots once every answer under way has come.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from convert import convert, packet_times
from numpy.typing import NDArray
from quote import END_LOG, FIRST_ERROR, backtest, options_of, quote

_LONG_AFTER_NS = 3_600_000_000_000


def main() -> None:
    """Run everything and write the logs."""
    runs = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    tapes: dict[str, tuple[NDArray[np.void], NDArray[np.int64]]] = {}
    found: dict[str, NDArray[Any]] = {}
    for name, arguments in runs.items():
        options = options_of(arguments)
        if options.tape not in tapes:
            rows = np.load(options.tape)
            tapes[options.tape] = convert(rows), packet_times(rows)
        events, packets_ns = tapes[options.tape]
        facts = json.loads(options.facts)
        tick, lot = facts["tick_size_1e9"] / 1e9, facts["lot_size_1e8"] / 1e8
        hbt = backtest(events, facts, options)
        ends = np.zeros(options.log_rows, END_LOG)
        code, _, orders, _, _, ended = quote(
            hbt, packets_ns, options.offset_ticks, options.qty_lots, options.limit_lots, tick, lot, True, ends
        )
        if code >= FIRST_ERROR:
            sys.exit(f"{name}: the peer broke off with its code {code}")
        hbt.elapse(_LONG_AFTER_NS)
        found[name] = ends[:ended]
        found[f"{name}.totals"] = np.array([orders, round(hbt.state_values(0).position / lot)], np.int64)
        hbt.close()
    np.savez(sys.argv[2], **found)


if __name__ == "__main__":
    main()
