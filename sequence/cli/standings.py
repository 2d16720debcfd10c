"""Where all bundles of a store stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bundles.catalog import Catalog
    from bundles.state import Standing


def standings(catalog: Catalog) -> Iterator[tuple[str, Standing]]:
    """Yield the id and the standing of every bundle, in the order of the ids."""
    from bundles.listing import standings as read_standings

    yield from read_standings(catalog).items()


def open_request_ids(catalog: Catalog) -> list[str]:
    """Return the ids of the requests that nothing in a ledger ended."""
    return sorted(request for _, standing in standings(catalog) for request in standing.requests)
