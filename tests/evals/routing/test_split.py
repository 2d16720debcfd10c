"""The split between versions: by the id alone, in the asked-for share, and it routes as it says."""

from __future__ import annotations

import hashlib

import pytest

from evals.market.schema import BID
from evals.routing.settings import RoutingSettings
from evals.routing.split import share_ppm, versions_of
from tests.evals.routing.desk import S, book_rows, model_of, parents_of, tape_of
from tests.evals.routing.test_replay import run


def test_the_place_is_the_documented_one() -> None:
    word = hashlib.sha256(b"salt\0order-7").digest()[:8]
    assert share_ppm("salt", "order-7") == int.from_bytes(word, "big") % 10**6
    assert share_ppm("salt", "order-7") != share_ppm("pepper", "order-7")


@pytest.mark.parametrize("ppm", [100_000, 500_000, 1_000_000])
def test_the_share_is_the_asked_for_one_and_nobody_moves_when_it_grows(ppm: int) -> None:
    ids = [f"order-{at}" for at in range(10_000)]
    chosen = versions_of(ids, "V3", RoutingSettings(control_version="V2", control_ppm=ppm)) == 2
    assert abs(chosen.mean() - ppm / 10**6) < 0.02
    fewer = versions_of(ids, "V3", RoutingSettings(control_version="V2", control_ppm=ppm // 2)) == 2
    assert (chosen | ~fewer).all()
    assert set(versions_of(ids, "V3", RoutingSettings()).tolist()) == {3}


def test_a_control_routes_by_the_earlier_terms() -> None:
    rows = [*book_rows({99: 50}, {100: 50}), (60 * S, BID, 98, 1)]
    tapes = [tape_of("toxic", rows), tape_of("calm", rows, taker_fee_ppm=10)]
    model = model_of("toxic", "calm", version="V2", costs={"toxic": {"adverse_selection_ppm": 500}})
    settings = RoutingSettings(control_version="V1", control_ppm=500_000)
    found = run(tapes, parents_of(*[{"qty": 1}] * 40), model=model, settings=settings, slicing="immediate")
    assert set(found.parents["version"].tolist()) == {1, 2}
    by = dict(zip(found.children["parent"].tolist(), found.children["venue"].tolist(), strict=True))
    # V1 sees the fee alone; V2 what else the first venue costs.
    assert all(by[at] == (0 if version == 1 else 1) for at, version in enumerate(found.parents["version"].tolist()))
