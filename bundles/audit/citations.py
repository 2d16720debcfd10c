"""What documents build on: the blobs and the named things that must be there because a document says so."""

from __future__ import annotations

import json
from collections.abc import Iterator

from pydantic import BaseModel

from bundles.canonical import read_document, short_id
from bundles.errors import MalformedDocumentError
from bundles.evidence import Evaluation
from bundles.manifests import Artifact, AssignmentBundle, EdgeBundle, SorBundle

_NAMED_BY_DIGEST = {
    "dataset": ("datasets", "data"),
    "edge": ("bundles", "bun"),
    "sor": ("bundles", "bun"),
    "assignment": ("bundles", "bun"),
    "promotion-statement": ("requests", "prm"),
}


def cited_names(document: BaseModel) -> Iterator[tuple[str, str]]:
    """Yield kind and id of everything that a document builds on."""
    if isinstance(document, Artifact):
        yield from (("artifacts", name) for name in document.parents)
    elif isinstance(document, EdgeBundle | SorBundle | AssignmentBundle):
        yield from (("artifacts", name) for name in document.artifacts)
    elif isinstance(document, Evaluation):
        yield from (("datasets", short_id("data", digest)) for digest in document.inputs.datasets)


def cited_blobs(document: BaseModel) -> Iterator[str]:
    """Yield the digests of the blobs that a document refers to."""
    if isinstance(document, EdgeBundle):
        yield document.wasm.digest
    elif isinstance(document, Artifact):
        yield from (ref.digest for ref in document.files.values())
    elif isinstance(document, Evaluation):
        yield from (ref.digest for ref in document.outputs.values())
        yield from document.inputs.blobs


def name_of(digest: str, content: bytes) -> tuple[str, str] | None:
    """Return kind and id under which a blob would be found, if it holds a document that gets an id.

    An evaluation that was cut short gets none.
    """
    try:
        document = json.loads(content) if content.startswith(b"{") else None
    except ValueError:
        return None
    if not isinstance(document, dict):
        return None
    if "ladders" in document:
        return "policies", short_id("pol", digest)
    if "result_digest" in document:
        return _name_of_evaluation(content)
    kind = document.get("kind")
    if kind == "artifact":
        return "artifacts", str(document.get("id"))
    if kind in _NAMED_BY_DIGEST:
        folder, short = _NAMED_BY_DIGEST[kind]
        return folder, short_id(short, digest)
    return None


def _name_of_evaluation(content: bytes) -> tuple[str, str] | None:
    try:
        evaluation = read_document(Evaluation, content, "evaluation")
    except MalformedDocumentError:
        return None
    return None if evaluation.status == "interrupted" else ("evaluations", evaluation.eval_id)
