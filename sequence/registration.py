"""Gets a compiled bundle to where it belongs: always a local manifest, then the store, then a coordinator."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bundles.errors import UnreachableError
from sequence.local_bundles import write_manifest, write_wasm

if TYPE_CHECKING:
    from bundles.catalog import Catalog
    from bundles.manifests import Bundle
    from bundles.settings import Settings


class KeptLocallyError(UnreachableError):
    """The bundle is complete, but could not be sent everywhere; the message says how to send it later."""


def register(
    manifest: Bundle, wasm: bytes | None, *, settings: Settings, catalog: Callable[[], Catalog], folder: Path
) -> None:
    """Write the manifest to a folder and register the bundle. Doing it again changes nothing.

    Raises:
        NotFoundError: when an artifact that the bundle cites is not registered; nothing was written.
        KeptLocallyError: when store or coordinator cannot be reached; manifest and algo are in the folder.

    """
    try:
        blobs = [] if wasm is None else [wasm]
        catalog().register_bundle(manifest, author=settings.user, blobs=blobs, now_ns=time.time_ns())
    except UnreachableError as error:
        raise _kept(manifest, wasm, folder, f"The store {settings.store} cannot be reached: {error}") from error
    write_manifest(folder, manifest)
    if settings.coordinator_url is None:
        return
    from sequence.coordinator_client import put_bundle

    try:
        put_bundle(
            settings.coordinator_url, manifest.bundle_id, manifest.model_dump(mode="json"), api_key=settings.api_key
        )
    except UnreachableError as error:
        raise _kept(manifest, wasm, folder, f"{error} The bundle is registered in {settings.store}.") from error


def _kept(manifest: Bundle, wasm: bytes | None, folder: Path, reason: str) -> KeptLocallyError:
    path = write_manifest(folder, manifest)
    kept = path.name
    if wasm is not None:
        kept += f" and {write_wasm(folder, manifest.bundle_id, wasm).name}"
    return KeptLocallyError(f"{reason} Kept {kept} in {folder}. Send it later: sequence bundle register {path.name}")
