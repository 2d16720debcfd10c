"""`sequence bundle`: compile, register, list, inspect and promote bundles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bundles.times import in_utc
from sequence.cli.descent import demote, quarantine, release, review, rollback
from sequence.cli.entries import asked_for, gists
from sequence.cli.ids import ARTIFACT, BUNDLE
from sequence.cli.layout import columns, wrapped
from sequence.cli.promote import promote
from sequence.cli.session import Group, Session, naming, pass_session
from sequence.cli.signing import how_to_sign, key_at_hand
from sequence.cli.standings import standings

if TYPE_CHECKING:
    from bundles.manifests import Bundle


@click.group(cls=Group)
def bundle() -> None:
    """Compile and promote versioned packages with their research, risk limits and lineage."""


for _command in (promote, demote, rollback, quarantine, release, review):
    bundle.add_command(_command)


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
@click.option("--routing-model", required=True, type=ARTIFACT, help="Artifact with routing-model.json")
@click.option("--impact-model", required=True, type=ARTIFACT, help="Artifact with impact-model.json")
@click.option("--slicing-policy", default="vwap", show_default=True, help="vwap, twap, pov or immediate")
@pass_session
def compile_sor(session: Session, routing_model: str, impact_model: str, slicing_policy: str) -> None:
    """Compile a SOR policy bundle: routing model, impact model and slicing."""
    from bundles.compile import compile_sor as compile_manifest

    manifest = compile_manifest(routing_model=routing_model, impact_model=impact_model, slicing_policy=slicing_policy)
    _check_models(session, manifest)
    _register(session, manifest, None)


@bundle.command("compile-assignment")
@click.option("--artifact", "artifact_id", required=True, type=ARTIFACT, help="Artifact with assignment-model.json")
@click.option(
    "--edge-threshold",
    default=1_000_000_000_000,
    show_default=True,
    help="Notional x 1e9 below which the edge gets an order",
)
@click.option(
    "--sor-threshold", default=1_000_000_000_000, show_default=True, help="Notional x 1e9 from which SOR gets it"
)
@click.option("--min-venues", default=2, show_default=True, help="With fewer live venues the edge gets it")
@pass_session
def compile_assignment(
    session: Session, artifact_id: str, edge_threshold: int, sor_threshold: int, min_venues: int
) -> None:
    """Compile an assignment policy bundle: from which size on SOR gets an order, and from how many venues."""
    from bundles.compile import compile_assignment as compile_manifest

    manifest = compile_manifest(
        artifact=artifact_id,
        edge_threshold_1e9=edge_threshold,
        sor_threshold_1e9=sor_threshold,
        min_venues=min_venues,
    )
    _check_models(session, manifest)
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


@bundle.command()
@click.argument("bundle_id", metavar="BUNDLE", type=BUNDLE)
@click.option(
    "--key",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Sign with this OpenSSH key [default: the first usual one in ~/.ssh that the roster lists]",
)
@pass_session
def sign(session: Session, bundle_id: str, key: Path | None) -> None:
    """Sign a bundle as its author, which the higher stages ask for."""
    import time

    from bundles.authorship import author_statement, sign_bundle
    from bundles.errors import RefusedError
    from bundles.governance import in_force

    catalog, now_ns, author = session.catalog, time.time_ns(), session.settings.user
    roster, full_id = in_force(catalog).roster, catalog.resolve_bundle(bundle_id)
    key = key or key_at_hand(roster, author, author_statement(catalog, full_id).namespace, now_ns)
    if key is None:
        raise RefusedError(f"{full_id} is not signed:", (how_to_sign(roster, author),))
    seq = sign_bundle(catalog, full_id, author=author, key=key, now_ns=now_ns)
    session.emit(
        {"bundle_id": full_id, "author": author, "ledger_seq": seq},
        [f"Bundle ID: {full_id}", f"Signed by: {author}", *([] if seq is None else [f"Ledger entry: {seq}"])],
    )


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
    """Show a bundle's manifest, author, and where it stands; exit 7 if its record does not verify."""
    import time

    from bundles.errors import IntegrityError
    from bundles.state import fold
    from bundles.verification import Verifier

    catalog, verifier, now_ns = session.catalog, Verifier(session.catalog), time.time_ns()
    full_id = catalog.resolve_bundle(bundle_id)
    manifest = catalog.bundle(full_id)
    history = catalog.ledger.history(full_id)
    state = fold(history)
    problems = verifier.problems(history)
    debts = list(verifier.debts(full_id, verifier.governance()))
    until_ns = state.standing().lent_until_ns(now_ns)
    fields = manifest.model_dump(mode="json")
    waiting = [(each.id, asked_for(each.statement)) for each in state.open_requests]
    session.emit(
        {
            "bundle_id": full_id,
            "manifest_digest": manifest.digest(),
            "stage": state.stage_at(now_ns),
            "earned_stage": state.earned,
            "broken_glass_until": None if until_ns is None else in_utc(until_ns),
            "debts": debts,
            "quarantined_since": state.quarantine,
            "open_requests": [name for name, _ in waiting],
            "problems": problems,
            "author": state.author,
            "author_signed": bool(state.author_signature),
            "manifest": fields,
        },
        [
            f"Bundle ID: {full_id}",
            f"Stage: {state.stage_at(now_ns)}",
            f"Earned stage: {state.earned}",
            *([] if until_ns is None else [f"BREAK-GLASS: until {in_utc(until_ns)}, then {state.earned}"]),
            *([] if state.quarantine is None else [f"QUARANTINED: since entry {state.quarantine}"]),
            *(part for debt in debts for part in wrapped(f"REVIEW OWED: {debt}")),
            *(part for name, asked in waiting for part in wrapped(f"Open request: {name}, {asked}")),
            *(part for problem in problems for part in wrapped(f"Problem: {problem}")),
            f"Author: {state.author}" + (" (signed)" if state.author_signature else ""),
            f"Manifest digest: {manifest.digest()}",
            *_flat(fields),
        ],
    )
    if problems:
        raise click.exceptions.Exit(IntegrityError.exit_code)


