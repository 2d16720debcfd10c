"""Flow `build-bundle`: from a Rust project to a registered bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from prefect import flow

from bundles.manifests import EdgeBundle
from flows.forms import titled
from flows.outcome import completed
from tasks.build import build_wasm, compile_edge_bundle
from tasks.publish import artifact_key, publish_markdown


@flow(
    name="build-bundle",
    flow_run_name="build {project} for {artifact}",
    description="Compiles a Rust algo to WASM, packs it with risk limits and configuration, registers the bundle.",
)
def build_bundle(
    project: Annotated[str, titled("Project")],
    artifact: Annotated[str, titled("Artifact")],
    author: Annotated[str, titled("Author")],
    strategy: Annotated[str, titled("Strategy")] = "mm-pro",
    risk_version: Annotated[str, titled("Risk limits")] = "v1",
    store: Annotated[str, titled("Store")] = "",
) -> EdgeBundle:
    """Build and register an edge bundle.

    Configuration and risk limits are those of the project's Sequence.toml, as with `sequence bundle compile-edge`.

    Args:
        project: Folder of the Rust project (where its Cargo.toml lies) on the machine that runs the flow.
        artifact: Id of the registered research artifact that the bundle cites, such as art_research_v4.
        author: Who made the bundle. The author cannot approve its promotion.
        strategy: Name of the strategy family.
        risk_version: Version of the risk limits: the table [risk.<version>] of the project's Sequence.toml.
        store: Address of the store (file:///… or s3://bucket/prefix). Empty: SEQUENCE_STORE of the worker.

    """
    wasm = build_wasm(Path(project))
    bundle = compile_edge_bundle(
        wasm,
        project=Path(project),
        artifact=artifact,
        strategy=strategy,
        risk_version=risk_version,
        author=author,
        store=store,
    )
    facts = {
        "Bundle": bundle.bundle_id,
        "WASM": f"{bundle.wasm.digest} ({bundle.wasm.size_bytes} bytes, ABI {bundle.sdk_abi})",
        "Artifact": bundle.artifact,
        "Strategy": bundle.strategy,
        "Author": author,
    }
    publish_markdown(
        "\n".join(["| | |", "|---|---|", *(f"| {name} | `{value}` |" for name, value in facts.items())]),
        key=artifact_key("bundle", bundle.bundle_id),
        description=f"Manifest of {bundle.bundle_id}",
    )
    return completed(bundle, f"{bundle.bundle_id} is registered")
