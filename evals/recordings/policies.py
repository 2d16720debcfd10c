"""The review of a recorded policy: what its parent orders really cost, against the same orders replayed.

Costs are Perold's implementation shortfall (1988), by the formula of `evals.routing`: what was paid, with fees, plus
the rest at the mid at its end, less all of it at the mid at arrival. Both mids are the market's, the same for both.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from bundles.errors import InvalidInputError
from bundles.evidence import Coverage, RunStatus
from bundles.manifests import SorBundle
from bundles.routing import ImpactModel, RoutingModel, read_model
from evals.assigning.execution import assign_and_execute
from evals.assigning.policy import Policy
from evals.engine.layout import Records
from evals.market.rules import utc
from evals.market.source import TapeSource
from evals.metrics import Metric
from evals.metrics.exact import times_1e8, total
from evals.parents.orders import ParentOrders
from evals.recordings.checks import window_of
from evals.recordings.gaps import Gap, gaps_of, tell
from evals.recordings.history import count_of, halted_ns, outcome_rows
from evals.recordings.mids import span_of
from evals.recordings.reading import Recording
from evals.recordings.schema import CONFIG, HALT, LIMIT_BREACH, TRAP
from evals.recordings.values import Rows
from evals.routing.execution import RoutingRun, execute_parents
from evals.routing.settings import RoutingSettings
from evals.statistics.ratios import ratio_bounds

if TYPE_CHECKING:
    from bundles.catalog import Catalog

NAME: Final = "kernel-policy-review"
VERSION: Final = "1"

_ONE_1E8: Final = 100_000_000

SETTLED: Final = np.dtype(
    [
        ("arrival_ns", "<i8"),
        ("qty_1e8", "<i8"),
        ("arrival_mid_1e9", "<i8"),  # 0: the tapes show no market
        ("end_mid_1e9", "<i8"),
        ("notional_1e9", "<i8"),
        ("filled_1e8", "<i8"),
        ("shortfall_1e9", "<i8"),
        ("fees_1e9", "<i8"),
        ("opportunity_1e9", "<i8"),
        ("twin_filled_1e8", "<i8"),
        ("twin_shortfall_1e9", "<i8"),
        ("side", "<i4"),
        ("fills", "<i4"),
    ]
)
"""What a parent order really came to, and what it came to in the replay."""


@dataclass(frozen=True, eq=False, kw_only=True)
class PolicyReview:
    """What really became of parent orders, and what became of them in a replay."""

    recording: Recording
    parents: ParentOrders
    rows: Records
    """Rows of SETTLED, in the order of the parents."""
    gaps: list[Gap]
    breaches: int
    """Fills worse than their order's limit, and orders filled beyond their quantity."""
    twin_digest: str
    coverage: Coverage
    seed: int
    look: int

    @property
    def status(self) -> RunStatus:
        """Whether the policy broke."""
        return "failed" if count_of(self.recording, TRAP) else "completed"

    @property
    def detail(self) -> str:
        """What people should know of it."""
        traps = count_of(self.recording, TRAP)
        trapped = f"The deployment trapped {traps} time{'s' if traps > 1 else ''}" if traps else ""
        return ". ".join(filter(None, (trapped, tell(self.gaps), self.apart)))

    @property
    def apart(self) -> str:
        """Why the replay is not compared; empty if it is."""
        if count_of(self.recording, CONFIG):
            return "The configuration changed meanwhile, the replay used the bundle's: the two are not compared"
        return ""

    def digest(self) -> str:
        """Return the digest of the result, over integers only."""
        digest = hashlib.sha256(f"{NAME} {VERSION} {self.status} {self.seed}\n".encode())
        digest.update(f"{self.twin_digest} {len(self.gaps)} {self.breaches}\n".encode())
        for name, rows in {"parents": self.rows, **self.recording.rows}.items():
            digest.update(f"{name} {len(rows)}\n".encode() + rows.tobytes())
        return f"sha256:{digest.hexdigest()}"

    def outputs(self) -> dict[str, bytes]:
        """Return the parquet files that show the review."""
        return outcome_rows(
            self.recording, {"parents": (self.rows, {"parent_id": self.parents.ids})}, ("children", "events")
        )


def check_children(recording: Recording, parents: ParentOrders, where: str) -> None:
    """Refuse fills of parents that are not there or on another side, and parents that arrive outside of the window."""
    children = recording.rows["children"]
    start_ns, end_ns = window_of(recording)
    arrival_ns = parents.rows["arrival_ns"]
    outside = np.flatnonzero((arrival_ns < start_ns) | (arrival_ns > end_ns))
    if len(outside):
        row = int(outside[0])
        raise InvalidInputError(
            f"{where}: parent order {parents.ids[row]} arrived at {utc(int(arrival_ns[row]))}, outside of the window "
            f"{utc(start_ns)} to {utc(end_ns)}. Record each parent order with the deployment that it was given to."
        )
    known = children["parent"] < len(parents)
    if not known.all():
        row = children[int(np.argmin(known))]
        raise InvalidInputError(
            f"{where}: children, row with seq {row['seq']}: parent {row['parent']} is none of the {len(parents)} rows "
            "of the file of parents."
        )
    fits = children["side"] == parents.rows["side"][children["parent"]]
    if not fits.all():
        row = children[int(np.argmin(fits))]
        raise InvalidInputError(
            f"{where}: children, row with seq {row['seq']}: its side {row['side']} is not that of parent order "
            f"{parents.ids[row['parent']]}."
        )


