"""`sequence audit`: whether the record is whole."""

from __future__ import annotations

import click

from sequence.cli.session import Group, Session, pass_session


@click.group(cls=Group)
def audit() -> None:
    """Check that nobody has changed the record."""


@audit.command()
@pass_session
def verify(session: Session) -> None:
    """Verify every blob, reference and ledger of the store; exit 7 if anything does not hold."""
    from bundles.audit import verify as verify_store
    from bundles.errors import IntegrityError

    report = verify_store(
        session.catalog.store,
        progress=lambda count: session.progress(f"{count} objects") if count % 1000 == 0 else None,
    )
    session.emit(
        {
            "store": session.settings.store,
            "entries": report.entries,
            "objects": report.objects,
            "problems": list(report.problems),
            "unfinished": list(report.unfinished),
        },
        [
            f"Store: {session.settings.store}",
            f"Checked: {report.entries} ledger entries, {report.objects} objects",
            *(f"Unfinished: {text}" for text in report.unfinished),
            *(f"Problem: {problem}" for problem in report.problems),
            f"Verdict: {'does not verify' if report.problems else 'verifies'}",
        ],
    )
    if report.problems:
        raise click.exceptions.Exit(IntegrityError.exit_code)
