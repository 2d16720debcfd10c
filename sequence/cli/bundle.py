"""`sequence bundle`: compile, register, list, inspect and promote bundles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from sequence.cli.ids import ARTIFACT, BUNDLE, EVALUATION
from sequence.cli.layout import columns, wrapped
from sequence.cli.session import Group, Session, naming, pass_session

if TYPE_CHECKING:
    from bundles.approvals import Approval
    from bundles.entries import Body
    from bundles.manifests import Bundle

_TARGETS: Final = ("edge", "sor", "assignment")
_STAGES: Final = ("research", "replay", "shadow", "sandbox", "live", "scaled")


@click.group(cls=Group)
def bundle() -> None:
    """Compile and promote versioned packages with their research, risk limits and lineage."""


@bundle.command("compile-edge")
@click.option(
    "--wasm", "wasm_path", required=True, type=click.Path(path_type=Path), help="Path to the compiled WASM file"
)
@click.option("--artifact", "artifact_id", required=True, type=ARTIFACT, help="Research artifact ID")
@click.option("--strategy", default="mm-pro", show_default=True, help="Strategy family identifier")
@click.option("--risk-version", default="v1", show_default=True, help="Risk limits version")
@pass_session
def compile_edge(session: Session, wasm_path: Path, artifact_id: str, strategy: str, risk_version: str) -> None:
    """Compile an edge algo bundle: WASM, risk limits, configuration and strategy metadata.

    Risk limits and configuration come from the project's Sequence.toml, found from here or from the WASM file upwards.
    """
    from bundles.compile import compile_edge as compile_manifest
    from bundles.errors import NotFoundError
    from bundles.project import find_project
    from evals.wasm import inspect_module

    try:
        wasm = wasm_path.read_bytes()
    except OSError as error:
        raise NotFoundError(
            f"The WASM file {wasm_path} cannot be read: {error.strerror}. Build it first: sequence build"
        ) from error
    project = find_project(Path.cwd(), wasm_path.parent)
    with naming(wasm_path):
        abi = inspect_module(wasm).abi
    manifest = compile_manifest(
        wasm,
        sdk_abi=abi,
        artifact=artifact_id,
        strategy=strategy,
        risk_version=risk_version,
        risk_limits=project.risk_limits(risk_version),
        config=project.config,
    )
    _register(session, manifest, wasm)


@bundle.command("compile-sor")
@click.option("--routing-model", required=True, type=ARTIFACT, help="Routing model artifact reference")
@click.option("--impact-model", required=True, type=ARTIFACT, help="Market impact model artifact reference")
@click.option("--slicing-policy", default="vwap", show_default=True, help="Order slicing strategy")
@pass_session
def compile_sor(session: Session, routing_model: str, impact_model: str, slicing_policy: str) -> None:
    """Compile a SOR policy bundle: routing model, impact model and slicing."""
    from bundles.compile import compile_sor as compile_manifest

    manifest = compile_manifest(routing_model=routing_model, impact_model=impact_model, slicing_policy=slicing_policy)
    _register(session, manifest, None)


@bundle.command("compile-assignment")
@click.option("--artifact", "artifact_id", required=True, type=ARTIFACT, help="Artifact ID")
@click.option("--edge-threshold", default=1_000_000_000_000, show_default=True, help="Edge notional threshold (1e9)")
@click.option("--sor-threshold", default=1_000_000_000_000, show_default=True, help="SOR notional threshold (1e9)")
@click.option("--min-venues", default=2, show_default=True, help="Minimum venues required for SOR")
@pass_session
def compile_assignment(
    session: Session, artifact_id: str, edge_threshold: int, sor_threshold: int, min_venues: int
) -> None:
    """Compile an assignment policy bundle: edge-or-SOR routing thresholds."""
    from bundles.compile import compile_assignment as compile_manifest

    manifest = compile_manifest(
        artifact=artifact_id,
        edge_threshold_1e9=edge_threshold,
        sor_threshold_1e9=sor_threshold,
        min_venues=min_venues,
    )
    _register(session, manifest, None)


@bundle.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--wasm",
    "wasm_path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The algo, if not beside FILE",
)
@pass_session
def register(session: Session, file: Path, wasm_path: Path | None) -> None:
    """Register the bundle of a manifest FILE, such as one that was kept because the store could not be reached."""
    from bundles.errors import IntegrityError
    from sequence.local_bundles import read_manifest

    manifest = read_manifest(file)
    wasm: bytes | None = None
    if manifest.kind == "edge":
        from bundles.canonical import digest_of

        beside = wasm_path or file.with_name(f"{manifest.bundle_id}.wasm")
        wasm = beside.read_bytes() if beside.is_file() else session.catalog.blob(manifest.wasm.digest)
        if digest_of(wasm) != manifest.wasm.digest:
            raise IntegrityError(
                f"{beside} is {digest_of(wasm)}, the manifest names {manifest.wasm.digest}. "
                "Give the WASM file that was compiled: --wasm PATH"
            )
    _register(session, manifest, wasm)


@bundle.command("list")
@click.option("--all", "in_store", is_flag=True, help="List the bundles of the store, with their stages")
@pass_session
def list_bundles(session: Session, in_store: bool) -> None:
    """List the bundles that were compiled in the current directory."""
    if in_store:
        _list_store(session)
        return
    from sequence.local_bundles import list_manifests

    found = list(list_manifests(Path.cwd()))
    sound = [each for each in found if each.problem is None]
    for each in found:
        if each.problem is not None:
            session.say(f"Warning: {each.path.name} {each.problem}. Compile the bundle again, or remove the file.")
    session.emit(
        [{"bundle_id": each.bundle_id, "strategy": each.strategy, "wasm_hash": each.wasm_hash} for each in sound],
        columns(
            ("BUNDLE_ID", "STRATEGY", "WASM_HASH"), [(each.bundle_id, each.strategy, each.wasm_hash) for each in sound]
        ),
    )


@bundle.command()
@click.argument("bundle_id", metavar="BUNDLE", type=BUNDLE)
@pass_session
def show(session: Session, bundle_id: str) -> None:
    """Show a bundle's manifest, author and stage."""
    catalog = session.catalog
    full_id = catalog.resolve_bundle(bundle_id)
    manifest = catalog.bundle(full_id)
    state = catalog.ledger.state(full_id)
    fields = manifest.model_dump(mode="json")
    session.emit(
        {
            "bundle_id": full_id,
            "manifest_digest": manifest.digest(),
            "stage": state.stage,
            "author": state.author,
            "manifest": fields,
        },
        [
            f"Bundle ID: {full_id}",
            f"Stage: {state.stage}",
            f"Author: {state.author}",
            f"Manifest digest: {manifest.digest()}",
            *_flat(fields),
        ],
    )