def review_policy(
    catalog: Catalog,
    bundle: str,
    recording: Recording,
    parents: ParentOrders,
    tapes: Sequence[TapeSource],
    *,
    settings: RoutingSettings,
    seed: int,
    look: int,
    progress: Callable[[str], None] | None = None,
) -> PolicyReview:
    """Review the recording of a registered policy over one tape for each of its venues.

    Raises:
        InvalidInputError: whatever the models, the tapes or the execution refuse, by name.

    """
    twin, filled, shortfall, digest = _replayed(catalog, bundle, parents, tapes, settings, seed, progress)
    children = recording.rows["children"]
    rows = settled(parents, children, twin.parents)
    rows["twin_filled_1e8"], rows["twin_shortfall_1e9"] = filled, shortfall
    gaps = gaps_of(recording) + _unseen(recording, parents, rows)
    spans = [span_of(tape) for tape in tapes]
    return PolicyReview(
        recording=recording,
        parents=parents,
        rows=rows,
        gaps=sorted(gaps, key=lambda gap: (gap.at_ns, gap.text)),
        breaches=_breaches(parents, children, rows),
        twin_digest=digest,
        coverage=Coverage(
            first_ns=min(each.received_ns for each in spans),
            last_ns=max(each.last_ns for each in spans),
            events=sum(each.rows for each in spans),
            packets=sum(each.packets for each in spans),
        ),
        seed=seed,
        look=look,
    )


def _replayed(
    catalog: Catalog,
    bundle: str,
    parents: ParentOrders,
    tapes: Sequence[TapeSource],
    settings: RoutingSettings,
    seed: int,
    progress: Callable[[str], None] | None,
) -> tuple[RoutingRun, NDArray[np.int64], NDArray[np.int64], str]:
    """Return a run with the market's mids, what was filled and what it cost by the policy, and the digest of all."""
    manifest = catalog.bundle(bundle)
    if isinstance(manifest, SorBundle):
        run = execute_parents(
            parents,
            tapes,
            model=read_model(catalog, manifest.routing_model, RoutingModel),
            impact=read_model(catalog, manifest.impact_model, ImpactModel),
            slicing=manifest.slicing_policy,
            settings=settings,
            seed=seed,
            progress=progress,
        )
        return run, run.parents["filled_1e8"], run.parents["shortfall_1e9"], run.digest()
    done = assign_and_execute(
        Policy.of(catalog, bundle), parents, tapes, settings=settings, faults=None, seed=seed, progress=progress
    )
    digest = f"{done.edge.digest()} {done.sor.digest()} {hashlib.sha256(done.rows.tobytes()).hexdigest()}"
    return done.sor, done.rows["filled_1e8"], done.rows["shortfall_1e9"], digest


def settled(parents: ParentOrders, children: Rows, market: Records) -> Records:
    """Return rows of SETTLED without the twin's part; ``market`` has the mids of each parent's arrival and end."""
    rows = np.zeros(len(parents), SETTLED)
    for name in ("arrival_ns", "qty_1e8", "side"):
        rows[name] = parents.rows[name]
    for name in ("arrival_mid_1e9", "end_mid_1e9", "notional_1e9"):
        rows[name] = market[name]
    of = children["parent"]
    side = rows["side"].astype(np.int64)
    paid_1e9 = np.zeros(len(rows), np.int64)
    np.add.at(paid_1e9, of, _paid(side[of], children["px_1e9"], children["qty_1e8"]))
    np.add.at(rows["filled_1e8"], of, children["qty_1e8"])
    np.add.at(rows["fees_1e9"], of, children["fee_1e9"])
    np.add.at(rows["fills"], of, 1)
    # What was filled beyond the quantity has no rest; that it happened is a breach.
    rest_1e8 = np.maximum(rows["qty_1e8"] - rows["filled_1e8"], 0)
    end_1e9 = _paid(side, rows["end_mid_1e9"], rest_1e8)
    rows["opportunity_1e9"] = end_1e9 - _paid(side, rows["arrival_mid_1e9"], rest_1e8)
    cost_1e9 = paid_1e9 + end_1e9 + rows["fees_1e9"] - _paid(side, rows["arrival_mid_1e9"], rows["qty_1e8"])
    rows["shortfall_1e9"] = np.where(rows["arrival_mid_1e9"] > 0, cost_1e9, 0)
    return rows


