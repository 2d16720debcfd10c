"""What is refused before anything runs, by name and with the remedy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bundles.errors import InvalidInputError
from bundles.routing import RoutingModel
from evals.market.rules import utc
from evals.market.schema import Instrument
from evals.parents.orders import ParentOrders
from evals.routing.settings import RoutingSettings
from evals.routing.split import NUMBERS

_LARGEST_FEE_PPM = 100_000
_NAMED = 5
_LARGEST_1E9 = 2**61
"""Money beyond this (2.3 thousand million) leaves no room in 64 bits for what fills add: fees, and impact."""


def check_instruments(instruments: Sequence[Instrument], symbol: str) -> None:
    """Refuse tapes that one order cannot be routed over; InvalidInputError."""
    if not instruments:
        raise InvalidInputError("There are no tapes to route over. Give one dataset for each venue of the model.")
    symbols = sorted({each.symbol for each in instruments})
    if len(symbols) > 1:
        raise InvalidInputError(
            f"The datasets are of different symbols: {', '.join(symbols)}. A policy is judged on one symbol at a time."
        )
    if symbols != [symbol]:
        raise InvalidInputError(
            f"The parent orders are of {symbol}, the datasets of {symbols[0]}. Give datasets of {symbol}."
        )
    venues = [each.venue for each in instruments]
    for each in instruments:
        if venues.count(each.venue) > 1:
            raise InvalidInputError(f"Venue {each.venue} has two datasets. Give one for each venue.")
        if each.contract != "linear" or each.contract_size_1e8 != 100_000_000:
            raise InvalidInputError(
                f"{each.venue} {each.symbol} is a contract ({each.contract}, size {each.contract_size_1e8}); "
                "routing knows spot symbols and linear contracts of size 1."
            )
        for name in ("maker_fee_ppm", "taker_fee_ppm"):
            if abs(getattr(each, name)) > _LARGEST_FEE_PPM:
                raise InvalidInputError(
                    f"The tape of {each.venue} says {name} {getattr(each, name)}, more than 10 %. Correct its metadata."
                )


def check_model(model: RoutingModel, venues: Sequence[str], settings: RoutingSettings) -> None:
    """Refuse a model that is not about these venues, or a control that the model cannot give; InvalidInputError."""
    known = [each.venue for each in model.venues]
    for venue in known:
        if venue not in venues:
            raise InvalidInputError(
                f"The routing model knows venue {venue}, of which there is no tape (there are {', '.join(venues)}). "
                "Give its dataset, or compile a bundle with a model without it."
            )
    for venue in venues:
        if venue not in known:
            raise InvalidInputError(
                f"There is a tape of {venue}, which the routing model does not know (it knows {', '.join(known)}). "
                "Leave the dataset out, or compile a bundle with a model that has its coefficients."
            )
    control = settings.control_version
    if control is not None and NUMBERS[control] >= NUMBERS[model.version]:
        raise InvalidInputError(
            f"control_version {control} is not earlier than the model's own version {model.version}. "
            "A control routes by fewer terms of the same model."
        )
    for venue in settings.venue_latency_ns:
        if venue not in venues:
            raise InvalidInputError(
                f"venue_latency_ns names {venue}, of which there is no tape (there are {', '.join(venues)})."
            )


def check_only(only: Sequence[str], venues: Sequence[str]) -> None:
    """Refuse a choice of venues that are not there; InvalidInputError."""
    for venue in only:
        if venue not in venues:
            raise InvalidInputError(f"Only {venue} may be used, of which there is no tape ({', '.join(venues)}).")
    if not only:
        raise InvalidInputError("No venue may be used. Name at least one, or leave the choice to the model.")


def check_sizes(parents: ParentOrders, highest_1e9: int) -> None:
    """Refuse parents that could be worth more than can be counted, at the highest price of the tapes."""
    most_1e8 = _LARGEST_1E9 * 10**8 // max(highest_1e9, 1)
    which = np.flatnonzero(parents.rows["qty_1e8"] > min(most_1e8, 2**63 - 1))
    if len(which):
        at = int(which[0])
        raise InvalidInputError(
            f"Parent order {parents.ids[at]} asks for {int(parents.rows['qty_1e8'][at]) / 1e8:,.8g}; at the tapes' "
            f"highest price, {highest_1e9 / 1e9:,.9g}, money is counted up to a quantity of {most_1e8 / 1e8:,.8g}. "
            "Correct its quantity (x 10^8), or split it."
        )


def check_times(parents: ParentOrders, first_ns: int, last_ns: int) -> None:
    """Refuse parents that arrive before the tapes begin or end after them; InvalidInputError names the first."""
    if not len(parents):
        raise InvalidInputError("There are no parent orders. Give a file with at least one.")
    rows = parents.rows
    outside = (rows["arrival_ns"] < first_ns) | (rows["arrival_ns"] + rows["horizon_ns"] > last_ns)
    which = np.flatnonzero(outside)
    if len(which):
        named = ", ".join(
            f"{parents.ids[int(at)]} ({utc(int(rows['arrival_ns'][at]))} for {int(rows['horizon_ns'][at]) / 1e9:g} s)"
            for at in which[:_NAMED]
        )
        raise InvalidInputError(
            f"{len(which)} of {len(parents)} parent orders arrive or end outside the tapes' time, "
            f"{utc(first_ns)} to {utc(last_ns)}: {named}{', …' if len(which) > _NAMED else ''}. "
            "Give datasets that cover them from arrival to horizon, or leave them out."
        )
