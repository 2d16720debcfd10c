"""Finds a Rust that can compile to WASM, and builds algos with it.

In this order: the active rustup toolchain if it has the target; the same after ``rustup target add``; a system rustc
that has the target; a system rustc with the standard library's source (Debian's rustc-web and rust-web-src), which then
builds ``core`` and ``alloc`` itself. A rustup toolchain without the target is never picked over a system one that has
it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bundles.errors import InvalidInputError, LadderError, NotFoundError

TARGET: Final = "wasm32-unknown-unknown"

_DEBIAN_PACKAGES: Final = (
    ("rustc-web", "cargo-web", "rust-web-src", "lld"),
    ("rustc", "cargo", "libstd-rust-dev-wasm32", "lld"),
)
"""Newest first; the second set's cargo is too old for the sparse registry protocol."""

_HOW_TO_INSTALL: Final = f"""No Rust toolchain here can compile to {TARGET}. Install one:
  with rustup:       rustup target add {TARGET}
  without rustup:    install rustup, then the line above
  Debian and Ubuntu: apt-get install {" ".join(_DEBIAN_PACKAGES[0])}
                     (or, where those do not exist: apt-get install {" ".join(_DEBIAN_PACKAGES[1])})"""


_STDERR: Final = 2


class ToolchainMissingError(NotFoundError):
    """No Rust that can compile to WASM."""


class BuildFailedError(InvalidInputError):
    """Cargo could not compile the project."""


@dataclass(frozen=True)
class Toolchain:
    """A cargo and what it must be told."""

    cargo: Path
    origin: str
    """In words: what was chosen and why."""
    environment: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()


def find_toolchain(
    *,
    environ: Mapping[str, str] | None = None,
    install: bool = False,
    say: Callable[[str], None] = lambda _text: None,
) -> Toolchain:
    """Find a toolchain that has the WASM target; with ``install``, root lets Debian's package manager add one.

    Raises:
        ToolchainMissingError: when there is none; the message lists the commands that install one.

    """
    environ = os.environ if environ is None else environ
    found = _from_rustup(environ, say) or _from_system(environ)
    if found is None and install and _apt_install(environ, say):
        found = _from_system(environ)
    if found is None:
        raise ToolchainMissingError(_HOW_TO_INSTALL)
    return found


