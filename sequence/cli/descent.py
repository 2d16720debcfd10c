"""`sequence bundle demote|rollback|quarantine|release|review`: down the ladder, and back in order afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

import click

from sequence.cli.ids import BUNDLE
from sequence.cli.session import Command, Session, pass_session
from sequence.cli.signing import key_at_hand, telling_how_to_sign

if TYPE_CHECKING:
    from bundles.descent import Change

_STAGES: Final = ("research", "replay", "shadow", "sandbox", "live")

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])


def _with_notes(command: _Decorated) -> _Decorated:
    return click.option("--notes", required=True, help="Why; the record keeps it")(command)


def _with_word(command: _Decorated) -> _Decorated:
    key = click.Path(exists=True, dir_okay=False, path_type=Path)
    command = click.option(
        "--key", type=key, help="Sign with this OpenSSH key [default: the first usual one that the roster lists]"
    )(command)
    return click.option("--approver", default="", help="Who says it [default: the user]")(command)


@click.command(cls=Command)
@click.argument("bundle_id", metavar="BUNDLE", type=BUNDLE)
@click.option("--stage", required=True, type=click.Choice(_STAGES), help="Where to")
@_with_notes
@pass_session
def demote(session: Session, bundle_id: str, stage: str, notes: str) -> None:
    """Move a bundle down to a stage; this voids its open requests."""
    from bundles.descent import demote as go_down

    operator = session.settings.user
    _show(
        session,
        go_down(session.catalog, bundle_id, stage=stage, notes=notes, operator=operator, now_ns=time.time_ns()),
    )


@click.command(cls=Command)
@click.argument("bundle_id", metavar="BUNDLE", type=BUNDLE)
@_with_notes
@pass_session
def rollback(session: Session, bundle_id: str, notes: str) -> None:
    """Undo a bundle's last promotion, and end what a broken glass lends it."""
    from bundles.descent import roll_back

    operator = session.settings.user
    _show(session, roll_back(session.catalog, bundle_id, notes=notes, operator=operator, now_ns=time.time_ns()))


@click.command(cls=Command)
@click.argument("bundle_id", metavar="BUNDLE", type=BUNDLE)
@_with_notes
@pass_session
def quarantine(session: Session, bundle_id: str, notes: str) -> None:
    """Stop a bundle from going anywhere, by any door, until it is released; this voids its open requests."""
    from bundles.descent import quarantine as set_apart

    operator = session.settings.user
    _show(session, set_apart(session.catalog, bundle_id, notes=notes, operator=operator, now_ns=time.time_ns()))


@click.command(cls=Command)
@click.argument("bundle_id", metavar="BUNDLE", type=BUNDLE)
@_with_notes
@_with_word
@pass_session
def release(session: Session, bundle_id: str, notes: str, approver: str, key: Path | None) -> None:
    """End a bundle's quarantine, with the word of somebody whom the policy names for it."""
    from bundles.descent import release as end_quarantine
    from bundles.governance import in_force
    from bundles.statements import PROMOTION

    now_ns, person, governance = time.time_ns(), approver.strip() or session.settings.user, in_force(session.catalog)
    key = key or key_at_hand(governance.roster, person, PROMOTION, now_ns)
    with telling_how_to_sign(governance.roster, person, governance.policy.release, signed=key is not None):
        change = end_quarantine(session.catalog, bundle_id, notes=notes, operator=person, key=key, now_ns=now_ns)
    _show(session, change)


@click.command(cls=Command)
@click.argument("bundle_id", metavar="BUNDLE", type=BUNDLE)
@click.option(
    "--verdict",
    required=True,
    type=click.Choice(["ratify", "demote"]),
    help="ratify: it was right to break the glass; demote: end what it lends at once",
)
@_with_notes
@_with_word
@pass_session
def review(
    session: Session,
    bundle_id: str,
    verdict: Literal["ratify", "demote"],
    notes: str,
    approver: str,
    key: Path | None,
) -> None:
    """Say afterwards whether it was right to break the glass for a bundle: the oldest one that owes a review."""
    from bundles.descent import review as look_at_glass
    from bundles.governance import in_force
    from bundles.statements import PROMOTION

    catalog, now_ns, person = session.catalog, time.time_ns(), approver.strip() or session.settings.user
    governance = in_force(catalog)
    key = key or key_at_hand(governance.roster, person, PROMOTION, now_ns)
    with telling_how_to_sign(governance.roster, person, governance.policy.break_glass.reviews, signed=key is not None):
        change = look_at_glass(
            catalog, bundle_id, verdict=verdict, notes=notes, reviewer=person, key=key, now_ns=now_ns
        )
    glasses = catalog.ledger.state(change.bundle).glasses
    glass = next(each for each in glasses if change.ledger_seq in {review.seq for review in each.reviews})
    request = glass.promotion.request.id
    _show(
        session,
        change,
        {"request": request, "verdict": verdict, "reviews": len(glass.reviews), "reviews_needed": glass.reviews_needed},
        [f"Review: {request}, {verdict} by {person}", f"Reviews: {len(glass.reviews)}/{glass.reviews_needed}"],
    )


def _show(
    session: Session, change: Change, more: dict[str, Any] | None = None, more_lines: list[str] | None = None
) -> None:
    session.emit(
        {
            "bundle_id": change.bundle,
            "stage_before": change.stage_before,
            "stage": change.stage,
            "ledger_seq": change.ledger_seq,
            **(more or {}),
        },
        [
            f"Bundle ID: {change.bundle}",
            f"Stage: {change.stage}" + (f" (was {change.stage_before})" if change.stage != change.stage_before else ""),
            *(more_lines or []),
            "Nothing had to be changed." if change.ledger_seq is None else f"Ledger entry: {change.ledger_seq}",
        ],
    )
