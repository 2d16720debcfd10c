"""What is to come, earliest first: a binary heap of times with the order among equals in a key."""

from __future__ import annotations

from evals.routing.kernels.compiled import kernel
from evals.routing.kernels.state import EVENTS, Store

ARRIVAL = 0
END = 1
BEFORE = 2
SLICE = 3
"""Kinds of event, in their order at one moment: a child arrives, a run ends, volume is noted, a slice is decided."""

_KIND = 56
_RUN = 16


@kernel
def push_event(store: Store, at_ns: int, kind: int, run: int, venue: int, of: int) -> None:
    """Add an event; among equal times by kind, run and venue."""
    times, keys, subjects = store.event_ns, store.event_key, store.event_of
    key = (kind << _KIND) | (run << _RUN) | venue
    at = store.totals[EVENTS]
    store.totals[EVENTS] += 1
    while at > 0:
        up = (at - 1) >> 1
        if times[up] < at_ns or (times[up] == at_ns and keys[up] <= key):
            break
        times[at], keys[at], subjects[at] = times[up], keys[up], subjects[up]
        at = up
    times[at], keys[at], subjects[at] = at_ns, key, of


@kernel
def drop_event(store: Store) -> None:
    """Remove the earliest event."""
    times, keys, subjects = store.event_ns, store.event_key, store.event_of
    store.totals[EVENTS] -= 1
    last = store.totals[EVENTS]
    at_ns, key, of = times[last], keys[last], subjects[last]
    at = 0
    while 2 * at + 1 < last:
        child = 2 * at + 1
        right = child + 1
        if right < last and (
            times[right] < times[child] or (times[right] == times[child] and keys[right] < keys[child])
        ):
            child = right
        if at_ns < times[child] or (at_ns == times[child] and key <= keys[child]):
            break
        times[at], keys[at], subjects[at] = times[child], keys[child], subjects[child]
        at = child
    times[at], keys[at], subjects[at] = at_ns, key, of


@kernel
def kind_of(key: int) -> int:
    """Return the kind of an event."""
    return key >> _KIND


@kernel
def run_of(key: int) -> int:
    """Return the run that an event is about."""
    return (key >> _RUN) & ((1 << (_KIND - _RUN)) - 1)
