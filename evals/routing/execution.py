"""Execute parent orders over the tapes of several venues: by a routing model, an impact model and a slicing policy."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bundles.routing import ImpactModel, RoutingModel
from evals.market.schema import Instrument
from evals.market.source import TapeSource
from evals.parents.orders import ParentOrders
from evals.routing.checks import check_instruments, check_model, check_only, check_sizes, check_times
from evals.routing.feeding import Feeding
from evals.routing.kernels.books import no_books, with_room
from evals.routing.kernels.loop import DONE, WANTS_ROOM, advance, start
from evals.routing.kernels.settling import as_much, settle
from evals.routing.kernels.state import (
    FILLS,
    MID,
    PENDING,
    PENDING_FREE,
    RESTING,
    RUN,
    TAKEN_FREE,
    TAKEN_LEVEL,
    TOTALS,
    VENUE,
    Records,
    Rules,
    Store,
)
from evals.routing.kernels.sweep import DEPTH, no_offers
from evals.routing.layout import CHILD_FILL, PARENT_RESULT
from evals.routing.settings import FaultPlan, RoutingSettings
from evals.routing.slicing import check_earlier_days, check_slicing, slice_counts, targets_of
from evals.routing.split import identity_of, versions_of
from evals.routing.survey import Survey, survey

_PENDING: Final = 1 << 12
_TAKEN: Final = 1 << 14
_RESTING: Final = 1 << 8
_FILLS: Final = 1 << 16
_HIGHEST_FACTOR: Final = 1_000_000


@dataclass(frozen=True, eq=False)
class RoutingRun:
    """What an execution came to."""

    parents: NDArray[np.void]
    """Rows of PARENT_RESULT, in the order of the parents."""
    children: NDArray[np.void]
    """Rows of CHILD_FILL, in the order of time."""
    single_venues_1e9: NDArray[np.int64]
    """Shortfall of each parent on each venue alone, by parent and venue; of no columns where it was not asked for."""
    covered: Survey
    """What the tapes hold."""

    def digest(self) -> str:
        """Return ``sha256:<hex>`` over every column of every table."""
        digest = hashlib.sha256()
        for name, table in (("parents", self.parents), ("children", self.children)):
            digest.update(f"{name} {len(table)}\n".encode())
            for column in table.dtype.names or ():
                digest.update(f"{column}\n".encode() + np.ascontiguousarray(table[column]).tobytes())
        shape = " ".join(map(str, self.single_venues_1e9.shape))
        digest.update(f"single venues {shape}\n".encode() + np.ascontiguousarray(self.single_venues_1e9).tobytes())
        return f"sha256:{digest.hexdigest()}"


def execute_parents(
    parents: ParentOrders,
    tapes: Sequence[TapeSource],
    *,
    model: RoutingModel,
    impact: ImpactModel,
    slicing: str,
    settings: RoutingSettings,
    seed: int,
    faults: FaultPlan | None = None,
    only: Sequence[str] | None = None,
    single_venues: bool = False,
    progress: Callable[[str], None] | None = None,
) -> RoutingRun:
    """Execute each parent as if it were the only one: replay, or with a fault plan (even one without faults) sandbox.

    ``tapes``: one for each venue; their order breaks ties, and is that of ``venue`` in the children. ``only``: venues
    that may be used; the market's mid and volume are always those of all. ``single_venues``: also execute each parent
    on each venue alone, for comparison.

    Every tape is read twice: first for its time and its volume by time of day.

    Raises:
        InvalidInputError: for tapes, venues, parents or a slicing policy that do not go together, by name, before
            anything is executed.

    """
    found = check_execution(parents, tapes, model=model, slicing=slicing, settings=settings, only=only)
    instruments = [tape.info.instrument for tape in tapes]
    names = [each.venue for each in instruments]
    counts = slice_counts(parents, slicing, settings)
    usable = [only is None or name in only for name in names]
    alone = [venue for venue, may in enumerate(usable) if may] if single_venues else []
    runs = _runs_of(parents, slicing, settings, model, counts, alone)
    store = _Store(
        runs,
        targets_of(parents, slicing, counts, found),
        _venues_of(model, instruments, settings, usable),
        instruments,
        sandbox=faults is not None,
    )
    rules = _rules_of(model, impact, settings, seed, faults)
    feeding = Feeding(list(tapes), [identity_of(name) for name in names], seed, faults)
    children = store.passed(rules, feeding, progress)
    results = np.zeros(len(runs), PARENT_RESULT)
    settle(runs, results)
    own, others = results[: len(parents)], results[len(parents) :].reshape(len(alone), len(parents))
    single = np.zeros((len(alone), len(parents)), np.int64)
    for at, venue in enumerate(alone):
        as_much(others[at], own, instruments[venue].taker_fee_ppm, single[at])
    return RoutingRun(own.copy(), children, single.T.copy(), found)


def check_execution(
    parents: ParentOrders,
    tapes: Sequence[TapeSource],
    *,
    model: RoutingModel,
    slicing: str,
    settings: RoutingSettings,
    only: Sequence[str] | None = None,
) -> Survey:
    """Refuse what cannot be executed, by name; return what the tapes hold.

    Raises:
        InvalidInputError: as `execute_parents`.

    """
    instruments = [tape.info.instrument for tape in tapes]
    names = [each.venue for each in instruments]
    check_slicing(slicing)
    check_instruments(instruments, parents.symbol)
    check_model(model, names, settings)
    if only is not None:
        check_only(only, names)
    found = survey(tapes, settings.curve_bin_s)
    check_times(parents, found.first_ns, found.last_ns)
    check_sizes(parents, found.highest_1e9)
    if slicing == "vwap":
        check_earlier_days(parents, found)
    return found


def _runs_of(
    parents: ParentOrders,
    slicing: str,
    settings: RoutingSettings,
    model: RoutingModel,
    counts: NDArray[np.int64],
    alone: Sequence[int],
) -> Records:
    """Return a run for each parent, then for each venue one for each parent alone on it."""
    rows = parents.rows
    runs = np.zeros(len(parents), RUN)
    runs["parent"] = np.arange(len(parents))
    runs["identity"] = [identity_of(each) for each in parents.ids]
    for name in ("side", "qty_1e8", "arrival_ns", "horizon_ns"):
        runs[name] = rows[name]
    runs["limit_1e9"] = rows["limit_px_1e9"]
    runs["slices"] = counts
    runs["pace_ns"] = np.where(counts > 1, rows["horizon_ns"] // counts, settings.interval_ns)
    asked = rows["participation_ppm"].astype(np.int64)
    runs["participation_ppm"] = np.where(asked > 0, asked, settings.participation_ppm) if slicing == "pov" else asked
    runs["version"] = versions_of(parents.ids, model.version, settings)
    runs["taken_first"] = -1
    runs["allowed"] = -1
    runs["observed"] = 1
    copies = []
    for venue in alone:
        copy = runs.copy()
        copy["allowed"], copy["observed"] = venue, 0
        copies.append(copy)
    return np.concatenate([runs, *copies])


def _venues_of(
    model: RoutingModel, instruments: Sequence[Instrument], settings: RoutingSettings, usable: Sequence[bool]
) -> Records:
    by_name = {each.venue: each for each in model.venues}
    costs = [by_name[each.venue] for each in instruments]

    venues = np.zeros(len(costs), VENUE)
    for into, cost, each, may in zip(venues, costs, instruments, usable, strict=True):
        into["key"], into["usable"] = identity_of(each.venue), may
        into["taker_fee_ppm"], into["maker_fee_ppm"] = each.taker_fee_ppm, each.maker_fee_ppm
        into["true_latency_ns"] = settings.venue_latency_ns.get(each.venue, settings.latency_ns)
        into["fee_ppm"] = each.taker_fee_ppm if cost.taker_fee_ppm is None else cost.taker_fee_ppm
        into["latency_ns"] = cost.latency_ns
        into["latency_risk"], into["freshness"] = cost.latency_risk_ppm_per_sqrt_ms, cost.freshness_ppm_per_s
        into["adverse"] = cost.adverse_selection_ppm or 0
        into["reject_ppm"], into["reject_cost"] = cost.reject_ppm or 0, cost.reject_cost_ppm or 0
        into["venue_impact"] = cost.venue_impact_ppm or 0
    return venues


def _rules_of(
    model: RoutingModel, impact: ImpactModel, settings: RoutingSettings, seed: int, faults: FaultPlan | None
) -> Rules:
    if impact.form == "square-root":
        first = (impact.coefficient_ppm or 0) * (impact.daily_volatility_ppm or 0)
    else:
        first = impact.permanent_ppm or 0
    return Rules(
        seed=seed,
        sandbox=int(faults is not None),
        # Nobody fills from a book that is no longer part of the market, whatever age a model trusts.
        max_book_age_ns=min(model.max_book_age_ns, settings.market_age_ns),
        market_age_ns=settings.market_age_ns,
        prior_orders=model.prior_orders or 0,
        almgren_chriss=int(impact.form == "almgren-chriss"),
        daily_volume_1e8=impact.daily_volume_1e8,
        half_life_ns=impact.half_life_ns or 0,
        first=first,
        temporary_ppm=impact.temporary_ppm or 0,
        fixed_ppm=impact.fixed_ppm or 0,
        reject_ppm=faults.reject_ppm if faults else 0,
        partial_ppm=faults.partial_fill_ppm if faults else 0,
        burst_ppm=faults.burst_ppm if faults else 0,
        burst_ns=faults.burst_ns if faults else 1,
        burst_factor=faults.burst_factor if faults else 1,
    )


class _Store:
    """What the pass works on, and the room for it."""

    def __init__(
        self,
        runs: Records,
        targets: NDArray[np.int64],
        venues: Records,
        instruments: Sequence[Instrument],
        *,
        sandbox: bool,
    ) -> None:
        count = len(instruments)
        offers = no_offers(count)
        for at, each in enumerate(instruments):
            offers.venues["lot_1e8"][at] = each.lot_size_1e8
            offers.venues["min_qty_1e8"][at] = each.min_qty_1e8
            offers.venues["min_notional_1e9"][at] = each.min_notional_1e9
        seen = no_books(count)
        self._store = Store(
            runs=runs,
            targets=targets,
            venues=venues,
            seen=seen,
            real=no_books(count) if sandbox else seen,
            offers=offers,
            pending=np.zeros(_PENDING, PENDING),
            pending_free=np.arange(_PENDING),
            taken=np.zeros(_TAKEN, TAKEN_LEVEL),
            taken_free=np.arange(_TAKEN),
            resting=np.zeros((count, 2, _RESTING), RESTING),
            resting_count=np.zeros((count, 2), np.int64),
            resting_at=np.full((len(runs), count) if sandbox else (1, count), -1, np.int64),
            event_ns=np.zeros(len(runs) + _PENDING + 1, np.int64),
            event_key=np.zeros(len(runs) + _PENDING + 1, np.int64),
            event_of=np.zeros(len(runs) + _PENDING + 1, np.int64),
            fills=np.zeros(_FILLS, CHILD_FILL),
            oracle_at=np.zeros(count, np.int64),
            totals=np.zeros(TOTALS, np.int64),
        )
        self._sandbox = sandbox
        self._store.totals[MID] = -1
        self._store.totals[PENDING_FREE], self._store.totals[TAKEN_FREE] = _PENDING, _TAKEN
        self._children: list[Records] = []

    def passed(self, rules: Rules, feeding: Feeding, progress: Callable[[str], None] | None) -> Records:
        """Pass over the tapes; return the rows of the children."""
        start(self._store)
        told = 0
        while (wants := advance(self._store, rules, feeding.feeds, *self._margins())) != DONE:
            if wants == WANTS_ROOM:
                self._make_room()
                continue
            feeding.more(int(wants))
            if progress is not None and feeding.events >= told + _HIGHEST_FACTOR:
                told = feeding.events
                progress(f"Routed over {told:,} events")
        self._flush()
        return np.concatenate(self._children)

    def _margins(self) -> tuple[int, int]:
        """Return how many rows, and how many levels taken, one step may need at most."""
        store = self._store
        most = max(store.real.keys.shape[0] * DEPTH, store.real.keys.shape[2], store.resting.shape[2])
        return most + store.real.keys.shape[0], most

    def _flush(self) -> None:
        held = int(self._store.totals[FILLS])
        self._children.append(self._store.fills[:held].copy())
        self._store.totals[FILLS] = 0

    def _make_room(self) -> None:
        store, totals = self._store, self._store.totals
        rows, taken = self._margins()
        self._flush()
        if len(store.fills) < 2 * rows:
            store = store._replace(fills=np.zeros(4 * rows, CHILD_FILL))
        if totals[TAKEN_FREE] < taken:
            table, free = _more(store.taken, store.taken_free, int(totals[TAKEN_FREE]), max(len(store.taken), taken))
            totals[TAKEN_FREE] += len(table) - len(store.taken)
            store = store._replace(taken=table, taken_free=free)
        if totals[PENDING_FREE] < store.real.keys.shape[0]:
            added = len(store.pending)
            table, free = _more(store.pending, store.pending_free, int(totals[PENDING_FREE]), added)
            totals[PENDING_FREE] += added
            store = store._replace(
                pending=table,
                pending_free=free,
                event_ns=_longer(store.event_ns, added),
                event_key=_longer(store.event_key, added),
                event_of=_longer(store.event_of, added),
            )
        room = store.real.keys.shape[2]
        if max(int(store.seen.counts.max()), int(store.real.counts.max())) >= room:
            seen = with_room(store.seen)
            store = store._replace(seen=seen, real=with_room(store.real) if self._sandbox else seen)
        if int(store.resting_count.max()) >= store.resting.shape[2]:
            store = store._replace(resting=np.concatenate([store.resting, np.zeros_like(store.resting)], axis=2))
        self._store = store


def _more(table: Records, free: NDArray[np.int64], count: int, added: int) -> tuple[Records, NDArray[np.int64]]:
    """Return a longer table and the list of its free places."""
    grown = np.concatenate([table, np.zeros(added, table.dtype)])
    places = np.zeros(len(grown), np.int64)
    places[:count] = free[:count]
    places[count : count + added] = np.arange(len(table), len(grown))
    return grown, places


def _longer(values: NDArray[np.int64], added: int) -> NDArray[np.int64]:
    return np.concatenate([values, np.zeros(added, np.int64)])
