"""The sections on an assignment policy's run: its decisions and their reasons, regret, what either way would cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from evals.labels import METRICS, meaning_of
from evals.reports.confidence import bounds
from evals.reports.curves import distribution, scatter
from evals.reports.recorded import Recorded
from evals.reports.routing import savings
from evals.reports.series import bps, has_columns, sample
from evals.reports.tables import Bar, Chart, Note, Row, Section, Table, section
from evals.reports.vega import BUY, SELL
from evals.reports.wording import figure, interval, share, shown
from evals.statistics.ratios import weighted_quantiles

if TYPE_CHECKING:
    from numpy.typing import NDArray

_COSTS: Final = ("notional_1e9", "to_sor", "edge_cost_1e9", "sor_cost_1e9", "cost_1e9")
BASELINES: Final = (("edge", "Always the edge"), ("sor", "Always SOR"))
_PREFIX: Final = "assigned_"
_MOST_POINTS: Final = 2_000


def assignment_sections(record: Recorded) -> list[Section]:
    """Return the sections of an assignment policy's run, in reading order."""
    return [
        section("Decisions", _decisions(record)),
        section("What either way costs", _costs(record)),
        section("Regret", *_regret(record)),
        section("Savings", savings(record.metrics, "savings_vs_", BASELINES)),
    ]


def _decisions(record: Recorded) -> Table | Note:
    metrics = record.metrics
    names = [("sent_to_edge", "Sent to the edge"), ("sent_to_sor", "Sent to SOR")]
    names += [(name, _reason(name)) for name in metrics if name.startswith(_PREFIX)]
    counted = [(label, value) for name, label in names if (value := metrics.get(name)) is not None]
    whole = metrics.get("parents") or sum(value for label, value in counted if label.startswith("Sent"))
    if not counted:
        return Note("This evaluation does not count its decisions.")
    rows = tuple(
        Row((label, f"{value:,.0f}", share(value, whole)), Bar(0, 100 * value / whole if whole else 0, "first"))
        for label, value in counted
    )
    return Table("decisions", ("Decision", "Parents", "Share"), rows, "Below the two routes: the reasons.")


def _reason(name: str) -> str:
    return meaning_of(name).label if name in METRICS else f"… {name.removeprefix(_PREFIX).replace('_', ' ')}"


def regrets(record: Recorded) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Return the regret in bps and the notional of each parent of which both costs are known."""
    parents = record.log("parents", *_COSTS)
    if parents is None:
        return None
    lost = parents["cost_1e9"] - np.minimum(parents["edge_cost_1e9"], parents["sor_cost_1e9"])
    base = _base(parents)
    values = bps(lost, base)
    known = np.isfinite(values)
    return (values[known], base[known]) if known.any() else None


def _base(parents: NDArray[Any]) -> NDArray[Any]:
    """Return the notional against which costs are measured: at the arrival mid, not that of the rule."""
    base: NDArray[Any] = parents["base_1e9" if has_columns(parents, "base_1e9") else "notional_1e9"]
    return base


def _costs(record: Recorded) -> Chart | Note:
    parents = record.log("parents", *_COSTS)
    if parents is None:
        return Note("No parent order was recorded.")
    drawn = sample(parents[_base(parents) > 0], _MOST_POINTS)
    edge, sor = bps(drawn["edge_cost_1e9"], _base(drawn)), bps(drawn["sor_cost_1e9"], _base(drawn))
    routes = np.where(drawn["to_sor"] > 0, "sent to SOR", "sent to the edge")
    points = [(float(x), float(y), str(of)) for x, y, of in zip(edge, sor, routes, strict=True)]
    if not points:
        return Note("No parent order was recorded.")
    thinned = f" Drawn: an even sample of {len(drawn):,} of {len(parents):,}." if len(drawn) < len(parents) else ""
    names = ("sent to the edge", "sent to SOR")
    return Chart(
        "costs",
        "Cost of each parent order at the edge and by SOR, in basis points, by where it was sent",
        scatter(points, names, "Cost at the edge, bps", "Cost by SOR, bps"),
        (("dot", BUY, names[0]), ("dot", SELL, names[1])),
        f"On the dashed line both cost the same; above it the edge is cheaper, below it SOR.{thinned}",
    )


def _regret(record: Recorded) -> list[Table | Chart | Note]:
    found = regrets(record)
    mean = record.metrics.get("regret_bps")
    parts: list[Table | Chart | Note] = []
    if found is not None:
        values, weights = found
        wrong = values > 0
        quantiles = weighted_quantiles(values, weights, (50, 95, 99))
        rows = [Row(("Parents sent the dearer way", f"{int(wrong.sum()):,} of {len(values):,}"))]
        if mean is not None:
            ends = bounds(record.metrics, "regret_bps")
            told = f" ({interval(*ends)})" if ends else ""
            rows.append(Row(("Regret, mean (95 %)", f"{shown(record.metrics, 'regret_bps')}{told}")))
        rows += [Row((f"p{p}", figure(q))) for p, q in quantiles.items()]
        if wrong.any():
            chart = distribution({"": (values[wrong], weights[wrong])}, "Regret, bps", "% of notional")
            label = "Distribution of the regret of the parents that were sent the dearer way, in basis points"
            parts.append(Chart("regret", label, chart, note="Of the parents that were sent the dearer way."))
        note = "Against the cheaper way of each parent, known only afterwards; never below zero. In bps."
        parts.append(Table("regret", ("Regret", "Value"), tuple(rows), note))
    return parts or [Note("No parent order was recorded.")]
