"""Where all bundles of a store stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sequence.cli.times import utc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bundles.catalog import Catalog
    from bundles.state import Standing


def standings(catalog: Catalog) -> Iterator[tuple[str, Standing]]:
    """Yield the id and the standing of every bundle, in the order of the ids."""
    for bundle_id in catalog.bundle_ids():
        yield bundle_id, catalog.ledger.state(bundle_id).standing()


def open_request_ids(catalog: Catalog) -> list[str]:
    """Return the ids of the requests that nothing in a ledger ended."""
    return sorted(request for _, standing in standings(catalog) for request in standing.requests)


def glass_until_ns(standing: Standing, now_ns: int) -> int | None:
    """Return until when the broken glass lasts that lends a bundle its stage; None where none does."""
    stage = standing.stage_at(now_ns)
    return max(
        (each.until_ns for each in standing.lent if each.stage == stage and now_ns < each.until_ns), default=None
    )


def remark(standing: Standing, now_ns: int) -> str:
    """Say what is out of the ordinary with a bundle; ``-`` if nothing is."""
    until_ns = glass_until_ns(standing, now_ns)
    said = [
        "QUARANTINED" if standing.quarantined else "",
        "" if until_ns is None else f"BREAK-GLASS until {utc(until_ns)}",
        "REVIEW OWED" if standing.debt else "",
    ]
    return ", ".join(filter(None, said)) or "-"
