"""What does not go together is refused by name, before anything is executed."""

from __future__ import annotations

from typing import Any

import pytest

from bundles.errors import InvalidInputError
from evals.market.schema import BID
from evals.market.tape import Tape
from evals.parents.orders import ParentOrders
from evals.routing.settings import RoutingSettings
from tests.evals.routing.desk import S, book_rows, model_of, parents_of, tape_of
from tests.evals.routing.test_replay import run


def tape(venue: str, **facts: Any) -> Tape:
    return tape_of(venue, [*book_rows({99: 5}, {101: 5}), (60 * S, BID, 98, 1)], **facts)


ORDER = parents_of({"qty": 1})


@pytest.mark.parametrize(
    ("tapes", "how", "named"),
    [
        ([], {"model": model_of("a")}, "no tapes"),
        (["a"], {"model": model_of("a", "gone")}, "knows venue gone, of which there is no tape"),
        (["a", "new"], {"model": model_of("a")}, "tape of new, which the routing model does not know"),
        (["a", "a"], {"model": model_of("a")}, "a has two datasets"),
        (["a"], {"only": ["b"]}, "Only b may be used"),
        (["a"], {"only": []}, "No venue may be used"),
        (["a"], {"slicing": "all"}, "no slicing policy 'all'"),
        (["a"], {"settings": RoutingSettings(control_version="V1", control_ppm=5)}, "V1 is not earlier"),
        (["a"], {"settings": RoutingSettings(venue_latency_ns={"x": 1})}, "venue_latency_ns names x"),
        (["a"], {"parents": ParentOrders("ETH-USD", ORDER.ids, ORDER.rows)}, "parent orders are of ETH-USD"),
        (["a"], {"parents": ParentOrders("BTC-USD", (), ORDER.rows[:0])}, "no parent orders"),
        (["a"], {"parents": parents_of({"qty": 1, "at": -S})}, r"1 of 1 parent orders .* order-0"),
        (["a"], {"parents": parents_of({"qty": 1}, {"qty": 1, "horizon": 60 * S})}, r"1 of 2 parent orders .* order-1"),
    ],
)
def test_is_refused(tapes: list[str], how: dict[str, Any], named: str) -> None:
    given = dict(how)
    given.setdefault("model", model_of("a"))
    parents = given.pop("parents", ORDER)
    with pytest.raises(InvalidInputError, match=named):
        run([tape(venue) for venue in tapes], parents, **given)


@pytest.mark.parametrize(
    ("facts", "named"),
    [
        ({"symbol": "ETH-USD"}, "different symbols: BTC-USD, ETH-USD"),
        ({"contract": "inverse"}, "b BTC-USD is a contract"),
        ({"contract_size_1e8": 1}, "b BTC-USD is a contract"),
        ({"taker_fee_ppm": 100_001}, "b says taker_fee_ppm 100001"),
    ],
)
def test_a_tape_that_cannot_be_routed_over_is_refused(facts: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidInputError, match=named):
        run([tape("a"), tape("b", **facts)], ORDER)


@pytest.mark.parametrize(
    "wrong",
    [{"curve_bin_s": 7}, {"control_version": "V1"}, {"control_ppm": 5}, {"slices": 0}, {"venue_latency_ns": {"a": -1}}],
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RoutingSettings(**wrong)
