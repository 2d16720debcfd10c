"""Turns tape rows into the event array of hftbacktest. Runs in the peer's environment, not in the project's."""

from __future__ import annotations

import hftbacktest as hft
import numpy as np
from hftbacktest.data import correct_event_order, validate_event_order
from hftbacktest.types import event_dtype
from numpy.typing import NDArray

SNAPSHOT = 2
"""The bit of a tape row's flags that says it belongs to a snapshot."""

_KINDS = np.array(
    [
        0,
        hft.DEPTH_EVENT | hft.BUY_EVENT,
        hft.DEPTH_EVENT | hft.SELL_EVENT,
        hft.TRADE_EVENT | hft.BUY_EVENT,
        hft.TRADE_EVENT | hft.SELL_EVENT,
        hft.DEPTH_CLEAR_EVENT,
    ],
    np.uint64,
)
"""The peer's event kind and side by the tape's kind."""


def convert(rows: NDArray[np.void]) -> NDArray[np.void]:
    """Return the events of a tape: in the order of both clocks, a row twice where the clocks disagree.

    A clear without a side empties both sides, as on the tape.
    """
    events = np.zeros(len(rows), event_dtype)
    kinds = _KINDS[rows["kind"]]
    is_level = (rows["kind"] == 1) | (rows["kind"] == 2)
    in_snapshot = is_level & (rows["flags"] & SNAPSHOT != 0)
    kinds[in_snapshot] += np.uint64(hft.DEPTH_SNAPSHOT_EVENT - hft.DEPTH_EVENT)
    events["ev"] = kinds
    events["exch_ts"] = rows["exchange_ns"]
    events["local_ts"] = rows["receive_ns"]
    events["px"] = rows["px_1e9"] / 1e9
    events["qty"] = rows["sz_1e8"] / 1e8
    ordered = correct_event_order(
        events,
        np.argsort(events["exch_ts"], kind="stable"),
        np.argsort(events["local_ts"], kind="stable"),
    )
    validate_event_order(ordered)
    return ordered


def packet_times(rows: NDArray[np.void]) -> NDArray[np.int64]:
    """Return when each packet was received."""
    return rows["receive_ns"][rows["flags"] & 1 != 0].copy()


def repeated(
    events: NDArray[np.void], packets_ns: NDArray[np.int64], times: int
) -> tuple[NDArray[np.void], NDArray[np.int64]]:
    """Return events and packets several times over, each a second after the one before it.

    The tape must begin with a clear and a whole book: they are what makes the next turn start anew.
    """
    last_ns = max(int(events["exch_ts"].max()), int(events["local_ts"].max()))
    span_ns = last_ns - int(events["exch_ts"].min()) + 1_000_000_000
    many = np.tile(events, times)
    shift_ns = np.repeat(np.arange(times, dtype=np.int64) * span_ns, len(events))
    many["exch_ts"] += shift_ns
    many["local_ts"] += shift_ns
    return many, np.tile(packets_ns, times) + np.repeat(np.arange(times, dtype=np.int64) * span_ns, len(packets_ns))
