"""Gets a compiled bundle to where it belongs: always a local manifest, then the store, then a coordinator."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bundles.errors import UnreachableError
from sequence.local_bundles import manifest_draft, write_wasm

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
        InvalidInputError: when the folder cannot take the manifest; nothing was registered.
        NotFoundError: when an artifact that the bundle cites is not registered; nothing was written.
        KeptLocallyError: when store or coordinator cannot be reached; manifest and algo are in the folder.

    """
    with manifest_draft(folder, manifest) as place:
        blobs = [] if wasm is None else [wasm]
        try:
            catalog().register_bundle(manifest, author=settings.user, blobs=blobs, now_ns=time.time_ns())
        except UnreachableError as error:
            reason = f"The store {settings.store} cannot be reached: {error}"
            raise _kept(place(), manifest, wasm, reason) from error
        path = place()
    if settings.coordinator_url is None:
        return
    from sequence.coordinator_client import put_bundle

    try:
        put_bundle(
            settings.coordinator_url, manifest.bundle_id, manifest.model_dump(mode="json"), api_key=settings.api_key
        )
    except UnreachableError as error:
        raise _kept(path, manifest, wasm, f"{error} The bundle is registered in {settings.store}.") from error


def _kept(path: Path, manifest: Bundle, wasm: bytes | None, reason: str) -> KeptLocallyError:
    kept = path.name
    if wasm is not None:
        kept += f" and {write_wasm(path.parent, manifest.bundle_id, wasm).name}"
    return KeptLocallyError(
        f"{reason} Kept {kept} in {path.parent}. Send it later: sequence bundle register {path.name}"
    )
