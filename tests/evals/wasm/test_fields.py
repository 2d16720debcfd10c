"""Every field that crosses the boundary, in all forms of all three SDKs: its offset and its value.

Each structure is filled with random bytes by the layouts in `evals.wasm.abi`; an algo that was compiled with the
published crate logs every field of it as the crate's own types read it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from evals.wasm import abi
from tests.evals.wasm.guest import Guest, lines_of, told

Compiled = Callable[[str], bytes]
FORMS = {
    "fields_0_1": "0.1.0",
    "fields_0_3": "0.3.2",
    "fields_0_3_v3": "0.3.2",
    "fields_0_3_multi": "0.3.2",
    "fields_0_4": "0.4.0",
}


def as_the_crate_has_it(dtype: np.dtype[np.void], *names: str, **replaced: Any) -> np.dtype[np.void]:
    """Return a layout with the given fields only; the size is that of the whole unless fields are left out."""
    fields = dtype.fields or {}
    formats = [replaced.get(name, dtype[name]) for name in names]
    size = max(fields[name][1] + np.dtype(form).itemsize for name, form in zip(names, formats, strict=True))
    return np.dtype(
        {
            "names": ["pad" if name == "symbol_id" and name in replaced else name for name in names],
            "formats": formats,
            "offsets": [fields[name][1] for name in names],
            "itemsize": -(-size // 8) * 8,
        }
    )


# Fill and Reject carry the symbol's number in what the crate declares as padding.
FILL = as_the_crate_has_it(
    abi.FILL, "order_id", "px_1e9", "qty_1e8", "recv_ns", "side", "symbol_id", symbol_id=("u1", 7)
)
REJECT = as_the_crate_has_it(abi.REJECT, "order_id", "code", "symbol_id", symbol_id=("u1", 7))
_STATE = abi.ALGO_STATE.names or ()
STATES = {
    "0.1.0": abi.ALGO_STATE_0_1,
    "0.3.2": as_the_crate_has_it(abi.ALGO_STATE, *_STATE[: _STATE.index("risk") + 1]),
    "0.4.0": abi.ALGO_STATE,
}
_NBBO = tuple(name for name in abi.NBBO.names or () if not name.startswith("gap"))
NBBO_0_3 = as_the_crate_has_it(abi.NBBO, *_NBBO[:-1])
NBBO_0_3.names = tuple("pad0" if name == "symbol_id" else name for name in NBBO_0_3.names or ())


def filled(dtype: np.dtype[np.void], seed: int = 1) -> Any:
    return np.frombuffer(np.random.default_rng(seed).bytes(dtype.itemsize), dtype)[0]


def actions_of(guest: Guest, at: int) -> list[tuple[int, ...]]:
    block = guest.read(at, abi.WASM_ACTIONS)
    names = ("order_id", "px_1e9", "qty_1e8", "side", "is_cancel", "order_type", "venue_id", "pool_idx", "symbol_idx")
    return [
        (*(int(action[n]) for n in names), *map(int, action["pad"])) for action in block["actions"][: block["count"]]
    ]


def action(
    oid: int,
    qty: int,
    px: int,
    side: int,
    kind: int = 0,
    order_type: int = 0,
    *,
    venue: int = 0,
    symbol: int = 0,
    ttl_ms: int = 0,
) -> tuple[int, ...]:
    return (oid, px, qty, side, kind, order_type, venue, 0, symbol, ttl_ms % 256, ttl_ms // 256)


PLAIN = [
    action(1, 2, 3, 1),
    action(4, 5, 6, -1),
    action(7, 8, 0, 1, 0, abi.MARKET),
    action(9, 10, 0, -1, 0, abi.MARKET),
    action(11, 12, 13, 1, 0, abi.IOC),
]
LATER = [
    *PLAIN,
    action(20, 21, 22, -1, 0, abi.FOK),
    action(23, 24, 25, 1, 0, abi.POST_ONLY),
    action(29, 0, 0, 0, abi.CANCEL),
    action(30, 31, 32, 0, abi.AMEND),
]
ACTIONS = {
    "0.1.0": [
        *PLAIN,
        action(14, 15, 16, -1, 0, abi.IOC),
        action(17, 18, 19, 1, 0, abi.FOK),
        action(20, 21, 22, -1, 0, abi.FOK),
        action(23, 24, 25, 1, 0, abi.POST_ONLY),
        action(26, 27, 28, -1, 0, abi.POST_ONLY),
        action(29, 0, 0, 0, abi.CANCEL),
    ],
    "0.3.2": [
        *LATER,
        action(33, 34, 35, 0, abi.AMEND, venue=2),
        action(36, 37, 38, 1, venue=3),
        action(39, 40, 41, -1, 0, abi.IOC, venue=4),
    ],
    "0.4.0": [
        *LATER,
        action(33, 34, 35, -1, abi.INTENT, 1, venue=2, ttl_ms=0x1234),
        action(36, 37, 38, 1, symbol=3),
        action(39, 40, 41, -1, symbol=4),
    ],
}


@pytest.fixture(params=list(FORMS))
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def guest(compiled_algo: Compiled, form: str) -> Guest:
    return Guest(compiled_algo(form))


def test_books_and_states(guest: Guest, form: str) -> None:
    version, name = FORMS[form], "algo_on_book_v3" if "algo_on_book_v3" in guest.exports else "algo_on_book"
    book, state = filled(abi.L2_BOOK), filled(STATES[version], 2)
    expected = lines_of("book", book) + lines_of("state", state)
    if "fields_0_3_v3" in form or version == "0.4.0":
        features = filled(abi.ONLINE_FEATURES, 3)
        guest.put(features, abi.ONLINE_FEATURES_AT)
        expected += lines_of("features", features)
    if version == "0.4.0":
        config, mesh = filled(abi.CONFIG_REGION, 4), filled(abi.MESH_TABLE, 5)
        guest.put(config, abi.CONFIG_REGION_AT)
        guest.put(mesh, abi.MESH_TABLE_AT)
        expected += lines_of("config", config) + lines_of("mesh", mesh)
    at = guest.call(name, guest.put(book), guest.put(state))
    if form == "fields_0_3_multi":
        assert at == 0  # a stub
        assert guest.lines == []
        return
    assert told(guest.lines) == expected
    assert actions_of(guest, at) == ACTIONS[version]


def test_fills_rejects_and_shutdown(guest: Guest, form: str) -> None:
    state, fill, reject = filled(STATES[FORMS[form]], 6), filled(FILL, 7), filled(REJECT, 8)
    guest.call("algo_on_fill", guest.put(fill), guest.put(state))
    assert told(guest.take_lines()) == lines_of("fill", fill) + lines_of("state", state)
    guest.call("algo_on_reject", guest.put(reject))
    assert told(guest.take_lines()) == lines_of("reject", reject)
    at = guest.call("algo_on_shutdown", guest.put(state))
    assert told(guest.take_lines()) == lines_of("state", state)
    assert actions_of(guest, at) == [action(30, 0, 0, 0, abi.CANCEL)]


@pytest.mark.parametrize("form", ["fields_0_3_v3", "fields_0_4"])
def test_heartbeats(guest: Guest, form: str) -> None:
    state, features = filled(STATES[FORMS[form]], 9), filled(abi.ONLINE_FEATURES, 10)
    guest.put(features, abi.ONLINE_FEATURES_AT)
    at = guest.call("algo_on_heartbeat", guest.put(state))
    assert told(guest.lines) == lines_of("state", state) + lines_of("features", features)
    assert actions_of(guest, at) == [action(31, 0, 0, 0, abi.CANCEL)]


def test_venues_of_sdk_0_3(compiled_algo: Compiled) -> None:
    """VenueBooks come from the fixed address, whatever the second argument is."""
    guest = Guest(compiled_algo("fields_0_3_multi"))
    state, nbbo, books = filled(STATES["0.3.2"], 11), filled(NBBO_0_3, 12), filled(abi.VENUE_BOOKS_0_3, 13)
    guest.put(books, abi.VENUE_BOOKS_AT)
    at = guest.call("algo_on_nbbo", guest.put(nbbo), 0, guest.put(state))
    assert told(guest.lines) == lines_of("state", state) + lines_of("books", books) + lines_of("nbbo", nbbo)
    assert actions_of(guest, at) == ACTIONS["0.3.2"]
    assert (abi.VENUE_BOOKS_0_3.itemsize, NBBO_0_3.itemsize) == (13_808, 592)


def test_venues_of_sdk_0_4(compiled_algo: Compiled) -> None:
    guest = Guest(compiled_algo("fields_0_4"))
    state, nbbo, books = filled(abi.ALGO_STATE, 14), filled(abi.NBBO, 15), filled(abi.VENUE_BOOKS, 16)
    features = filled(abi.ONLINE_FEATURES, 17)
    guest.put(features, abi.ONLINE_FEATURES_AT)
    at = guest.call("algo_on_nbbo", guest.put(nbbo), guest.put(books), guest.put(state))
    expected = lines_of("state", state) + lines_of("features", features)
    assert told(guest.lines) == expected + lines_of("books", books) + lines_of("nbbo", nbbo)
    assert actions_of(guest, at) == [action(32, 0, 0, 0, abi.CANCEL)]
    assert (abi.VENUE_BOOKS.itemsize, abi.NBBO.itemsize) == (13_832, 616)


def test_messages(compiled_algo: Compiled) -> None:
    """The sender is a number that the mesh table gives a label; what is sent names its receiver the same way."""
    guest = Guest(compiled_algo("fields_0_4"))
    mesh = np.zeros(1, abi.MESH_TABLE)[0]
    mesh["peer_count"] = 2
    for peer, (label, mesh_id) in zip(mesh["peers"], [(b"maker", 2**63 + 5), (b"hedger", 77)], strict=False):
        peer["label"][: len(label)] = np.frombuffer(label, np.uint8)
        peer["mesh_id"] = mesh_id
    guest.put(mesh, abi.MESH_TABLE_AT)
    state, payload = filled(abi.ALGO_STATE, 18), np.frombuffer(b"\x01\xff\x03", np.uint8)
    at = guest.call("algo_on_message", 2**63 + 5 - 2**64, guest.put(payload), 3, guest.put(state))
    assert told(guest.lines) == ["message maker [1, 255, 3]", *lines_of("state", state)]
    assert guest.sent == [(77, b"\xff\x03")]
    assert actions_of(guest, at) == [action(33, 0, 0, 0, abi.CANCEL)]
