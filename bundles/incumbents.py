"""Who stands on the rung that an algo wants next: whom it is compared with, and whether that is still so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

from bundles.canonical import Digest, short_id
from bundles.evidence import Evaluation
from bundles.listing import standings
from bundles.manifests import EdgeBundle
from bundles.policy import StageRule
from bundles.proposals import Proposal
from bundles.stages import STAGES
from bundles.state import BundleState

if TYPE_CHECKING:
    from bundles.catalog import Catalog
    from bundles.verification import Verifier

FLAT: Final = "flat"
"""Stands for nobody in the place of an incumbent's digest: the baseline that never trades."""

BY_LADDER: Final = "incumbent_by_ladder"
"""The metric that is 1 where an algo was compared with the holder of the next rung, not with somebody's choice."""


def holder_of_next_rung(catalog: Catalog, verifier: Verifier, candidate: str, *, now_ns: int) -> EdgeBundle | None:
    """Return who stands on the rung that the bundle of this id wants next; None if nobody does.

    Asked are other edge bundles of the same strategy that are not in quarantine. Those on the lowest occupied rung
    above the one that the candidate has earned come first; among them the one that came there last, then the least id.

    Raises:
        NotFoundError: if there is no bundle of that id.
        IntegrityError: if a history that the choice rests on does not verify.

    """
    order = STAGES["edge"]
    rung = order.index(catalog.ledger.state(candidate).earned)
    strategy = catalog.bundle(candidate).label
    # Heads are quick to read; the histories of the few that remain are verified: a forged one must not lower the bar.
    above = [
        state
        for bundle, standing in standings(catalog).items()
        if (standing.target, standing.strategy) == ("edge", strategy)
        and bundle != candidate
        and order.index(standing.stage_at(now_ns)) > rung
        and (state := verifier.state(verifier.history(bundle))).quarantine is None
        and order.index(state.stage_at(now_ns)) > rung
    ]
    if not above:
        return None
    lowest = min((each.stage_at(now_ns) for each in above), key=order.index)
    on_it = (each for each in above if each.stage_at(now_ns) == lowest)
    manifest = catalog.bundle(min(on_it, key=lambda each: (-_came_ns(each, lowest), each.bundle)).bundle)
    return manifest if isinstance(manifest, EdgeBundle) else None


def succession_problems(
    catalog: Catalog,
    verifier: Verifier,
    proposal: Proposal,
    state: BundleState,
    records: Mapping[str, Evaluation],
    rule: StageRule | None,
    *,
    now_ns: int,
) -> Iterator[str]:
    """Say that the latest evidence compares with somebody else than who holds the next rung now.

    That is asked only where the stage wants the ladder's choice of the incumbent (:data:`BY_LADDER`), and only if
    somebody holds the rung: who fell since then was beaten all the same. An audit does not ask again, since what others
    wrote at about that time may not have been there to be read.
    """
    if rule is None or not any(each.metric == BY_LADDER and not each.dry_run for each in rule.rules):
        return
    latest = state.latest(rule.evidence)
    record = records.get(latest.evaluation) if latest else None
    if record is None or record.eval_id not in proposal.evaluations or "incumbent" not in record.inputs.settings:
        return
    holder = holder_of_next_rung(catalog, verifier, proposal.bundle, now_ns=now_ns)
    compared = str(record.inputs.settings["incumbent"])
    if holder is not None and holder.digest() != compared:
        yield (
            f"evaluation {record.eval_id} compares with {_name(compared)}, but {holder.bundle_id} is the one to beat "
            f"now; run the {rule.evidence} evaluation again, which compares with that one"
        )


def _name(incumbent: Digest | str) -> str:
    return "the flat baseline" if incumbent == FLAT else short_id("bun", incumbent)


def _came_ns(state: BundleState, stage: str) -> int:
    return max((each.at_ns for each in state.promotions if each.stage == stage), default=state.earned_at_ns)