def build_wasm(project: Path, toolchain: Toolchain, *, environ: Mapping[str, str] | None = None) -> Path:
    """Compile a project and return the path of its .wasm. Cargo's messages go to stderr.

    Raises:
        BuildFailedError: when cargo fails, or leaves no module or more than one.

    """
    environ = os.environ if environ is None else environ
    if not (project / "Cargo.toml").is_file():
        raise BuildFailedError(
            f"There is no Cargo.toml in {project}. Go to the project's folder, or start one: sequence init NAME"
        )
    command = [
        str(toolchain.cargo),
        "build",
        "--release",
        "--target",
        TARGET,
        "--message-format=json-render-diagnostics",
        *toolchain.arguments,
    ]
    done = subprocess.run(  # noqa: S603 -- the cargo that was found, in the folder that was named
        command, cwd=project, env={**environ, **toolchain.environment}, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode != 0:
        raise BuildFailedError(f"cargo build failed in {project} (exit {done.returncode}); its messages stand above.")
    messages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    modules = {
        name
        for message in messages
        if message.get("reason") == "compiler-artifact"
        for name in message["filenames"]
        if name.endswith(".wasm")
    }
    if len(modules) != 1:
        raise BuildFailedError(
            f"The build of {project} left {len(modules)} WASM modules, not one. "
            'Give exactly one library in Cargo.toml crate-type = ["cdylib"].'
        )
    return Path(modules.pop())


def _from_rustup(environ: Mapping[str, str], say: Callable[[str], None]) -> Toolchain | None:
    rustup = _which("rustup", environ)
    rustc = _which("rustc", environ)
    cargo = _which("cargo", environ)
    if rustup is None:
        return None
    # Beside rustup lie its proxies; a rustc that another package put earlier on PATH is not rustup's.
    rustc, cargo = (_beside(rustup, name) or other for name, other in (("rustc", rustc), ("cargo", cargo)))
    if rustc is None or cargo is None:
        return None
    environment = {"RUSTC": str(rustc)}
    if _has_target(rustc, environ):
        return Toolchain(cargo, f"rustup's toolchain ({rustc}), which has {TARGET}", environment)
    say(f"rustup's toolchain lacks {TARGET}; asking rustup for it")
    if _runs([str(rustup), "target", "add", TARGET], environ) and _has_target(rustc, environ):
        return Toolchain(cargo, f"rustup's toolchain ({rustc}), to which {TARGET} was added", environment)
    say(f"rustup could not add {TARGET}; looking for a system toolchain")
    return None


def _from_system(environ: Mapping[str, str]) -> Toolchain | None:
    pairs = list(_system_pairs(environ))
    for rustc, cargo in pairs:
        if _has_target(rustc, environ):
            return Toolchain(cargo, f"the system's {rustc}, which has {TARGET}", {"RUSTC": str(rustc)})
    linker = _which("wasm-ld", environ)
    for rustc, cargo in pairs:
        sysroot = _asked(rustc, ["--print", "sysroot"], environ)
        if linker and sysroot and (Path(sysroot) / "lib/rustlib/src/rust/library/core/src/lib.rs").is_file():
            return Toolchain(
                cargo,
                f"the system's {rustc}, which builds core and alloc from source",
                {
                    "RUSTC": str(rustc),
                    "RUSTC_BOOTSTRAP": "1",
                    "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER": str(linker),
                },
                ("-Z", "build-std=core,alloc"),
            )
    return None


def _system_pairs(environ: Mapping[str, str]) -> Iterator[tuple[Path, Path]]:
    """Every (rustc, cargo) of one directory on PATH that is not rustup's."""
    for directory in dict.fromkeys(environ.get("PATH", os.defpath).split(os.pathsep)):
        rustc, cargo = Path(directory) / "rustc", Path(directory) / "cargo"
        if (
            directory
            and os.access(rustc, os.X_OK)
            and os.access(cargo, os.X_OK)
            and not (Path(directory) / "rustup").exists()
        ):
            yield rustc, cargo


def _has_target(rustc: Path, environ: Mapping[str, str]) -> bool:
    """Tell whether a rustc has the target's standard library; it names the directory even where there is none."""
    answer = _asked(rustc, ["--print", "target-libdir", "--target", TARGET], environ)
    return answer is not None and any(Path(answer).glob("libcore-*.rlib"))


def _asked(program: Path, arguments: Sequence[str], environ: Mapping[str, str]) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603 -- a program that was found on PATH
            [str(program), *arguments], env=dict(environ), capture_output=True, text=True, check=False, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _runs(command: Sequence[str], environ: Mapping[str, str]) -> bool:
    """Run a command with its output on stderr; stdout belongs to the caller's result."""
    try:
        done = subprocess.run(command, env=dict(environ), stdout=_STDERR, check=False)  # noqa: S603 -- our own command
    except OSError:
        return False
    return done.returncode == 0


def _apt_install(environ: Mapping[str, str], say: Callable[[str], None]) -> bool:
    apt = _which("apt-get", environ)
    if apt is None or os.geteuid() != 0:
        return False
    quiet = {**environ, "DEBIAN_FRONTEND": "noninteractive"}
    _runs([str(apt), "update", "-q"], quiet)
    for packages in _DEBIAN_PACKAGES:
        say(f"installing {' '.join(packages)}")
        if _runs([str(apt), "install", "-y", "-q", "--no-install-recommends", *packages], quiet):
            return True
    return False


def _which(name: str, environ: Mapping[str, str]) -> Path | None:
    found = shutil.which(name, path=environ.get("PATH", os.defpath))
    return None if found is None else Path(found)


def _beside(program: Path, name: str) -> Path | None:
    neighbour = program.with_name(name)
    return neighbour if os.access(neighbour, os.X_OK) else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the toolchain that would be used; ``--install`` adds one where there is none."""
    parser = argparse.ArgumentParser(prog="python -m bundles.toolchain", description=main.__doc__)
    parser.add_argument(
        "--install", action="store_true", help="as root on Debian: install the packages if nothing is found"
    )
    options = parser.parse_args(arguments)
    try:
        toolchain = find_toolchain(install=options.install, say=lambda text: print(text, file=sys.stderr))  # noqa: T201
    except LadderError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return error.exit_code
    print(f"Rust: {toolchain.origin}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
