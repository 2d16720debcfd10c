"""Steps that turn a Rust project into a registered bundle."""

from __future__ import annotations

import time
from pathlib import Path

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from bundles.compile import compile_edge
from bundles.manifests import EdgeBundle
from bundles.project import find_project
from bundles.toolchain import build_wasm as run_cargo
from bundles.toolchain import find_toolchain
from evals.wasm import inspect_module
from tasks.places import open_catalog


@task(task_run_name="build {project}", cache_policy=NO_CACHE)
def build_wasm(project: Path) -> bytes:
    """Compile a Rust project to WASM and return the module."""
    log = get_run_logger()
    toolchain = find_toolchain(say=log.info)
    log.info("Rust: %s", toolchain.origin)
    module = run_cargo(project, toolchain).read_bytes()
    log.info("%s: %d bytes of WASM", project, len(module))
    return module


@task(task_run_name="compile and register", cache_policy=NO_CACHE)
def compile_edge_bundle(
    wasm: bytes,
    *,
    project: Path,
    artifact: str,
    strategy: str,
    risk_version: str,
    author: str,
    store: str,
) -> EdgeBundle:
    """Check the module, pack it with the project's limits and configuration, and register the bundle."""
    facts = inspect_module(wasm)
    settings = find_project(project)
    bundle = compile_edge(
        wasm,
        sdk_abi=facts.abi,
        artifact=artifact,
        strategy=strategy,
        risk_version=risk_version,
        risk_limits=settings.risk_limits(risk_version),
        config=settings.config,
    )
    open_catalog(store).register_bundle(bundle, author=author, blobs=[wasm], now_ns=time.time_ns())
    get_run_logger().info("%s (ABI %s) is registered", bundle.bundle_id, facts.abi)
    return bundle
