"""Whom a candidate is compared with: a named bundle, nobody, or the one that holds the rung it wants next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import JsonValue

from bundles.errors import InvalidInputError, RefusedError
from bundles.incumbents import FLAT, holder_of_next_rung
from bundles.manifests import EdgeBundle
from bundles.verification import Verifier

if TYPE_CHECKING:
    from bundles.catalog import Catalog


@dataclass(frozen=True)
class Incumbent:
    """Whom a candidate is compared with: the digest of a manifest, or ``flat``."""

    manifest: str
    by: Literal["ladder", "request"]
    """``request`` if it was named and is not the one that the ladder names."""

    def as_settings(self) -> dict[str, JsonValue]:
        """Return it as it stands in an evaluation's inputs."""
        return {"incumbent": self.manifest, "incumbent_by": self.by}


def incumbent_of(catalog: Catalog, candidate: EdgeBundle, wanted: str | None, *, now_ns: int) -> Incumbent:
    """Return the incumbent of a candidate.

    ``wanted`` is a bundle's id or a unique prefix, ``flat``, or None for who holds the next rung; if nobody does, the
    baseline is flat.

    Raises:
        NotFoundError: if there is no bundle of that name.
        InvalidInputError: if it holds no algo.
        RefusedError: if it is in quarantine.
        IntegrityError: if a history that the choice rests on does not verify.

    """
    holder = holder_of_next_rung(catalog, Verifier(catalog), candidate.bundle_id, now_ns=now_ns)
    named = FLAT if holder is None else holder.digest()
    chosen = named if wanted is None else FLAT if wanted == FLAT else _asked_for(catalog, wanted)
    return Incumbent(chosen, "ladder" if chosen == named else "request")


def _asked_for(catalog: Catalog, wanted: str) -> str:
    manifest = catalog.bundle(wanted)
    if not isinstance(manifest, EdgeBundle):
        raise InvalidInputError(
            f"The incumbent {manifest.bundle_id} is a bundle of kind {manifest.kind}; an algo is compared with an edge "
            f"bundle. Name one, or {FLAT!r} for the baseline that never trades."
        )
    if catalog.ledger.state(manifest.bundle_id).quarantine is not None:
        raise RefusedError(
            f"The incumbent {manifest.bundle_id} is in quarantine, so it is nothing to be measured by. "
            f"Name another bundle, or {FLAT!r} for the baseline that never trades."
        )
    return manifest.digest()
