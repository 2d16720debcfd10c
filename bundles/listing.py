"""Where all bundles stand, read from the heads of their ledgers: quick, for lists.

What decides anything reads a ledger and verifies it; a head is what the last writer said. That an audit finds a head
which says something else is why lists may trust it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from bundles.canonical import canonical_json
from bundles.catalog import Catalog, blob_key
from bundles.entries import CHECKPOINT_LEDGER
from bundles.errors import IntegrityError
from bundles.ledger import REMEDY, entry_key, head_key
from bundles.state import Lent, Standing

_PREFIX: Final = head_key("bun_")


def standings(catalog: Catalog) -> dict[str, Standing]:
    """Return where every bundle stands, by id and in the order of the ids.

    Raises:
        IntegrityError: a head is not what this product writes.

    """
    contents = dict(catalog.store.contents(_PREFIX, lambda: _remembered(catalog)))
    first = len(head_key(""))
    return {key[first:]: _standing(key, contents[key]) for key in sorted(contents)}


def _standing(key: str, content: bytes) -> Standing:
    # Ten thousand of these are wanted within a second; models that validate take most of it.
    try:
        fields: dict[str, Any] = json.loads(content)["standing"]
        lent = tuple(Lent.model_construct(**_lent(each)) for each in fields["lent"])
        known = {name: fields[name] for name in Standing.model_fields}
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(f"{key} is not the head of a bundle's ledger. {REMEDY}") from error
    return Standing.model_construct(**known | {"lent": lent, "requests": tuple(fields["requests"])})


def _lent(fields: dict[str, Any]) -> dict[str, Any]:
    return {"stage": fields["stage"], "until_ns": int(fields["until_ns"])}


def _remembered(catalog: Catalog) -> Mapping[str, bytes]:
    """Return the heads as the latest checkpoint has them.

    Nothing rests on who signed it: a store uses what is remembered only where it knows that the key still holds it.
    """
    head = catalog.ledger.head(CHECKPOINT_LEDGER)
    if head is None:
        return {}
    try:
        entry = json.loads(catalog.store.get(entry_key(CHECKPOINT_LEDGER, head.seq)))
        checkpoint = json.loads(catalog.store.get(blob_key(entry["body"]["heads"])))
        return {head_key(name): canonical_json(fields) for name, fields in checkpoint["heads"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(f"Checkpoint {head.seq} cannot be read. Run `audit verify`.") from error