@bundle.command()
@click.argument("bundle_id", metavar="BUNDLE", type=BUNDLE)
@pass_session
def history(session: Session, bundle_id: str) -> None:
    """Show what happened to a bundle, in the order of its ledger."""
    from bundles.state import fold

    full_id = session.catalog.resolve_bundle(bundle_id)
    entries = session.catalog.ledger.history(full_id)
    said = gists(entries, fold(entries))
    rows = [
        (str(each.seq), in_utc(each.at_ns), each.kind, each.actor, gist)
        for each, gist in zip(entries, said, strict=True)
    ]
    session.emit(
        [each.model_dump(mode="json") for each in entries],
        columns(("SEQ", "AT", "KIND", "ACTOR", "WHAT"), rows),
    )


def _check_models(session: Session, manifest: Bundle) -> None:
    """Refuse models that do not fit their schema; of missing ones only say that they will be needed."""
    from bundles.errors import InvalidInputError, MalformedDocumentError, NotFoundError
    from bundles.models import check_models

    try:
        check_models(session.catalog, manifest)
    except MalformedDocumentError:
        raise
    except NotFoundError:
        return  # registering says which artifact, and how it is registered
    except InvalidInputError as error:
        session.say(f"{error}\nWithout, the bundle can be registered but never evaluated.")


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

    now_ns = time.time_ns()
    documents, rows = [], []
    for bundle_id, standing in standings(session.catalog):
        until_ns = standing.lent_until_ns(now_ns)
        wasm_hash, stage = standing.wasm or "-", standing.stage_at(now_ns)
        documents.append(
            {
                "bundle_id": bundle_id,
                "strategy": standing.strategy,
                "wasm_hash": wasm_hash,
                "stage": stage,
                "earned_stage": standing.earned,
                "broken_glass_until": None if until_ns is None else in_utc(until_ns),
                "review_owed": standing.debt,
                "quarantined": standing.quarantined,
                "requests": list(standing.requests),
            }
        )
        rows.append((bundle_id, standing.strategy, wasm_hash, stage, ", ".join(standing.remarks(now_ns)) or "-"))
    session.emit(documents, columns(("BUNDLE_ID", "STRATEGY", "WASM_HASH", "STAGE", "NOTE"), rows))


def _flat(fields: dict[str, Any], prefix: str = "") -> list[str]:
    """Return a manifest's fields as lines, nested ones with dots."""
    lines: list[str] = []
    for name, value in fields.items():
        if isinstance(value, dict):
            lines += _flat(value, f"{prefix}{name}.")
        else:
            lines.append(f"{prefix}{name}: {value}")
    return lines
