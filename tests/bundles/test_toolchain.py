"""Which Rust is chosen, on machines made of fake executables."""

import os
from pathlib import Path

import pytest

from bundles.toolchain import BuildFailedError, ToolchainMissingError, build_wasm, find_toolchain


def _program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


class Machine:
    """A PATH of its own: directories in which fake toolchains are put."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.directories: list[Path] = []

    @property
    def environ(self) -> dict[str, str]:
        # The fake programs need no program of the real machine but those that a shell script calls by path.
        return {"PATH": os.pathsep.join(str(directory) for directory in self.directories)}

    def rust(self, name: str, *, target: bool, source: bool = False, rustup: str | None = None) -> Path:
        directory = self.root / name / "bin"
        sysroot = self.root / name
        libdir = sysroot / "lib/rustlib/wasm32-unknown-unknown/lib"
        _program(
            directory / "rustc",
            f'case "$*" in *target-libdir*) echo {libdir};; *sysroot*) echo {sysroot};; *) exit 1;; esac',
        )
        _program(directory / "cargo", "exit 0")
        if target:
            libdir.mkdir(parents=True)
            (libdir / "libcore-0.rlib").touch()
        if source:
            core = sysroot / "lib/rustlib/src/rust/library/core/src/lib.rs"
            core.parent.mkdir(parents=True)
            core.touch()
        if rustup is not None:
            _program(directory / "rustup", rustup.format(libdir=libdir))
        self.directories.append(directory)
        return directory / "cargo"

    def linker(self) -> Path:
        linker = _program(self.root / "lld/bin/wasm-ld", "exit 0")
        self.directories.append(linker.parent)
        return linker


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


ADDS_TARGET = '[ "$*" = "target add wasm32-unknown-unknown" ] && /bin/mkdir -p {libdir} && : > {libdir}/libcore-1.rlib'


def test_rustup_with_the_target_comes_first(machine: Machine) -> None:
    cargo = machine.rust("rustup", target=True, rustup="exit 1")
    machine.rust("usr", target=True)
    assert find_toolchain(environ=machine.environ).cargo == cargo


def test_rustup_is_asked_for_the_target(machine: Machine) -> None:
    cargo = machine.rust("rustup", target=False, rustup=ADDS_TARGET)
    machine.rust("usr", target=True)
    chosen = find_toolchain(environ=machine.environ)
    assert chosen.cargo == cargo
    assert "was added" in chosen.origin


def test_a_system_rust_with_the_target_beats_rustup_without(machine: Machine) -> None:
    machine.rust("rustup", target=False, rustup="exit 1")
    cargo = machine.rust("usr", target=True)
    chosen = find_toolchain(environ=machine.environ)
    assert (chosen.cargo, chosen.environment) == (cargo, {"RUSTC": str(cargo.with_name("rustc"))})


def test_a_system_rust_that_only_names_the_target_is_passed_over(machine: Machine) -> None:
    machine.rust("opt", target=False)
    cargo = machine.rust("usr", target=True)
    assert find_toolchain(environ=machine.environ).cargo == cargo


def test_sources_are_built_when_there_is_a_linker(machine: Machine) -> None:
    machine.rust("usr", target=False, source=True)
    with pytest.raises(ToolchainMissingError):
        find_toolchain(environ=machine.environ)
    linker = machine.linker()
    chosen = find_toolchain(environ=machine.environ)
    assert chosen.arguments == ("-Z", "build-std=core,alloc")
    assert chosen.environment["CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER"] == str(linker)
    assert chosen.environment["RUSTC_BOOTSTRAP"] == "1"


def test_nothing_found_says_what_to_install(machine: Machine) -> None:
    with pytest.raises(ToolchainMissingError, match="rustup target add wasm32-unknown-unknown") as caught:
        find_toolchain(environ=machine.environ)
    assert "apt-get install rustc-web" in str(caught.value)


@pytest.mark.parametrize("root", [True, False])
def test_apt_runs_only_when_asked_and_only_as_root(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, root: bool
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0 if root else 1000)
    log = tmp_path / "apt.log"
    apt = _program(tmp_path / "apt/apt-get", f'echo "$*" >> {log}; case "$*" in *rustc-web*) exit 100;; esac')
    machine.directories.append(apt.parent)
    with pytest.raises(ToolchainMissingError):
        find_toolchain(environ=machine.environ)
    assert not log.exists()
    with pytest.raises(ToolchainMissingError):
        find_toolchain(environ=machine.environ, install=True)
    assert log.exists() is root
    if root:
        assert [line.split()[-4] for line in log.read_text().splitlines()[1:]] == ["rustc-web", "rustc"]


def test_a_failed_build_and_a_missing_project_say_so(machine: Machine, tmp_path: Path) -> None:
    cargo = machine.rust("rustup", target=True, rustup="exit 1")
    toolchain = find_toolchain(environ=machine.environ)
    with pytest.raises(BuildFailedError, match="There is no Cargo"):
        build_wasm(tmp_path, toolchain, environ=machine.environ)
    (tmp_path / "Cargo.toml").touch()
    with pytest.raises(BuildFailedError, match="left 0 WASM modules"):
        build_wasm(tmp_path, toolchain, environ=machine.environ)
    _program(cargo, "exit 101")
    with pytest.raises(BuildFailedError, match="exit 101"):
        build_wasm(tmp_path, toolchain, environ=machine.environ)
