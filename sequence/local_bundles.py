"""Manifests in a folder: ``<bundle id>.bundle.json``, with the algo beside them while it could not be sent.

Reads them without the schema (and so without pydantic): `sequence bundle list` is typed often.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
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


def write_manifest(folder: Path, manifest: Bundle) -> Path:
    """Write a manifest for people to read; its canonical form has the digest that names it."""
    path = folder / f"{manifest.bundle_id}{SUFFIX}"
    _replace(path, (json.dumps(manifest.model_dump(mode="json"), indent=2, sort_keys=True) + "\n").encode())
    return path


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
    except (OSError, ValueError, KeyError, TypeError) as error:
        return LocalManifest(path, name, problem=f"is not a manifest ({type(error).__name__}: {error})")
    problem = None if bundle_id == name else f"holds {bundle_id}, not what its name says: it was edited or renamed"
    return LocalManifest(path, bundle_id, str(strategy), str(wasm_hash), problem)


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(content)
    temporary.replace(path)