def _paid(side: NDArray[np.int64], px_1e9: NDArray[np.int64], qty_1e8: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return what quantities cost, rounded up as the router does; of sales it is negative."""
    down = times_1e8(px_1e9, qty_1e8)
    rounded = (px_1e9 % _ONE_1E8) * (qty_1e8 % _ONE_1E8) % _ONE_1E8 > 0
    paid: NDArray[np.int64] = np.where(side > 0, down + rounded, -down)
    return paid


def _unseen(recording: Recording, parents: ParentOrders, rows: Records) -> list[Gap]:
    """Return the parents of which the recording or the tapes do not show all."""
    end_ns = window_of(recording)[1]
    ends_ns = parents.rows["arrival_ns"] + parents.rows["horizon_ns"]
    gaps = [
        Gap(end_ns, f"parent order {parents.ids[row]} still worked when the recording ended")
        for row in np.flatnonzero(ends_ns > end_ns)
    ]
    return gaps + [
        Gap(int(rows["arrival_ns"][row]), f"parent order {parents.ids[row]} was filled where the tapes show no market")
        for row in np.flatnonzero((rows["arrival_mid_1e9"] == 0) & (rows["filled_1e8"] > 0))
    ]


def _breaches(parents: ParentOrders, children: Rows, rows: Records) -> int:
    of = parents.rows[children["parent"]]
    worse = (of["limit_px_1e9"] > 0) & (of["side"] * (children["px_1e9"] - of["limit_px_1e9"]) > 0)
    return int(np.count_nonzero(worse)) + int(np.count_nonzero(rows["filled_1e8"] > rows["qty_1e8"]))


def policy_metrics(review: PolicyReview) -> dict[str, Metric]:
    """Return every metric by name; what rests on something that is missing is None."""
    rows, recording = review.rows, review.recording
    base = rows["notional_1e9"]
    breaches = count_of(recording, LIMIT_BREACH)
    drift_1e9 = rows["shortfall_1e9"] - rows["twin_shortfall_1e9"]
    drift = _with_bounds("shortfall_drift_bps", drift_1e9, base, review)
    lower, upper = drift["shortfall_drift_bps_lower95"], drift["shortfall_drift_bps_upper95"]
    compared: dict[str, Metric] = {
        **drift,
        # A cost below the replay's is better.
        "comparison": None if lower is None or upper is None else int(upper < 0) - int(lower > 0),
    }
    resting: dict[str, Metric] = {
        "parents_filled": int(np.count_nonzero(rows["filled_1e8"] >= rows["qty_1e8"])),
        "fill_ratio": _share(rows, "filled_1e8"),
        "volume_notional_1e9": _filled_1e9(rows, "filled_1e8"),
        **_with_bounds("implementation_shortfall_bps", rows["shortfall_1e9"], base, review),
        "fees_bps": _bps(rows["fees_1e9"], base),
        "opportunity_cost_bps": _bps(rows["opportunity_1e9"], base),
        "risk_breaches": review.breaches + breaches,
        "traps": count_of(recording, TRAP),
        "limit_breaches": breaches,
        "halts": count_of(recording, HALT),
        "halted_s": halted_ns(recording.rows["events"]) / 1e9,
        "config_changes": count_of(recording, CONFIG),
        **(dict.fromkeys(compared) if review.apart else compared),
    }
    return {
        "recording_gaps": len(review.gaps),
        **(dict.fromkeys(resting) if review.gaps else resting),
        "parents": len(rows),
        "twin_fill_ratio": _share(rows, "twin_filled_1e8"),
        "twin_implementation_shortfall_bps": _bps(rows["twin_shortfall_1e9"], base),
        "look": review.look,
    }


def _with_bounds(
    name: str, money_1e9: NDArray[np.int64], base_1e9: NDArray[np.int64], review: PolicyReview
) -> dict[str, Metric]:
    bounds = ratio_bounds(money_1e9, base_1e9, seed=review.seed, look=review.look)
    return {name: _bps(money_1e9, base_1e9), **{f"{name}_{bound}": value for bound, value in bounds.items()}}


def _filled_1e9(rows: Records, column: str) -> int:
    """Return what was filled of the notional at arrival; beyond its quantity an order counts as whole."""
    pairs = zip(rows["notional_1e9"].tolist(), rows[column].tolist(), rows["qty_1e8"].tolist(), strict=True)
    return sum(whole * min(filled, qty) // qty for whole, filled, qty in pairs)


def _share(rows: Records, column: str) -> float | None:
    whole = total(rows["notional_1e9"])
    return _filled_1e9(rows, column) / whole if whole else None


def _bps(money_1e9: NDArray[np.int64], base_1e9: NDArray[np.int64]) -> float | None:
    whole = total(base_1e9)
    return total(money_1e9) / whole * 10_000 if whole else None
