"""`sequence init`, `build`, `deploy`: a project and its algo."""

from __future__ import annotations

from pathlib import Path

import click

from sequence.cli.ids import BUNDLE
from sequence.cli.session import Command, Session, pass_session


@click.command(cls=Command)
@click.argument("name")
@pass_session
def init(session: Session, name: str) -> None:
    """Start a project NAME from the market-making template."""
    from sequence.templates import start_project

    project = start_project(name, Path.cwd())
    files = sorted(path.relative_to(project).as_posix() for path in project.rglob("*") if path.is_file())
    session.emit(
        {"name": name, "path": str(project), "files": files},
        [f"Project: {project}", *(f"  {each}" for each in files), f"Next: cd {name} && sequence build"],
    )


@click.command(cls=Command)
@pass_session
def build(session: Session) -> None:
    """Compile the algo of the project in the current directory to WASM."""
    path = compile_project(session, project_folder())
    size_bytes = path.stat().st_size
    session.emit({"wasm": str(path), "size_bytes": size_bytes}, [f"WASM: {path}", f"Size: {size_bytes} bytes"])


@click.command(cls=Command)
@click.argument("symbol", required=False)
@click.option("--bundle", "bundle_id", type=BUNDLE, help="The promoted bundle to deploy")
@click.option("--start", is_flag=True, help="Start it at once")
@click.option("--skip-build", is_flag=True, help="Use the WASM that was built before")
def deploy(symbol: str | None, bundle_id: str | None, start: bool, skip_build: bool) -> None:  # noqa: ARG001 -- the brief's form
    """Deploy a promoted bundle to an edge. Comes with a later release: exits 3 and changes nothing."""
    from bundles.errors import RefusedError

    what = bundle_id or "the project"
    raise RefusedError(
        f"This release cannot deploy {what}: the coordinator and the edge runtime come with a later one. "
        "Nothing was deployed. Promote now, deploy later: sequence bundle promote --help"
    )


def project_folder() -> Path:
    """Return the nearest folder upwards that has a Cargo.toml; the current one where none has."""
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / "Cargo.toml").is_file()), here)


def compile_project(session: Session, folder: Path) -> Path:
    """Compile the project in a folder; return the WASM file."""
    from bundles.toolchain import build_wasm, find_toolchain

    toolchain = find_toolchain(say=session.say)
    session.say(f"Rust: {toolchain.origin}")
    return build_wasm(folder, toolchain)


def built_wasm(folder: Path) -> Path:
    """Return the WASM file that was built in a project before.

    Raises:
        NotFoundError: if there is none, or more than one.

    """
    from bundles.errors import NotFoundError

    held = sorted((folder / "target/wasm32-unknown-unknown/release").glob("*.wasm"))
    if len(held) != 1:
        raise NotFoundError(f"{folder} has {len(held)} built WASM files, not one. Leave out --skip-build.")
    return held[0]
