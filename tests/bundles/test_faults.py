"""The climb of a bundle over HTTP that fails: every request in turn is answered with 409, 412 or 503, or not at all."""

from __future__ import annotations

from contextlib import suppress

import pytest

from bundles.audit import verify
from bundles.errors import LadderError
from bundles.store import s3 as s3_module
from tests.bundles.conftest import S3Server, World
from tests.bundles.faults import FaultyHttp, HttpFault


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_module, "FIRST_PAUSE_S", 0)


def climb(world: World) -> None:
    world.begin()
    outcome = world.promote("replay", world.evaluate("replay"))
    assert outcome.decision == "promoted"


def spoil(server: S3Server, fault: HttpFault, first: int, every: int) -> None:
    """Spoil every so many requests; then the same command, run again without faults, completes."""
    store = server.open_empty()
    http = FaultyHttp(store, (fault if number % every == first else None for number in range(1 << 20)))
    may_fail = LadderError if fault is HttpFault.PRECONDITION else ()  # that is a lie: nobody else wrote
    with suppress(may_fail):
        climb(World(store))
    assert http.met
    assert verify(store).problems == ()
    http.stop()
    climb(World(store))
    kinds = [entry.kind for entry in World(store).catalog.ledger.history(World(store).bundle_id)]
    assert kinds == ["registered", "evaluated", "requested", "approved", "promoted"]
    report = verify(store)
    assert (report.problems, report.unfinished) == ((), ())


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize("fault", HttpFault)
@pytest.mark.parametrize("kind", ["moto", "seaweedfs"])
def test_a_climb_through_spoiled_requests(request: pytest.FixtureRequest, kind: str, fault: HttpFault) -> None:
    spoil(request.getfixturevalue(f"{kind}_server"), fault, first=1, every=5)


@pytest.mark.long
@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize("fault", HttpFault)
@pytest.mark.parametrize("kind", ["moto", "seaweedfs"])
def test_a_climb_through_every_pattern_of_spoiled_requests(
    request: pytest.FixtureRequest, kind: str, fault: HttpFault
) -> None:
    server = request.getfixturevalue(f"{kind}_server")
    for every in (2, 3, 5, 7, 11):
        for first in range(every):
            spoil(server, fault, first, every)
