"""How many times somebody has tried: the bundles that were evaluated before and grew from the same research.

The best of many worthless trials looks good. Two bundles are trials of the same idea if the artifacts that they cite
are the same or share an ancestor, or if they hold the same module: the lineage by which also a broken glass's debts go.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import variance
from typing import TYPE_CHECKING

from pydantic import JsonValue

from bundles.debts import lineage_of
from bundles.evidence import EvaluationKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bundles.catalog import Catalog
    from bundles.manifests import Bundle

TRIALS = "trials"
VARIANCE = "sharpe_variance"


@dataclass(frozen=True)
class Trials:
    """The trials that a bundle is one of."""

    count: int
    """At least 1: the bundle itself."""
    sharpe_variance: float | None
    """Of their annualised Sharpe ratios (n - 1); None while fewer than two are known."""

    def settings(self) -> dict[str, JsonValue]:
        """Return what the settings of an evaluation say of them: a later execution must count the same ones."""
        # Written as text: an integral float would come back as an integer, and its settings have one form only.
        return {TRIALS: self.count, VARIANCE: None if self.sharpe_variance is None else repr(self.sharpe_variance)}

    @classmethod
    def of_settings(cls, settings: Mapping[str, JsonValue]) -> Trials:
        """Read what `settings` wrote."""
        known = settings[VARIANCE]
        return cls(int(str(settings[TRIALS])), None if known is None else float(str(known)))


def trials_of(catalog: Catalog, bundle: str, kind: EvaluationKind = "shadow") -> Trials:
    """Count the bundles that were evaluated so far and are the same idea as a bundle, itself included.

    The Sharpe ratios are those of each one's latest evaluation of this kind.
    """
    manifest = catalog.bundle(bundle)
    lineage = set(lineage_of(catalog, manifest))
    count, ratios = 1, []
    for other_id in catalog.bundle_ids():
        other = catalog.bundle(other_id)
        if not _is_same_idea(catalog, manifest, lineage, other):
            continue
        evaluations = catalog.evaluations(other_id)
        count += int(bool(evaluations)) if other_id != manifest.bundle_id else 0
        latest = [each for each in evaluations if each.inputs.kind == kind][-1:]
        ratios += [ratio for each in latest if (ratio := each.metrics.get("sharpe")) is not None]
    return Trials(count, variance(ratios) if len(ratios) > 1 else None)


def _is_same_idea(catalog: Catalog, manifest: Bundle, lineage: set[str], other: Bundle) -> bool:
    same_module = manifest.wasm_digest is not None and manifest.wasm_digest == other.wasm_digest
    return same_module or not lineage.isdisjoint(lineage_of(catalog, other))
