"""What a policy is evaluated with beside its tapes: parent orders, how they are executed, and which faults meet them.

In an evaluation's inputs they stand as ``parents`` (a blob of the store), ``routing`` and, in the sandbox, ``faults``;
beside them the digests of the models.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

from bundles.canonical import read_document
from bundles.errors import IntegrityError, InvalidInputError
from bundles.evidence import EngineFingerprint, EvaluationInputs
from bundles.models import model_digests
from evals.routing.settings import FaultPlan, RoutingSettings
from evals.statistics.looks import look_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bundles.catalog import Catalog
    from bundles.evidence import Dataset
    from evals.parents.orders import ParentOrders

PolicyKind: TypeAlias = Literal["replay", "sandbox"]
"""On the books as received, or against the adverse simulator."""

_Document = TypeVar("_Document", RoutingSettings, FaultPlan)


@dataclass(frozen=True, eq=False)
class Given:
    """Parent orders and how to execute them; without a fault plan it is a replay."""

    content: bytes
    """The file of the parent orders."""
    orders: ParentOrders
    settings: RoutingSettings
    faults: FaultPlan | None

    @classmethod
    def by_person(
        cls,
        kind: PolicyKind,
        parents: bytes | Path,
        *,
        symbol: str | None,
        settings: RoutingSettings | None,
        faults: FaultPlan | None,
    ) -> Given:
        """Read what somebody wants a policy to be evaluated with; the sandbox has the usual faults unless told others.

        Raises:
            InvalidInputError: for a file that holds no such orders, or faults in a replay.

        """
        from evals.parents.parquet import content_of, read_parents

        if kind == "replay" and faults is not None:
            raise InvalidInputError("A replay injects no faults. Leave the fault plan out, or evaluate in the sandbox.")
        content = parents if isinstance(parents, bytes) else content_of(parents)
        name = "The parent orders" if isinstance(parents, bytes) else str(parents)
        plan = None if kind == "replay" else faults or FaultPlan()
        return cls(content, read_parents(content, symbol=symbol, name=name), settings or RoutingSettings(), plan)

    @classmethod
    def in_inputs(cls, catalog: Catalog, inputs: EvaluationInputs, symbol: str) -> Given:
        """Read what an evaluation was made with.

        Raises:
            InvalidInputError: for inputs that hold no such thing.
            IntegrityError: if a model is not the one that the evaluation was made with.

        """
        from evals.parents.parquet import read_parents

        check_same_models(catalog, inputs)
        content = catalog.blob(str(inputs.settings.get("parents")))
        settings = _read(inputs, "routing", RoutingSettings)
        faults = _read(inputs, "faults", FaultPlan) if inputs.kind == "sandbox" else None
        return cls(content, read_parents(content, symbol=symbol), settings, faults)

    def as_inputs(
        self, catalog: Catalog, bundle: str, datasets: Sequence[Dataset], seed: int, engine: EngineFingerprint
    ) -> EvaluationInputs:
        """Keep the orders and return the inputs of an evaluation; those of the record, if the same was done before."""
        plan = {} if self.faults is None else {"faults": self.faults.as_json()}
        inputs = EvaluationInputs(
            kind="replay" if self.faults is None else "sandbox",
            bundle=bundle,
            datasets=tuple(each.digest() for each in datasets),
            settings={
                "parents": catalog.put_blob(self.content).digest,
                "routing": self.settings.as_json(),
                **plan,
                **model_digests(catalog, catalog.manifest(bundle)),
            },
            seed=seed,
            engine=engine,
        )
        return look_of(catalog, inputs)


def check_same_models(catalog: Catalog, inputs: EvaluationInputs) -> None:
    """Refuse to evaluate anew with other models than inputs name; those stand in the settings, by what they are.

    Raises:
        IntegrityError: if a model is not the one that the evaluation was made with.

    """
    for what, digest in model_digests(catalog, catalog.manifest(inputs.bundle)).items():
        if inputs.settings.get(what) != digest:
            raise IntegrityError(
                f"{inputs.eval_id} was made with the {what.replace('_', ' ')} {inputs.settings.get(what)}, but the "
                f"artifact of that name holds {digest}. Names never move: restore the store from a backup and run "
                "`audit verify`."
            )


def look_in(inputs: EvaluationInputs) -> int:
    """Return which look at its bundle an evaluation is."""
    look = inputs.settings.get("look", 1)
    if not isinstance(look, int):
        raise InvalidInputError(f"The setting 'look' is {look!r}, not the number of a look. Evaluate it anew.")
    return look


def _read(inputs: EvaluationInputs, name: str, schema: type[_Document]) -> _Document:
    found = inputs.settings.get(name)
    return read_document(schema, found if isinstance(found, dict) else {}, f"The setting {name!r} of {inputs.eval_id}")
