"""`sequence artifact`: research outputs that bundles cite."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sequence.cli.ids import ARTIFACT
from sequence.cli.layout import columns
from sequence.cli.session import Group, Session, pass_session

if TYPE_CHECKING:
    from bundles.manifests import Artifact


@click.group(cls=Group)
def artifact() -> None:
    """Register research outputs that bundles cite; a name once bound to content never changes."""


@artifact.command()
@click.argument("artifact_id", metavar="ID")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--note", default="", help="What this is, in a sentence")
@click.option(
    "--parent", "parents", multiple=True, type=ARTIFACT, help="Artifact that this one grew out of (repeatable)"
)
@pass_session
def register(session: Session, artifact_id: str, files: tuple[Path, ...], note: str, parents: tuple[str, ...]) -> None:
    """Register FILES (folders with all that is in them) under the name ID, for example art_routing_v3."""
    from bundles.errors import InvalidInputError

    contents: dict[str, bytes] = {}
    for path in files:
        members = sorted(member for member in path.rglob("*") if member.is_file()) if path.is_dir() else [path]
        for member in members:
            name = member.relative_to(path.parent).as_posix()
            if name in contents:
                raise InvalidInputError(
                    f"Two files would be called {name!r} in {artifact_id}. Register their folder instead."
                )
            contents[name] = member.read_bytes()
    if not contents:
        raise InvalidInputError(f"{', '.join(map(str, files))} holds no files. An artifact needs at least one.")
    stored = session.catalog.register_artifact(artifact_id, contents, note=note, parents=parents)
    _show(session, stored)


@artifact.command()
@click.argument("artifact_id", metavar="ID", type=ARTIFACT)
@pass_session
def show(session: Session, artifact_id: str) -> None:
    """Show what ID is bound to."""
    _show(session, session.catalog.artifact(artifact_id))


@artifact.command("list")
@pass_session
def list_artifacts(session: Session) -> None:
    """List the artifacts of the store."""
    stored = session.catalog.artifacts()
    rows = [(each.id, str(len(each.files)), each.note or "-") for each in stored]
    session.emit([_document(each) for each in stored], columns(("ARTIFACT", "FILES", "NOTE"), rows))


def _document(stored: Artifact) -> dict[str, Any]:
    return {"digest": stored.digest(), **stored.model_dump(mode="json")}


def _show(session: Session, stored: Artifact) -> None:
    lines = [f"Artifact: {stored.id}", f"Digest: {stored.digest()}"]
    if stored.note:
        lines.append(f"Note: {stored.note}")
    lines += [f"Parent: {parent}" for parent in stored.parents]
    lines += [f"File: {name} {blob.digest} ({blob.size_bytes} bytes)" for name, blob in sorted(stored.files.items())]
    session.emit(_document(stored), lines)
