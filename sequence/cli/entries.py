"""What a ledger's entry says, in a line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bundles.times import in_utc
from sequence.cli.times import lasting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bundles.approvals import Approval
    from bundles.entries import LedgerEntry
    from bundles.state import BundleState
    from bundles.statements import PromotionStatement

BROKEN = "BREAK-GLASS"


def gists(entries: Sequence[LedgerEntry], state: BundleState) -> list[str]:
    """Say of each entry of a bundle's history what it records; what broke the glass begins with BREAK-GLASS."""
    return [_gist(entry, state) for entry in entries]


def asked_for(statement: PromotionStatement) -> str:
    """Say which stage a request asks for, on which grounds."""
    if statement.break_glass:
        return f"{BROKEN}: {statement.stage} for {lasting((statement.glass_s or 0) * 10**9)}"
    return f"{statement.stage} on {', '.join(statement.evaluations)}"


def _gist(entry: LedgerEntry, state: BundleState) -> str:
    body = entry.body
    match body.kind:
        case "registered":
            return body.manifest
        case "authored":
            return "the author signed the bundle"
        case "evaluated":
            return f"{body.evaluation} ({body.evaluation_kind}), {_by_signature(body.signature)}"
        case "attested":
            recorded = state.find(body.evaluation)
            same = (
                "the same result" if recorded and recorded.result == body.result else f"ANOTHER RESULT: {body.result}"
            )
            return f"{body.evaluation}: {same}, {_by_signature(body.signature)}"
        case "requested":
            return f"{body.statement.request_id}: {asked_for(body.statement)}{_with(body.notes)}"
        case "approved":
            return f"{body.request}: {_word(body.approval)}"
        case "denied":
            return f"{body.request}: {_word(body.approval)}"
        case "promoted":
            request = state.request(body.request)
            people = ", ".join(f"{each.approver} ({each.kind})" for each in request.approvals) or "nobody"
            said = f"{body.from_stage} to {body.stage}, approved by {people}{_with(request.notes)}"
            if not request.statement.break_glass:
                return said
            until = next(each.until_ns for each in state.glasses if each.promotion.seq == entry.seq)
            return f"{BROKEN} until {in_utc(until)}: {said}"
        case "demoted":
            because = f" because of {body.evaluation}" if body.evaluation else ""
            return f"{body.from_stage} to {body.stage}{because}{_with(body.notes)}"
        case "quarantined":
            return body.notes
        case "released":
            return f"the quarantine of entry {body.quarantine}, {_word(body.approval)}"
        case "reviewed":
            return f"{BROKEN} of {body.request}: {body.verdict}, {_word(body.approval)}"
        case _:  # the ledger of a bundle holds no other kind
            return ""


def _word(approval: Approval) -> str:
    return f"{approval.approver} ({approval.kind}){_with(approval.notes)}"


def _by_signature(signature: str) -> str:
    return "signed" if signature else "unsigned"


def _with(notes: str) -> str:
    return f": {notes}" if notes else ""
