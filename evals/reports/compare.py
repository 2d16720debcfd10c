"""Two evaluations side by side: what is compared with what, how alike their inputs were, and every figure's difference.

Only evaluations of one kind, of bundles of one kind, can be compared. Whether a difference is the bundles' own depends
on whether all else was the same, so every input that differs is named before any figure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bundles.canonical import short_id
from bundles.errors import InvalidInputError, NotFoundError
from bundles.judging import judge_each
from evals.labels import meaning_of
from evals.reports.confidence import difference, is_bound
from evals.reports.figures import in_order
from evals.reports.recorded import Recorded, recorded
from evals.reports.tables import Metrics
from evals.reports.wording import shown, utc
from evals.statistics.looks import LOOK
from evals.statistics.trials import TRIALS, VARIANCE

if TYPE_CHECKING:
    from bundles.catalog import Catalog
    from bundles.evidence import Evaluation

_RUNGS: Final = ("live-review", "shadow", "sandbox", "replay")
"""Kinds of evaluations from the top of the ladders downwards."""

_NOT_COMPARED: Final = frozenset({LOOK, TRIALS, VARIANCE})
"""Settings that say what was there when one looked, not how."""


@dataclass(frozen=True)
class Compared:
    """One metric of both, as people read it."""

    name: str
    group: str
    label: str
    unit: str
    a: str
    b: str
    difference: str
    """B less A, with its sign."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two recorded evaluations that can be compared."""

    a: Recorded
    b: Recorded

    @property
    def same_data(self) -> bool:
        """Whether both saw the same datasets in the same order."""
        return self.a.evaluation.inputs.datasets == self.b.evaluation.inputs.datasets

    @property
    def alarms(self) -> list[str]:
        """What makes the figures hard to compare, and nobody must overlook."""
        told = [] if self.same_data else [_other_data(self.a, self.b)]
        for name, record in (("A", self.a), ("B", self.b)):
            if record.evaluation.status != "completed":
                detail = record.evaluation.status_detail
                told.append(f"{name} did not complete: {record.evaluation.status}{detail and f', {detail}'}.")
        return told

    @property
    def remarks(self) -> list[str]:
        """What else was not the same."""
        a, b = self.a.evaluation.inputs, self.b.evaluation.inputs
        told = []
        if a.engine != b.engine:
            told.append("Different engines: part of a difference may be the engine's.")
        names = sorted(
            name for name in {*a.settings, *b.settings} - _NOT_COMPARED if a.settings.get(name) != b.settings.get(name)
        )
        if names:
            told.append(f"Different settings: {', '.join(names)}.")
        if a.seed != b.seed:
            told.append(f"Different seeds: {a.seed} and {b.seed}.")
        if a.bundle == b.bundle:
            told.append("Both are of the same bundle.")
        return told

    def metrics(self) -> list[Compared]:
        """Return every metric that either has, without bounds, band, validation and codes that nothing met."""
        a, b = self.a.metrics, self.b.metrics
        found = []
        for name in in_order({**a, **b}):
            if _is_compared(name, (a, b)):
                meaning = meaning_of(name)
                values = (shown(a, name), shown(b, name), difference(name, b.get(name), a.get(name)))
                found.append(Compared(name, meaning.group, meaning.label, meaning.unit, *values))
        return found


def _is_compared(name: str, both: Iterable[Metrics]) -> bool:
    if name.startswith(("band_", "tape_")) or is_bound(name):
        return False
    return not name.startswith("rejects_") or any(metrics.get(name) for metrics in both)


def compare(catalog: Catalog, a: str, b: str) -> Comparison:
    """Return two evaluations side by side; each is named by its id or by its bundle's, of which the latest is taken.

    Raises:
        InvalidInputError: if they are of different kinds, or one and the same.
        NotFoundError: if there is no such evaluation, or none of a kind that both bundles have.
        IntegrityError: if something that they recorded is lost or changed.

    """
    first, second = _chosen(catalog, a, b)
    if first.eval_id == second.eval_id:
        raise InvalidInputError(f"{a} and {b} are the same evaluation, {first.eval_id}. Name another.")
    kinds = [_kind_of(catalog, each) for each in (first, second)]
    if kinds[0] != kinds[1]:
        raise InvalidInputError(
            f"{first.eval_id} is a {kinds[0][0]} of a bundle of kind {kinds[0][1]}, {second.eval_id} a {kinds[1][0]} "
            f"of one of kind {kinds[1][1]}: their figures do not mean the same. Name two of one kind."
        )
    both = (first, second)
    judged = judge_each(catalog, both)
    return Comparison(*(recorded(catalog, each, told) for each, told in zip(both, judged, strict=True)))


def _kind_of(catalog: Catalog, evaluation: Evaluation) -> tuple[str, str]:
    return evaluation.inputs.kind, catalog.manifest(evaluation.inputs.bundle).kind


def _chosen(catalog: Catalog, a: str, b: str) -> tuple[Evaluation, Evaluation]:
    """Return the evaluations that are meant: of bundles the latest of the highest kind that both sides have."""
    sides = [_named(catalog, name) for name in (a, b)]
    common = [kind for kind in _RUNGS if all(any(each.inputs.kind == kind for each in side) for side in sides)]
    if not common:
        if a.startswith(_BUNDLE) or b.startswith(_BUNDLE):
            had = ", ".join(f"{name} has {_listed(side)}" for name, side in zip((a, b), sides, strict=True))
            raise NotFoundError(f"There is no kind of evaluation of which both have one: {had}. Evaluate them alike.")
        return sides[0][-1], sides[1][-1]
    first, second = ([each for each in side if each.inputs.kind == common[0]][-1] for side in sides)
    return first, second


_BUNDLE: Final = "bun_"


def _named(catalog: Catalog, name: str) -> list[Evaluation]:
    return catalog.evaluations(name) if name.startswith(_BUNDLE) else [catalog.evaluation(name)]


def _listed(evaluations: list[Evaluation]) -> str:
    return ", ".join(sorted({each.inputs.kind for each in evaluations})) or "none"


def _other_data(a: Recorded, b: Recorded) -> str:
    seen = [f"{name} saw {_window(record)}" for name, record in (("A", a), ("B", b))]
    return f"DIFFERENT DATA: {'; '.join(seen)}. Part of every difference below is the market's."


def _window(record: Recorded) -> str:
    inputs, coverage = record.evaluation.inputs, record.evaluation.coverage
    where = ", ".join(f"{venue} {symbol}" for symbol, venue in record.markets) or "no dataset"
    names = ", ".join(short_id("data", each) for each in inputs.datasets)
    return f"{where} from {utc(coverage.first_ns)} to {utc(coverage.last_ns)} ({names})"
