"""What is owed after the glass was broken: others look at it, and until they have, the same algo is not promoted.

Two bundles are the same algo if they hold the same module, or if the research that they cite has a common ancestor: a
corrected bundle that cites the next artifact of the lineage inherits the debt.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from bundles.approvals import Approval, approval_problems
from bundles.entries import GOVERNANCE_LEDGER, Body, GlassBroken, LedgerEntry
from bundles.governance import Governance
from bundles.people import same_person
from bundles.state import BundleState, Glass, Request
from bundles.statements import ReviewStatement

if TYPE_CHECKING:
    from bundles.catalog import Catalog
    from bundles.manifests import Bundle


def lineage_of(catalog: Catalog, manifest: Bundle) -> tuple[str, ...]:
    """Return the artifacts that a bundle cites and all their ancestors, in order of their names."""
    found: set[str] = set()
    pending = list(manifest.artifacts)
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += catalog.artifact(name).parents
    return tuple(sorted(found))


def is_same_algo(glass: GlassBroken, manifest: Bundle, lineage: Sequence[str]) -> bool:
    """Tell whether the glass was broken for the algo that a manifest holds."""
    same_module = glass.wasm is not None and glass.wasm == manifest.wasm_digest
    return glass.bundle == manifest.bundle_id or same_module or bool(set(glass.lineage) & set(lineage))


def record_glass(catalog: Catalog, bundle_id: str, request: Request, *, now_ns: int) -> None:
    """Tell the governance ledger, once, that a glass is about to be broken: the promotion itself comes after."""
    manifest = catalog.bundle(bundle_id)
    body = GlassBroken(
        bundle=bundle_id,
        request=request.id,
        stage=request.statement.stage,
        wasm=manifest.wasm_digest,
        lineage=lineage_of(catalog, manifest),
    )

    def draft(history: Sequence[LedgerEntry]) -> tuple[None, Body | None]:
        return None, None if any(entry.body == body for entry in history) else body

    catalog.ledger.append(GOVERNANCE_LEDGER, actor=request.requested_by, at_ns=now_ns, draft=draft)


def review_problems(
    state: BundleState,
    glass: Glass,
    verdict: Literal["ratify", "demote"],
    approval: Approval,
    governance: Governance,
    at_ns: int,
) -> Iterator[str]:
    """Say everything that keeps a review of a broken glass from counting; nothing if it does."""
    statement = ReviewStatement(bundle=state.manifest, request=glass.promotion.request.id, verdict=verdict)
    yield from approval_problems(
        approval,
        statement=statement,
        roster=governance.roster,
        author=state.author,
        signers=governance.policy.break_glass.reviews,
        at_ns=at_ns,
    )
    request = glass.promotion.request
    if approval.person in {each.person for each in request.approvals} | {same_person(request.requested_by)}:
        yield f"{approval.approver} broke the glass, or asked for it, and cannot review that; ask someone else"
    if approval.person in {each.approval.person for each in glass.reviews}:
        yield f"{approval.approver} has reviewed it already; reviews come from different people"