@bundle.command()
@click.argument("bundle_id", metavar="BUNDLE", type=BUNDLE)
@pass_session
def history(session: Session, bundle_id: str) -> None:
    """Show what happened to a bundle, in the order of its ledger."""
    full_id = session.catalog.resolve_bundle(bundle_id)
    entries = session.catalog.ledger.history(full_id)
    rows = [(str(each.seq), _utc(each.at_ns), each.kind, each.actor, _gist(each.body)) for each in entries]
    session.emit(
        [each.model_dump(mode="json") for each in entries],
        columns(("SEQ", "AT", "KIND", "ACTOR", "WHAT"), rows),
    )


@bundle.command()
@click.option("--bundle", "bundle_id", required=True, type=BUNDLE, help="Bundle ID to promote")
@click.option("--target", required=True, type=click.Choice(_TARGETS), help="The bundle's ladder")
@click.option("--stage", required=True, type=click.Choice(_STAGES), help="Target stage")
@click.option(
    "--eval-run",
    "evaluations",
    multiple=True,
    type=EVALUATION,
    help="Evaluation that justifies the promotion (required unless --break-glass; repeatable)",
)
@click.option("--approver", default="", help="Who is approving (required)")
@click.option("--key", type=click.Path(exists=True, path_type=Path), help="Sign the approval with this OpenSSH key")
@click.option("--break-glass", is_flag=True, help="Emergency bypass: skips ladder order, evaluations and quorum")
@click.option("--notes", default="", help="Reason or context for the promotion")
@pass_session
def promote(
    session: Session,
    bundle_id: str,
    target: str,
    stage: str,
    evaluations: tuple[str, ...],
    approver: str,
    key: Path | None,
    break_glass: bool,
    notes: str,
) -> None:
    """Move a bundle through the deployment ladder; exit 3 lists every condition that is not met."""
    import time

    from bundles.errors import RefusedError
    from bundles.promotion import promote as promote_bundle

    catalog = session.catalog
    if key is not None and not approver.strip():
        raise click.UsageError("--key signs as somebody: give --approver too.")
    approvals = []
    if approver.strip():
        approvals = [
            _approval(
                session,
                bundle_id=bundle_id,
                target=target,
                stage=stage,
                evaluations=evaluations,
                approver=approver,
                key=key,
                break_glass=break_glass,
                notes=notes,
            )
        ]
    outcome = promote_bundle(
        catalog,
        bundle=bundle_id,
        target=target,
        stage=stage,
        evaluations=evaluations,
        approvals=approvals,
        break_glass=break_glass,
        notes=notes,
        requested_by=session.settings.user,
        now_ns=time.time_ns(),
    )
    session.emit(
        {
            "decision": outcome.decision,
            "stage": outcome.stage,
            "unmet": list(outcome.unmet),
            "ledger_seq": outcome.ledger_seq,
        },
        [
            f"Bundle ID: {catalog.resolve_bundle(bundle_id)}",
            f"Decision: {outcome.decision}",
            f"Stage: {outcome.stage}",
            *(line for condition in outcome.unmet for line in wrapped(f"Unmet: {condition}")),
            *([] if outcome.ledger_seq is None else [f"Ledger entry: {outcome.ledger_seq}"]),
        ],
    )
    if outcome.decision != "promoted":
        raise click.exceptions.Exit(RefusedError.exit_code)


