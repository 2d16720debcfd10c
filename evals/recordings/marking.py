"""What really happened, written as the logs of a run: then every metric of a replay can be taken of it, by one formula.

The account is the recording's, its positions are marked to the mids of the tape at the same moments as the twin's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bundles.errors import InvalidInputError
from evals.engine.layout import (
    CANCELED,
    DONE,
    EQUITY_LOG,
    FILL_LOG,
    FILLED,
    MARKOUT_HORIZONS_NS,
    NEVER,
    OPEN,
    ORDER_LOG,
    QUEUE_FRONT,
    REFUSED,
    REJECTED,
    TAKER,
    Records,
)
from evals.market.schema import Instrument
from evals.market.source import TapeSource
from evals.metrics.exact import times_1e8
from evals.recordings.mids import mids_at, span_of
from evals.recordings.reading import Recording
from evals.recordings.schema import EdgeRecording
from evals.recordings.values import Rows
from evals.wasm.abi import AMEND, CANCEL, LIMIT, NEW, POST_ONLY

Int64s = NDArray[np.int64]

_LARGEST: Final = 2**62
_FIRST_RISK_CODE: Final = 100


@dataclass(frozen=True, eq=False)
class Realised:
    """A deployment's window as logs, with what they do not say."""

    fills: Records
    orders: Records
    equity: Records
    first_ns: int
    last_ns: int
    both_sides_ns: int
    """Time with an order on both sides, as far as actions and fills show."""


def realised(recording: Recording, document: EdgeRecording, tape: TapeSource, interval_ns: int) -> Realised:
    """Return what a recording shows, marked to the mids of the tape of its window.

    Equity begins at 0 with the window: it is what was earned since, on the position held at its start too.

    Raises:
        InvalidInputError: if the account leaves 64 bits.

    """
    instrument = tape.info.instrument
    span = span_of(tape)
    first_ns, last_ns = span.first_ns, span.last_ns
    recorded = recording.rows["fills"]
    recorded = recorded[np.argsort(recorded["at_ns"], kind="stable")]
    happened_ns = np.clip(recorded["at_ns"], first_ns, last_ns)
    samples_ns = sample_times(first_ns, last_ns, interval_ns)

    # One pass for all: the mid just before each fill, after each horizon, and at each sample.
    after_ns = [happened_ns + horizon for horizon in MARKOUT_HORIZONS_NS]
    times_ns = np.concatenate([happened_ns - 1, *after_ns, [first_ns], samples_ns])
    at_fill, *later, marks = np.split(mids_at(tape, times_ns), np.cumsum([len(recorded)] * 4))
    at_samples = marks[1:]
    for mid, then_ns in zip(later, after_ns, strict=True):
        mid[then_ns > last_ns] = 0

    fills = _fills(recorded, at_fill, later, document.start_position_1e8)
    orders = _orders(recording.rows["actions"], fills)
    flows = _flows(instrument, fills)
    opened_1e9 = value_of(instrument, int(marks[np.argmax(marks > 0)]), document.start_position_1e8)
    equity = _equity(instrument, fills, flows, samples_ns, at_samples, document.start_position_1e8, opened_1e9)
    return Realised(fills, orders, equity, first_ns, last_ns, _both_sides_ns(orders, last_ns))


def sample_times(first_ns: int, last_ns: int, interval_ns: int) -> Int64s:
    """Return when the engine samples equity: each interval from the first event on, and once more at the end."""
    regular: Int64s = np.arange(first_ns + interval_ns, last_ns + 1, interval_ns, dtype=np.int64)
    return np.append(regular, max(last_ns, first_ns))


