"""Manifests in a folder: ``<bundle id>.bundle.json``, with the algo beside them while it could not be sent.

Reads them without the schema (and so without pydantic): `sequence bundle list` is typed often.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from bundles.manifests import Bundle

SUFFIX: Final = ".bundle.json"


@dataclass(frozen=True)
class LocalManifest:
    """One file as it lies in the folder; ``problem`` says why it cannot be trusted."""

    path: Path
    bundle_id: str
    strategy: str = "-"
    wasm_hash: str = "-"
    problem: str | None = None


def list_manifests(folder: Path) -> Iterator[LocalManifest]:
    """Yield the manifests of a folder by name."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        yield _read(path)


@contextmanager
def manifest_draft(folder: Path, manifest: Bundle) -> Iterator[Callable[[], Path]]:
    """Write a manifest under a temporary name; what is yielded puts it in its place, and else nothing remains.

    People read the file; the manifest's canonical form has the digest that names it.

    Raises:
        InvalidInputError: when the folder cannot take it.

    """
    from bundles.errors import InvalidInputError

    path = folder / f"{manifest.bundle_id}{SUFFIX}"
    draft = path.with_name(f".{path.name}.tmp")
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        draft.write_text(json.dumps(manifest.model_dump(mode="json"), indent=2, sort_keys=True) + "\n", "utf-8")
    except OSError as error:
        raise InvalidInputError(
            f"The manifest {path} cannot be written: {error.strerror}. Nothing was registered. "
            "Change to a folder that can be written, and run this again."
        ) from error
    try:
        yield lambda: draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def write_wasm(folder: Path, bundle_id: str, wasm: bytes) -> Path:
    """Keep an algo that could not be sent beside its manifest."""
    path = folder / f"{bundle_id}.wasm"
    _replace(path, wasm)
    return path


def read_manifest(path: Path) -> Bundle:
    """Read one manifest file.

    Raises:
        MalformedDocumentError: naming the file and each place that does not fit.
        IntegrityError: when the file is named after a bundle that it does not hold.

    """
    from bundles.canonical import read_document
    from bundles.errors import IntegrityError, NotFoundError
    from bundles.manifests import BUNDLE

    try:
        content = path.read_bytes()
    except OSError as error:
        raise NotFoundError(f"The manifest {path} cannot be read: {error.strerror}. Check the path.") from error
    manifest: Bundle = read_document(BUNDLE, content, str(path))
    if path.name.startswith("bun_") and path.name != f"{manifest.bundle_id}{SUFFIX}":
        raise IntegrityError(
            f"{path} holds {manifest.bundle_id}, not what its name says: it was edited or renamed. "
            "Compile the bundle again."
        )
    return manifest


def _read(path: Path) -> LocalManifest:
    import rfc8785

    name = path.name.removesuffix(SUFFIX)
    try:
        manifest = json.loads(path.read_bytes())
        bundle_id = "bun_" + hashlib.sha256(rfc8785.dumps(manifest)).hexdigest()[:16]
        kind = manifest["kind"]
        strategy = manifest["strategy"] if kind == "edge" else kind
        wasm_hash = manifest["wasm"]["digest"] if kind == "edge" else "-"
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        return LocalManifest(path, name, problem=f"is not a manifest ({type(error).__name__}: {error})")
    problem = None if bundle_id == name else f"holds {bundle_id}, not what its name says: it was edited or renamed"
    return LocalManifest(path, bundle_id, str(strategy), str(wasm_hash), problem)


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(content)
    temporary.replace(path)
