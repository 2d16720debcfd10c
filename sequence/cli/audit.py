"""`sequence audit`: whether the record is whole, and what it says."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sequence.cli.ids import BUNDLE
from sequence.cli.layout import wrapped
from sequence.cli.session import Group, Session, pass_session

if TYPE_CHECKING:
    from collections.abc import Sequence

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.group(cls=Group)
def audit() -> None:
    """Check that nobody has changed the record, and tell what it says."""


@audit.command()
@click.option("--against", type=_FILE, metavar="FILE", help="Compare with a checkpoint that was kept elsewhere")
@click.option("--file", "exported", type=_FILE, metavar="EXPORT", help="Verify an exported file in place of the store")
@click.option("--roster", type=_FILE, metavar="ALLOWED_SIGNERS", help="The roster, for --file")
@click.option("--roles", type=_FILE, metavar="FILE", help="The roles of the roster, for --file")
@pass_session
def verify(
    session: Session, against: Path | None, exported: Path | None, roster: Path | None, roles: Path | None
) -> None:
    """Verify every blob, reference, ledger, signature and decision; exit 7 if anything does not hold."""
    if (exported is None) != (roster is None) or (roles is not None and roster is None):
        raise click.UsageError("--file and --roster are given together, and --roles with them only.")
    if exported is not None and roster is not None:
        if against is not None:
            raise click.UsageError("--against compares the store, --file verifies a file; give one of them.")
        _verify_file(session, exported, roster, roles)
        return
    from bundles.audit import verify as verify_store
    from bundles.checkpoints import load_export

    gc.disable()  # it would look for garbage among everything that was read, again and again, for a fifth of the time
    report = verify_store(
        session.catalog.store,
        progress=lambda count: session.progress(f"{count} blobs") if count % 1000 == 0 else None,
        against=load_export(against) if against else None,
    )
    _tell(
        session,
        {
            "store": session.settings.store,
            "entries": report.entries,
            "objects": report.objects,
            "checkpoints": report.checkpoints,
            "problems": list(report.problems),
            "unfinished": list(report.unfinished),
            "remarks": list(report.remarks),
        },
        f"Store: {session.settings.store}",
        f"Checked: {report.entries} ledger entries, {report.objects} objects, {report.checkpoints} checkpoints",
    )


def _verify_file(session: Session, exported: Path, roster: Path, roles: Path | None) -> None:
    from bundles.audit.export import load_audit_export, verify_export
    from bundles.roster import load_roster

    report = verify_export(
        load_audit_export(exported), str(exported), load_roster(roster, roles), has_roles=roles is not None
    )
    document = {
        "file": str(exported),
        "entries": report.entries,
        "problems": list(report.problems),
        "remarks": list(report.remarks),
    }
    _tell(session, document, f"File: {exported}", f"Checked: {report.entries} ledger entries")


def _tell(session: Session, document: dict[str, object], *facts: str) -> None:
    from bundles.errors import IntegrityError

    lines = [*facts]
    for name, label in (("remarks", "Remark"), ("unfinished", "Unfinished"), ("problems", "Problem")):
        found: Sequence[str] = document.get(name, ())  # type: ignore[assignment]
        lines += [line for text in found for line in wrapped(f"{label}: {text}")]
    lines.append(f"Verdict: {'does not verify' if document['problems'] else 'verifies'}")
    session.emit(document, lines)
    if document["problems"]:
        raise click.exceptions.Exit(IntegrityError.exit_code)


@audit.command()
@click.option("--out", type=_FILE, metavar="FILE", help="Write the latest checkpoint to a file, to keep elsewhere")
@pass_session
def checkpoint(session: Session, out: Path | None) -> None:
    """Sign what the store holds now, so that the removal of a ledger, or of its end, is found."""
    import time

    from bundles.checkpoints import export_checkpoint, make_checkpoint
    from bundles.runners import this_runner

    signer = this_runner(session.settings)
    made = make_checkpoint(session.catalog, signer, now_ns=time.time_ns())
    lines = [
        f"Checkpoint: {made}, signed by {signer.name}" if made else "Checkpoint: nothing has changed since the last"
    ]
    if out is not None:
        _write(out, export_checkpoint(session.catalog).canonical().decode())
        lines.append(f"File: {out}")
    session.emit({"checkpoint": made, "signer": signer.name, "file": str(out) if out else None}, lines)


@audit.command()
@click.argument("bundles", metavar="[BUNDLE]...", nargs=-1, type=BUNDLE)
@click.option("--promotion", metavar="PRM", help="Only the promotion that was made on this request")
@click.option("--format", "form", type=click.Choice(["json", "csv", "html"]), default="json", show_default=True)
@click.option("--out", type=_FILE, metavar="FILE", required=True, help="Where to write")
@pass_session
def export(session: Session, bundles: tuple[str, ...], promotion: str | None, form: str, out: Path) -> None:
    """Tell what changed, when, by whom, approved by whom, on which evidence; of all bundles unless some are named."""
    import time

    from bundles.audit.export import as_csv
    from bundles.audit.export import export as make_export
    from bundles.audit.page import as_html

    if bundles and promotion:
        raise click.UsageError("Name bundles, or one promotion.")
    made = make_export(session.catalog, bundles, promotion, now_ns=time.time_ns())
    if form == "json":
        text = made.canonical().decode()
    else:
        text = as_csv(made.review) if form == "csv" else as_html(made.review)
    _write(out, text)
    session.emit(
        {"file": str(out), "bundles": list(made.bundles), "changes": len(made.review.changes)},
        [
            f"File: {out}",
            f"Told: {_counted(len(made.review.changes), 'change')} of {_counted(len(made.bundles), 'bundle')}",
        ],
    )


def _write(path: Path, text: str) -> None:
    from bundles.errors import UnreachableError

    try:
        path.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise UnreachableError(f"{path} cannot be written: {error.strerror}. Give another path.") from error


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
