"""Register and find: blobs, artifacts, bundles, datasets, evaluations, requests and policies.

Blobs go first, then the ledger, the reference last: what a reference names is whole, and a crash before it leaves
nothing that counts. The same call again completes what was begun. Whatever is read is verified against the digest that
names it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, TypeVar

from pydantic import TypeAdapter

from bundles.canonical import ID_HEX_DIGITS, SHORTEST_PREFIX, Document, digest_of, read_document, short_id
from bundles.entries import Attested, Body, Evaluated, LedgerEntry, Registered
from bundles.errors import (
    AmbiguousIdError,
    IntegrityError,
    InvalidInputError,
    MalformedDocumentError,
    NameTakenError,
    NotFoundError,
)
from bundles.evidence import Dataset, Evaluation
from bundles.ledger import Ledger
from bundles.manifests import BUNDLE, Artifact, BlobRef, Bundle, EdgeBundle
from bundles.people import read_person, same_person
from bundles.policy import Policy
from bundles.runners import Runner
from bundles.statements import EvaluationStatement, PromotionStatement
from bundles.store.protocol import ObjectStore

Read = TypeVar("Read")

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_WHAT: Final = {
    "bundles": ("bun", "bundle"),
    "datasets": ("data", "dataset"),
    "evaluations": ("eval", "evaluation"),
    "policies": ("pol", "policy"),
    "requests": ("prm", "promotion request"),
    "artifacts": ("art", "artifact"),
}


class Catalog:
    """Everything of a store that has a name."""

    def __init__(self, store: ObjectStore) -> None:
        self.store = store
        self.ledger = Ledger(store)

    # Blobs

    def put_blob(self, content: bytes) -> BlobRef:
        """Keep some bytes under their digest."""
        digest = digest_of(content)
        try:
            self.store.put_if_absent(blob_key(digest), content)
        except NameTakenError as error:
            raise _corrupt(digest) from error
        return BlobRef(digest=digest, size_bytes=len(content))

    def blob(self, digest: str) -> bytes:
        """Return the bytes with a digest.

        Raises:
            IntegrityError: they are not in the store, where whoever knows the digest found it, or were changed.

        """
        found = self.store.get_versioned(blob_key(digest))
        if found is None:
            raise IntegrityError(f"{blob_key(digest)} is missing from {self.store.url}, but is referred to. {_REMEDY}")
        if digest_of(found[0]) != digest:
            raise _corrupt(digest)
        return found[0]

    # Artifacts

    def register_artifact(
        self, artifact_id: str, files: dict[str, bytes], note: str = "", parents: Iterable[str] = ()
    ) -> Artifact:
        """Bind an artifact id to files, a note and parents, for ever.

        Raises:
            NameTakenError: the id is bound to other content.
            NotFoundError: a parent is not registered.

        """
        refs = {name: BlobRef(digest=digest_of(content), size_bytes=len(content)) for name, content in files.items()}
        fields = {"id": artifact_id, "note": note, "files": refs, "parents": tuple(parents)}
        artifact = read_document(Artifact, fields, f"Artifact {artifact_id}")
        self._require_artifacts(artifact.parents)
        self._require_free("artifacts", artifact.id, artifact.digest())
        for content in files.values():
            self.put_blob(content)
        self._bind("artifacts", artifact.id, artifact)
        return artifact

    def artifact(self, artifact_id: str) -> Artifact:
        """Return an artifact by its whole id."""
        artifact = self._document("artifacts", artifact_id, Artifact)
        return self._same_id("artifacts", artifact_id, artifact.id, artifact)

    def artifacts(self) -> list[Artifact]:
        """Return all artifacts in the order of their ids."""
        return [self.artifact(name) for name in self._ids("artifacts")]

    # Bundles

    def register_bundle(self, manifest: Bundle, *, author: str, blobs: Iterable[bytes] = (), now_ns: int) -> str:
        """Keep a manifest and begin its history; return the bundle's id.

        Registering again changes nothing: the first author stays the author.

        Raises:
            NotFoundError: a cited artifact or a blob of the manifest is neither registered nor given.

        """
        if not author.strip():
            raise InvalidInputError("A bundle has an author, who may not approve it. Give a name.")
        author = read_person(author)
        self._require_artifacts(manifest.artifacts)
        for content in blobs:
            self.put_blob(content)
        if isinstance(manifest, EdgeBundle):
            self._require_wasm(manifest)
        bundle_id = manifest.bundle_id
        digest = self.put_blob(manifest.canonical()).digest
        body = Registered(manifest=digest, target=manifest.kind, strategy=manifest.label, wasm=manifest.wasm_digest)
        self.ledger.append(
            bundle_id, actor=author, at_ns=now_ns, draft=lambda history: (None, None if history else body)
        )
        self._bind("bundles", bundle_id, manifest)
        return bundle_id

    def resolve_bundle(self, id_or_prefix: str) -> str:
        """Return the whole id of a bundle; see `resolve`."""
        return self._resolve("bundles", id_or_prefix)

    def bundle(self, id_or_prefix: str) -> Bundle:
        """Return a manifest by id or unique prefix."""
        bundle_id = self.resolve_bundle(id_or_prefix)
        manifest = self._document("bundles", bundle_id, BUNDLE)
        return self._same_id("bundles", bundle_id, manifest.bundle_id, manifest)

    def manifest(self, digest: str) -> Bundle:
        """Return a manifest by its digest."""
        return self.read(digest, BUNDLE)

    @staticmethod
    def bundle_of(about: Evaluation | PromotionStatement) -> str:
        """Return the id of the bundle that an evaluation or a request is about."""
        return short_id("bun", about.inputs.bundle if isinstance(about, Evaluation) else about.bundle)

    def bundle_ids(self) -> list[str]:
        """Return the ids of all bundles, in order, without reading their manifests."""
        return self._ids("bundles")

    # Datasets

    def register_dataset(self, dataset: Dataset) -> str:
        """Keep a dataset and return its id."""
        self._bind("datasets", dataset.dataset_id, dataset)
        return dataset.dataset_id

    def dataset(self, id_or_prefix: str) -> Dataset:
        """Return a dataset by id or unique prefix."""
        dataset_id = self._resolve("datasets", id_or_prefix)
        dataset = self._document("datasets", dataset_id, Dataset)
        return self._same_id("datasets", dataset_id, dataset.dataset_id, dataset)

    def datasets(self) -> list[Dataset]:
        """Return all datasets in the order of their ids."""
        return [self.dataset(name) for name in self._ids("datasets")]

    # Evaluations

    def record_evaluation(
        self, evaluation: Evaluation, outputs: Iterable[bytes], *, runner: Runner, now_ns: int, again: bool = False
    ) -> str:
        """Keep an evaluation with its outputs, write it, signed, into its bundle's ledger and return its id.

        Recording the same again changes nothing, unless ``again`` asks for a further ledger entry, which makes it the
        latest. An interrupted run is kept as blobs only: its inputs may yet have a complete outcome, and an id has
        one.

        Raises:
            NotFoundError: its bundle or a dataset is not registered, a blob that its settings name is not in the
                store, or an output was not given.
            IntegrityError: the same inputs are recorded with another outcome.

        """
        eval_id, bundle_id = evaluation.eval_id, self.bundle_of(evaluation)
        self._require("bundles", bundle_id, evaluation.inputs.bundle)
        for dataset in evaluation.inputs.datasets:
            self._require("datasets", short_id("data", dataset), dataset)
        for blob in evaluation.inputs.blobs:
            self.blob(blob)
        given = {digest_of(content): content for content in outputs}
        for name, ref in evaluation.outputs.items():
            if ref.digest not in given:
                raise NotFoundError(
                    f"The output {name} of {eval_id} ({ref.digest}) was not given. Give the bytes of every output."
                )
        if self._exists("evaluations", eval_id):
            self._require_same_outcome(self.evaluation(eval_id), evaluation)
        for content in given.values():
            self.put_blob(content)
        self.put_blob(evaluation.canonical())
        if evaluation.status != "interrupted":
            self._append_evaluated(bundle_id, evaluation, runner, now_ns=now_ns, again=again)
            self._bind("evaluations", eval_id, evaluation)
        return eval_id

    def _append_evaluated(
        self, bundle_id: str, evaluation: Evaluation, runner: Runner, *, now_ns: int, again: bool
    ) -> None:
        said = _execution(evaluation, evaluation.result_digest)
        body = Evaluated(
            evaluation=evaluation.eval_id,
            evaluation_kind=evaluation.inputs.kind,
            record=said.record,
            result=said.result,
            signature=runner.sign(said),
        )

        def draft(history: Sequence[LedgerEntry]) -> tuple[None, Body | None]:
            known = [
                entry.body
                for entry in history
                if isinstance(entry.body, Evaluated) and entry.body.evaluation == body.evaluation
            ]
            if any(each.record != body.record for each in known):
                raise IntegrityError(
                    f"Evaluation {body.evaluation} of {bundle_id} is recorded with another outcome for the "
                    "same inputs. The bundle or the engine is not deterministic; find out why before trusting either."
                )
            return None, None if known and not again else body

        self.ledger.append(bundle_id, actor=runner.name, at_ns=now_ns, draft=draft)

    def attest(self, evaluation: Evaluation, result: str, *, runner: Runner, now_ns: int) -> int | None:
        """Record, signed, what a runner came to that executed an evaluation's inputs again; once for each runner.

        Return the number of the ledger entry, None if it was there.
        """
        said = _execution(evaluation, result)
        body = Attested(
            evaluation=evaluation.eval_id, record=said.record, result=said.result, signature=runner.sign(said)
        )

        def draft(history: Sequence[LedgerEntry]) -> tuple[None, Body | None]:
            known = any(
                isinstance(entry.body, Attested)
                and entry.body.model_copy(update={"signature": body.signature}) == body
                and bool(entry.body.signature) >= bool(body.signature)
                and same_person(entry.actor) == same_person(runner.name)
                for entry in history
            )
            return None, None if known else body

        bundle_id = self.bundle_of(evaluation)
        return self.ledger.append(bundle_id, actor=runner.name, at_ns=now_ns, draft=draft)[1]

    def known_evaluations(self, names: Iterable[str]) -> dict[str, Evaluation]:
        """Return, by id, those of the named evaluations that exist, their bytes verified."""
        found = {}
        for name in names:
            try:
                found[name] = self.evaluation(name)
            except (NotFoundError, InvalidInputError):
                continue
        return found

    def resolve_evaluation(self, id_or_prefix: str) -> str:
        """Return the whole id of an evaluation."""
        return self._resolve("evaluations", id_or_prefix)

    def evaluation(self, id_or_prefix: str) -> Evaluation:
        """Return an evaluation by id or unique prefix."""
        eval_id = self.resolve_evaluation(id_or_prefix)
        evaluation = self._document("evaluations", eval_id, Evaluation)
        return self._same_id("evaluations", eval_id, evaluation.eval_id, evaluation)

    def evaluations(self, bundle_id: str | None = None) -> list[Evaluation]:
        """Return all evaluations by id, or those of one bundle in the order of its ledger, the latest last."""
        if bundle_id is None:
            return [self.evaluation(name) for name in self._ids("evaluations")]
        entries = self.ledger.history(self.resolve_bundle(bundle_id))
        latest_first = [entry.body for entry in reversed(entries) if isinstance(entry.body, Evaluated)]
        records = dict.fromkeys(body.record for body in latest_first)
        return [self.read(record, Evaluation) for record in reversed(records)]

    # Requests

    def bind_request(self, statement: PromotionStatement) -> None:
        """Make a request that the bundle's ledger holds findable by its id."""
        self._bind("requests", statement.request_id, statement)

    def request(self, id_or_prefix: str) -> PromotionStatement:
        """Return what a request asks for, by id or unique prefix; its ledger says what became of it."""
        request_id = self._resolve("requests", id_or_prefix)
        statement = self._document("requests", request_id, PromotionStatement)
        return self._same_id("requests", request_id, statement.request_id, statement)

    # Policies

    def policy(self, id_or_prefix: str) -> Policy:
        """Return a policy by id; which one is in force, `governance.in_force` tells."""
        policy_id = self._resolve("policies", id_or_prefix)
        policy = self._document("policies", policy_id, Policy)
        return self._same_id("policies", policy_id, short_id("pol", policy.digest()), policy)

    def keep_policy(self, policy: Policy) -> str:
        """Keep a policy without putting it into force, and return its id."""
        policy_id = short_id("pol", policy.digest())
        self._bind("policies", policy_id, policy)
        return policy_id

    def read(self, digest: str, schema: type[Read] | TypeAdapter[Read]) -> Read:
        """Return the document with a digest; IntegrityError if the blob is another or is no such document."""
        content = self.blob(digest)
        try:
            return read_document(schema, content, blob_key(digest))
        except MalformedDocumentError as error:
            raise IntegrityError(f"{error}\n{_REMEDY}") from error

    def _require_artifacts(self, artifact_ids: Iterable[str]) -> None:
        missing = [name for name in artifact_ids if not self._exists("artifacts", name)]
        if missing:
            raise NotFoundError(
                f"No artifact {', '.join(missing)} is registered. Register it first: sequence artifact "
                f"register {missing[0]} FILE…"
            )

    def _require(self, kind: str, name: str, digest: str) -> None:
        known = self._digest_of_ref(kind, name)
        if known != digest:
            raise IntegrityError(f"{ref_key(kind, name)} names {known}, not {digest}. {_REMEDY}")

    def _require_wasm(self, manifest: EdgeBundle) -> None:
        if self.store.get_versioned(blob_key(manifest.wasm.digest)) is None:
            raise NotFoundError(
                f"The WASM module {manifest.wasm.digest} of {manifest.bundle_id} is not in the store. Give its bytes."
            )
        self.blob(manifest.wasm.digest)

    def _require_same_outcome(self, known: Evaluation, given: Evaluation) -> None:
        if known != given:
            differing = [name for name in Evaluation.model_fields if getattr(known, name) != getattr(given, name)]
            raise IntegrityError(
                f"Evaluation {given.eval_id} is recorded with another outcome for the same inputs: "
                f"{', '.join(differing)} differ. "
                "The bundle or the engine is not deterministic; find out why before trusting either."
            )

    def _bind(self, kind: str, name: str, document: Document) -> None:
        self._require_free(kind, name, document.digest())
        digest = self.put_blob(document.canonical()).digest
        try:
            self.store.put_if_absent(ref_key(kind, name), digest.encode())
        except NameTakenError:
            self._require_free(kind, name, digest)
            raise

    def _require_free(self, kind: str, name: str, digest: str) -> None:
        """Refuse an id that is bound to other content; what follows from its content cannot be, unless changed."""
        if not self._exists(kind, name) or (known := self._digest_of_ref(kind, name)) == digest:
            return
        if kind != "artifacts":
            raise IntegrityError(f"{ref_key(kind, name)} names {known}, not {digest}; it was changed. {_REMEDY}")
        raise NameTakenError(f"{name} is bound to other content ({known}) and ids never move. Choose another id.")

    def _exists(self, kind: str, name: str) -> bool:
        return self.store.get_versioned(ref_key(kind, name)) is not None

    def _digest_of_ref(self, kind: str, name: str) -> str:
        found = self.store.get_versioned(ref_key(kind, name))
        if found is None:
            singular = _WHAT[kind][1]
            raise NotFoundError(
                f"No {singular} {name} in {self.store.url}. List what there is, or check the address of the store."
            )
        return _read_digest(ref_key(kind, name), found[0])

    def _document(self, kind: str, name: str, schema: type[Read] | TypeAdapter[Read]) -> Read:
        return self.read(self._digest_of_ref(kind, name), schema)

    @staticmethod
    def _same_id(kind: str, name: str, own: str, document: Read) -> Read:
        if own != name:
            raise IntegrityError(f"{ref_key(kind, name)} leads to {own}. {_REMEDY}")
        return document

    def _ids(self, kind: str, beginning: str = "") -> list[str]:
        prefix = f"refs/{kind}/"
        return sorted(key.removeprefix(prefix) for key in self.store.list(prefix + beginning))

    def _resolve(self, kind: str, id_or_prefix: str) -> str:
        short, singular = _WHAT[kind]
        if not re.fullmatch(rf"{short}_[0-9a-f]{{{SHORTEST_PREFIX},{ID_HEX_DIGITS}}}", id_or_prefix):
            raise InvalidInputError(
                f"{id_or_prefix!r} is not the id of a {singular}: write {short}_ and at least {SHORTEST_PREFIX} "
                f"(at most {ID_HEX_DIGITS}) of its hex digits."
            )
        if len(id_or_prefix) == len(short) + 1 + ID_HEX_DIGITS and self._exists(kind, id_or_prefix):
            return id_or_prefix
        found = self._ids(kind, id_or_prefix)
        if not found:
            raise NotFoundError(
                f"No {singular} {id_or_prefix} in {self.store.url}. List what there is, or check the address "
                "of the store."
            )
        if len(found) > 1:
            raise AmbiguousIdError(
                f"{id_or_prefix} fits {len(found)} {kind}: {', '.join(found[:10])}. Write more digits."
            )
        return found[0]


_REMEDY: Final = "Restore the store from a backup and run `audit verify`."


def _execution(evaluation: Evaluation, result: str) -> EvaluationStatement:
    return EvaluationStatement(
        bundle=evaluation.inputs.bundle,
        evaluation=evaluation.eval_id,
        record=evaluation.digest(),
        result=result,
    )


def blob_key(digest: str) -> str:
    """Return the key of a blob."""
    if not _DIGEST.fullmatch(digest):
        raise InvalidInputError(f"{digest!r} is not a digest: write sha256: and 64 hex digits.")
    digits = digest.removeprefix("sha256:")
    return f"cas/sha256/{digits[:2]}/{digits[2:]}"


def ref_key(kind: str, name: str) -> str:
    """Return the key that binds an id to a digest."""
    return f"refs/{kind}/{name}"


def _read_digest(key: str, content: bytes) -> str:
    text = content.decode("ascii", errors="replace")
    if not _DIGEST.fullmatch(text):
        raise IntegrityError(f"{key} does not hold a digest. {_REMEDY}")
    return text


def _corrupt(digest: str) -> IntegrityError:
    return IntegrityError(
        f"The bytes stored at {blob_key(digest)} do not have that digest; they were changed. {_REMEDY}"
    )