def value_of(instrument: Instrument, px_1e9: int, position_1e8: int) -> int:
    """Return what a position is worth at a price, rounded towards zero as the engine does; 0 without a price."""
    if px_1e9 <= 0:
        return 0
    held, sign = abs(position_1e8), 1 if position_1e8 >= 0 else -1
    if instrument.contract == "inverse":
        return -sign * (held * instrument.contract_size_1e8 * 100 // px_1e9)
    return sign * (px_1e9 * (held * instrument.contract_size_1e8 // 10**8) // 10**8)


def values_of(instrument: Instrument, px_1e9: Int64s, position_1e8: Int64s) -> Int64s:
    """Return :func:`value_of` each pair.

    Raises:
        InvalidInputError: if one leaves 64 bits.

    """
    size = instrument.contract_size_1e8
    if instrument.contract == "inverse":
        pairs = zip(px_1e9.tolist(), position_1e8.tolist(), strict=True)
        values = [value_of(instrument, px, position) for px, position in pairs]
        if max(map(abs, values), default=0) >= _LARGEST:
            raise _too_large()
        return np.array(values, np.int64)
    held = np.abs(position_1e8)
    if len(held) and float((px_1e9.astype(np.float64) * held * (size / 1e16)).max()) >= _LARGEST:
        raise _too_large()
    if len(held) and float(held.max()) * size / 1e8 >= _LARGEST:
        raise _too_large()
    return np.sign(position_1e8) * times_1e8(np.maximum(px_1e9, 0), times_1e8(held, size))


def _too_large() -> InvalidInputError:
    return InvalidInputError(
        "The recording's fills are worth more than 64 bits can count on this instrument. "
        "Check the units: prices are x 10^9, quantities x 10^8."
    )


def _fills(recorded: Rows, mid: Int64s, later: list[Int64s], start_position_1e8: int) -> Records:
    fills = np.zeros(len(recorded), FILL_LOG)
    for column in ("order_id", "px_1e9", "qty_1e8", "fee_1e9", "side"):
        fills[column] = recorded[column]
    fills["exchange_ns"] = fills["receive_ns"] = recorded["at_ns"]
    fills["mid_1e9"] = mid
    fills["mid_100ms_1e9"], fills["mid_1s_1e9"], fills["mid_10s_1e9"] = later
    fills["reason"] = np.where(recorded["is_maker"] == 1, QUEUE_FRONT, TAKER)
    fills["position_1e8"] = start_position_1e8 + np.cumsum(recorded["side"].astype(np.int64) * recorded["qty_1e8"])
    fills["order_row"] = -1
    return fills


def _flows(instrument: Instrument, fills: Records) -> Int64s:
    """Return what each fill changed of the cash."""
    traded = values_of(instrument, fills["px_1e9"], fills["qty_1e8"])
    flows: Int64s = -(fills["side"] * traded + fills["fee_1e9"])
    if float(np.abs(flows.astype(np.float64)).sum()) >= _LARGEST:
        raise _too_large()
    return flows


def _equity(
    instrument: Instrument,
    fills: Records,
    flows: Int64s,
    samples_ns: Int64s,
    mids: Int64s,
    start_position_1e8: int,
    opened_1e9: int,
) -> Records:
    # A fill by a clock ahead of the tape's counts at the end, one before the window at its start.
    times_ns = np.minimum(fills["exchange_ns"], samples_ns[-1])
    count = np.searchsorted(times_ns, samples_ns, "right")

    def summed(changes: Int64s) -> Int64s:
        sums: Int64s = np.concatenate([[0], np.cumsum(changes)])[count].astype(np.int64)
        return sums

    equity = np.zeros(len(samples_ns), EQUITY_LOG)
    equity["exchange_ns"] = samples_ns
    # Until the first mid nobody knew what the position was worth.
    equity["cash_1e9"] = summed(flows) - np.where(mids > 0, opened_1e9, 0)
    equity["position_1e8"] = start_position_1e8 + summed(fills["side"] * fills["qty_1e8"])
    equity["mid_1e9"] = mids
    equity["equity_1e9"] = equity["cash_1e9"] + values_of(instrument, mids, equity["position_1e8"])
    equity["fees_1e9"] = summed(fills["fee_1e9"].copy())
    return equity


def _orders(actions: Rows, fills: Records) -> Records:
    """Return the actions as rows of an order log, with what became of each; gives the fills their rows.

    An order is over when a cancel of it was sent or its quantity was filled, whatever came first; times are the
    edge's own, without the way to the exchange.
    """
    orders = np.zeros(len(actions), ORDER_LOG)
    for column in ("order_id", "px_1e9", "qty_1e8", "kind", "order_type", "side", "reject_code"):
        orders[column] = actions[column]
    orders["decided_ns"] = orders["arrived_ns"] = actions["at_ns"]
    refused = actions["reject_code"] >= 0
    orders["outcome"] = np.where(refused, np.where(actions["reject_code"] >= _FIRST_RISK_CODE, REFUSED, REJECTED), DONE)
    orders["done_ns"] = actions["at_ns"]
    taken = np.flatnonzero(~refused & (actions["kind"] <= AMEND))
    kinds, ids, at_ns = (actions[name][taken] for name in ("kind", "order_id", "at_ns"))
    places = taken[kinds == NEW]
    # Ids may be used again: a cancel or an amend is of the order placed last before it, a fill of the one by its time.
    of_action = _placed_last(ids, taken, kinds == NEW, taken)
    of_action[of_action > taken] = -1  # there was no order yet
    of_fill = _placed_last(
        np.concatenate([ids[kinds == NEW], fills["order_id"]]),
        np.concatenate([at_ns[kinds == NEW], fills["exchange_ns"]]),
        np.arange(len(places) + len(fills)) < len(places),
        np.concatenate([places, np.full(len(fills), -1)]),
    )[len(places) :]
    fills["order_row"] = of_fill
    cancel_ns, complete_ns = np.full(len(actions), NEVER), np.full(len(actions), NEVER)
    cancels = (kinds == CANCEL) & (of_action >= 0)
    np.minimum.at(cancel_ns, of_action[cancels], at_ns[cancels])
    amends = (kinds == AMEND) & (of_action >= 0)
    known = np.flatnonzero(of_fill >= 0)
    np.add.at(orders["filled_1e8"], of_fill[known], fills["qty_1e8"][known])
    _complete(
        complete_ns,
        # By order: first what was wanted of it, then what changed that, then what it got.
        np.concatenate([places, of_action[amends], of_fill[known]]),
        np.concatenate(
            [
                at_ns[kinds == NEW],
                at_ns[amends],
                np.maximum(fills["exchange_ns"][known], actions["at_ns"][of_fill[known]]),
            ]
        ),
        np.concatenate([actions["qty_1e8"][places], actions["qty_1e8"][taken[amends]]]),
        fills["qty_1e8"][known],
    )
    ended_ns = np.minimum(cancel_ns, complete_ns)
    outcome = np.where(complete_ns < NEVER, FILLED, np.where(cancel_ns < NEVER, CANCELED, OPEN))
    orders["outcome"][places] = outcome[places]
    orders["done_ns"][places] = np.where(ended_ns < NEVER, ended_ns, 0)[places]
    return orders


def _complete(complete_ns: Int64s, rows: Int64s, times_ns: Int64s, wanted_1e8: Int64s, filled_1e8: Int64s) -> None:
    """Set when each order first had all that was wanted of it by then; what it is amended to later changes nothing.

    ``rows`` are orders: first of the quantities wanted of them from these times on, then of what was filled.
    """
    order = np.lexsort((times_ns, rows))
    row, is_want = rows[order], order < len(wanted_1e8)
    # An order begins with its placement, so the last quantity wanted up to a place is its own.
    latest = np.maximum.accumulate(np.where(is_want, np.arange(len(order)), 0))
    sums = np.cumsum(np.concatenate([np.zeros(len(wanted_1e8), np.int64), filled_1e8])[order])
    held = sums - sums[np.searchsorted(row, row, "left")]
    enough = (held > 0) & (held >= wanted_1e8[order[latest]])
    np.minimum.at(complete_ns, row[enough], times_ns[order[enough]])


def _placed_last(ids: NDArray[np.uint64], times: Int64s, is_new: NDArray[np.bool_], rows: Int64s) -> Int64s:
    """Return for each entry the row of the order with its id that was placed last by its time.

    If all were placed later, because of the clocks, the first of them; -1 if there is none with that id.
    """
    order = np.lexsort((~is_new, times, ids))
    new, own, held = is_new[order], ids[order], rows[order]
    places = np.arange(len(order))
    before = np.maximum.accumulate(np.where(new, places, -1)) if len(order) else places
    after = np.minimum.accumulate(np.where(new, places, len(order))[::-1])[::-1] if len(order) else places
    found: Int64s = np.full(len(order), -1, np.int64)
    for nearest, there in ((after, after < len(order)), (before, before >= 0)):
        same = there & (own[np.where(there, nearest, 0)] == own)
        found[order[same]] = held[nearest[same]]
    return found


def _both_sides_ns(orders: Records, last_ns: int) -> int:
    """Return how long an order that can rest was there on both sides."""
    quotes = orders[
        (orders["kind"] == NEW) & (orders["reject_code"] < 0) & np.isin(orders["order_type"], (LIMIT, POST_ONLY))
    ]
    start_ns = np.minimum(quotes["decided_ns"], last_ns)
    end_ns = np.where(quotes["done_ns"] > 0, np.clip(quotes["done_ns"], start_ns, last_ns), last_ns)
    times_ns = np.concatenate([start_ns, end_ns])
    order = np.argsort(times_ns, kind="stable")
    step = np.concatenate([np.ones(len(quotes), np.int64), np.full(len(quotes), -1)])[order]
    side = np.concatenate([quotes["side"], quotes["side"]])[order]
    times_ns = times_ns[order]
    both = (np.cumsum(step * (side > 0)) > 0) & (np.cumsum(step * (side < 0)) > 0)
    return int(np.diff(times_ns)[both[:-1]].sum()) if len(times_ns) else 0
