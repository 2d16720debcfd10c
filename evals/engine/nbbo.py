"""The best bid and offer over a symbol's venues, and the venues' books, as algos of SDK 0.3 and 0.4 read them."""

from __future__ import annotations

from evals.engine.kernel import kernel
from evals.engine.layout import Record


@kernel
def write_nbbo(sim: Record, symbol: Record, asset: Record) -> None:
    """Write NbboSnapshot and VenueBooks of a symbol after a packet of one of its assets."""
