"""Whom a candidate is compared with: a named bundle, nobody, or the one that holds the rung it wants next."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import JsonValue

from bundles.errors import InvalidInputError, RefusedError
from bundles.listing import standings
from bundles.manifests import EdgeBundle
from bundles.stages import STAGES
from bundles.verification import Verifier
from evals.shadowing.settings import FLAT

if TYPE_CHECKING:
    from bundles.catalog import Catalog
    from bundles.state import BundleState


@dataclass(frozen=True)
class Incumbent:
    """Whom a candidate is compared with: the digest of a manifest, or ``flat``."""

    manifest: str
    by: Literal["ladder", "request"]
    """``request`` if it was named and is not the one that the ladder names."""

    def as_settings(self) -> dict[str, JsonValue]:
        """Return it as it stands in an evaluation's inputs."""
        return {"incumbent": self.manifest, "incumbent_by": self.by}


def incumbent_of(catalog: Catalog, candidate: EdgeBundle, wanted: str | None, *, now_ns: int) -> Incumbent:
    """Return the incumbent of a candidate.

    ``wanted`` is a bundle's id or a unique prefix, ``flat``, or None for :func:`holder_of_next_rung`; if nobody holds
    it, the baseline is flat.

    Raises:
        NotFoundError: if there is no bundle of that name.
        InvalidInputError: if it holds no algo.
        RefusedError: if it is in quarantine.
        IntegrityError: if a history that the choice rests on does not verify.

    """
    holder = holder_of_next_rung(catalog, candidate, now_ns=now_ns)
    named = FLAT if holder is None else holder.digest()
    chosen = named if wanted is None else FLAT if wanted == FLAT else _asked_for(catalog, wanted)
    return Incumbent(chosen, "ladder" if chosen == named else "request")


def _asked_for(catalog: Catalog, wanted: str) -> str:
    manifest = catalog.bundle(wanted)
    if not isinstance(manifest, EdgeBundle):
        raise InvalidInputError(
            f"The incumbent {manifest.bundle_id} is a bundle of kind {manifest.kind}; an algo is compared with an edge "
            f"bundle. Name one, or {FLAT!r} for the baseline that never trades."
        )
    if catalog.ledger.state(manifest.bundle_id).quarantine is not None:
        raise RefusedError(
            f"The incumbent {manifest.bundle_id} is in quarantine, so it is nothing to be measured by. "
            f"Name another bundle, or {FLAT!r} for the baseline that never trades."
        )
    return manifest.digest()


def holder_of_next_rung(catalog: Catalog, candidate: EdgeBundle, *, now_ns: int) -> EdgeBundle | None:
    """Return the incumbent of a candidate that names none: who stands on the rung that it wants next.

    Asked are other edge bundles of the same strategy that are not in quarantine. Those on the lowest occupied rung
    above the candidate's come first; among them the one that came there last, then the least id.
    """
    order = STAGES["edge"]
    rung = order.index(catalog.ledger.state(candidate.bundle_id).stage_at(now_ns))
    verifier = Verifier(catalog)
    # Heads are quick to read; the histories of the few that remain are verified: a forged one must not lower the bar.
    above = [
        state
        for bundle, standing in standings(catalog).items()
        if (standing.target, standing.strategy) == ("edge", candidate.label)
        and order.index(standing.stage_at(now_ns)) > rung
        and (state := verifier.state(verifier.history(bundle))).quarantine is None
        and order.index(state.stage_at(now_ns)) > rung
    ]
    if not above:
        return None
    lowest = min((each.stage_at(now_ns) for each in above), key=order.index)
    manifest = catalog.bundle(_latest((each for each in above if each.stage_at(now_ns) == lowest), lowest).bundle)
    return manifest if isinstance(manifest, EdgeBundle) else None


def _latest(states: Iterable[BundleState], stage: str) -> BundleState:
    def came_ns(state: BundleState) -> int:
        return max((each.at_ns for each in state.promotions if each.stage == stage), default=state.earned_at_ns)

    return min(states, key=lambda state: (-came_ns(state), state.bundle))