def _register(session: Session, manifest: Bundle, wasm: bytes | None) -> None:
    """Write the manifest, register the bundle, and print the result even where it could only be kept."""
    from sequence.registration import KeptLocallyError, register

    kept: KeptLocallyError | None = None
    try:
        register(manifest, wasm, settings=session.settings, catalog=lambda: session.catalog, folder=Path.cwd())
    except KeptLocallyError as error:
        kept = error
    name = f"{manifest.bundle_id}.bundle.json"
    document: dict[str, Any] = {"bundle_id": manifest.bundle_id, "manifest_digest": manifest.digest()}
    lines = [f"Bundle ID: {manifest.bundle_id}"]
    if manifest.kind == "edge":
        document["wasm_hash"] = manifest.wasm.digest
        lines.append(f"WASM Hash: {manifest.wasm.digest}")
    if manifest.kind == "sor":
        document |= {"routing_model": manifest.routing_model, "impact_model": manifest.impact_model}
        lines += [f"Routing Model: {manifest.routing_model}", f"Impact Model: {manifest.impact_model}"]
    else:
        document["artifact"] = manifest.artifact
        lines.append(f"Artifact: {manifest.artifact}")
    document |= {"manifest": name, "registered": kept is None}
    session.emit(document, [*lines, f"Manifest: {name}"])
    if kept is not None:
        session.say(f"Error: {kept}")
        raise click.exceptions.Exit(kept.exit_code)


def _list_store(session: Session) -> None:
    import time

    from bundles.listing import standings

    now_ns = time.time_ns()
    documents = [
        {
            "bundle_id": bundle_id,
            "strategy": standing.strategy,
            "wasm_hash": standing.wasm or "-",
            "stage": standing.stage_at(now_ns),
        }
        for bundle_id, standing in standings(session.catalog).items()
    ]
    session.emit(
        documents, columns(("BUNDLE_ID", "STRATEGY", "WASM_HASH", "STAGE"), [tuple(d.values()) for d in documents])
    )


def _approval(
    session: Session,
    *,
    bundle_id: str,
    target: str,
    stage: str,
    evaluations: Sequence[str],
    approver: str,
    key: Path | None,
    break_glass: bool,
    notes: str,
) -> Approval:
    """Return the approver's word for exactly this promotion: typed, or signed with a key."""
    import time

    from bundles.approvals import Approval, sign_statement
    from bundles.promotion import statement_for

    statement = statement_for(
        session.catalog, bundle=bundle_id, target=target, stage=stage, evaluations=evaluations, break_glass=break_glass
    )
    return Approval(
        approver=approver,
        notes=notes,
        statement=statement.digest(),
        kind="typed" if key is None else "signed",
        signature="" if key is None else sign_statement(statement, key),
        at_ns=time.time_ns(),
    )


def _flat(fields: dict[str, Any], prefix: str = "") -> list[str]:
    """Return a manifest's fields as lines, nested ones with dots."""
    lines: list[str] = []
    for name, value in fields.items():
        if isinstance(value, dict):
            lines += _flat(value, f"{prefix}{name}.")
        else:
            lines.append(f"{prefix}{name}: {value}")
    return lines


def _gist(body: Body) -> str:
    """Say in a line what a ledger entry records."""
    if body.kind == "registered":
        return body.manifest
    if body.kind == "evaluated":
        return f"{body.evaluation} ({body.evaluation_kind})"
    glass = " with the glass broken" if body.statement.break_glass else ""
    people = ", ".join(f"{each.approver} ({each.kind})" for each in body.approvals)
    notes = f": {body.notes}" if body.notes else ""
    return f"{body.from_stage} to {body.statement.stage}{glass}, approved by {people}{notes}"


def _utc(at_ns: int) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(at_ns // 1_000_000_000, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
