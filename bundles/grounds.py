"""What a promotion rests on besides documents: the bytes of the algo, of the cited research and of the evaluations."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TypeVar

from bundles.canonical import short_id
from bundles.catalog import Catalog, ref_key
from bundles.errors import IntegrityError, NotFoundError
from bundles.evidence import Evaluation
from bundles.manifests import Bundle, EdgeBundle

Found = TypeVar("Found")


def verify_grounds(catalog: Catalog, manifest: Bundle, evaluations: Iterable[Evaluation]) -> None:
    """Read everything that a bundle and evaluations of it rest on, each blob once.

    Raises:
        IntegrityError: naming each reference and blob that is missing or was changed.

    """
    _Grounds(catalog).verify(manifest, evaluations)


class _Grounds:
    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._seen: set[str] = set()
        self._problems: list[str] = []

    def verify(self, manifest: Bundle, evaluations: Iterable[Evaluation]) -> None:
        if isinstance(manifest, EdgeBundle):
            self._blob(manifest.wasm.digest)
        for name in manifest.artifacts:
            self._artifact(name)
        for evaluation in evaluations:
            for digest in evaluation.inputs.datasets:
                self._dataset(digest)
            for blob in evaluation.inputs.blobs:
                self._blob(blob)
            for ref in evaluation.outputs.values():
                self._blob(ref.digest)
        if self._problems:
            raise IntegrityError("\n".join(self._problems))

    def _artifact(self, name: str) -> None:
        pending = [name]
        while pending:
            cited = pending.pop()
            artifact = self._once(ref_key("artifacts", cited), partial(self._catalog.artifact, cited))
            if artifact is None:
                continue
            for ref in artifact.files.values():
                self._blob(ref.digest)
            pending += artifact.parents

    def _dataset(self, digest: str) -> None:
        name = short_id("data", digest)
        key = ref_key("datasets", name)
        dataset = self._once(key, lambda: self._catalog.dataset(name))
        if dataset is not None and dataset.digest() != digest:
            self._problems.append(f"{key} leads to {dataset.digest()}, not to {digest}. Restore it from a backup.")

    def _blob(self, digest: str) -> None:
        self._once(digest, lambda: self._catalog.blob(digest))

    def _once(self, what: str, read: Callable[[], Found]) -> Found | None:
        """Return what is read, or None if it was read before or cannot be."""
        if what in self._seen:
            return None
        self._seen.add(what)
        try:
            return read()
        except NotFoundError:
            self._problems.append(
                f"{what} is missing from {self._catalog.store.url}, but is referred to. Restore the store from a "
                "backup and run `audit verify`."
            )
        except IntegrityError as error:
            self._problems.append(str(error))
        return None
