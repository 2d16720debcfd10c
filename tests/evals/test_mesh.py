"""Algos that send each other messages: when they arrive, in which order, and that nothing else decides it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bundles.errors import InvalidInputError
from bundles.mm_types import MmConfig, MmRiskLimits
from evals.engine.mesh import mesh_id, run_mesh
from evals.market.schema import ASK, BID, Instrument, TapeInfo
from evals.market.synthetic import synthetic_tape
from evals.market.tape import Tape
from evals.replay import MeshMember, ReplayResult, ReplaySettings, replay_mesh, run_replay
from tests.evals.conftest import START_NS, events_of
from tests.evals.engine.test_against_twin import tapes
from tests.evals.hostile.modules import EMPTY, FOREVER, LIST, LOG, SEND, algo, listing
from tests.evals.hostile.modules import data as segment
from tests.evals.test_two_paths import same, whole_units

RISK = MmRiskLimits(max_position_1e8=10**12, max_order_notional_1e9=10**18, max_order_rate=10**5)
INFO = TapeInfo(
    instrument=Instrument(venue="test", symbol="BTC-USD", tick_size_1e9=10**9, lot_size_1e8=10**8),
    importer="test",
    importer_version="1",
)
OPENING: list[tuple[Any, ...]] = [(0, 0, BID, 99, 1, False), (0, 0, ASK, 101, 1)]
TEXT = 0x50000


def ticks(*times: int) -> Tape:
    """Return a tape whose packets are received at 0 and at these times."""
    return Tape(events_of(OPENING + [(at, at, BID, 98, 1 + n % 5) for n, at in enumerate(times)]), INFO)


def member(label: str, wasm: bytes, tape: Tape, **more: Any) -> MeshMember:
    return MeshMember(label, wasm, tape, MmConfig(), RISK, **more)


def send(to: str, length: int = 4, *, at: str = f"(i32.const {TEXT})") -> str:
    return f"(call $send (i64.const {mesh_id(to)}) {at} (i32.const {length}))"


LISTEN = f"(call $log (i32.const 2) (local.get 1) (local.get 2)) {EMPTY}"
"""Log every message."""


def speaker(*sends: str, text: bytes = b"tick", **parts: str) -> bytes:
    """Send at every packet, listen to what comes."""
    callbacks = {"on_book": f"{' '.join(sends)} {EMPTY}", "on_message": LISTEN} | parts
    return algo(head=LOG + SEND, tail=segment(TEXT, text), **callbacks)


def heard(result: ReplayResult) -> list[tuple[int, str]]:
    return [(line.at_ns - START_NS, line.text) for line in result.logs]


def run(members: Sequence[MeshMember], latency_ns: int = 10, **settings: Any) -> list[ReplayResult]:
    return replay_mesh(members, latency_ns=latency_ns, settings=ReplaySettings(**settings))


def test_a_message_arrives_one_latency_after_the_callback_that_sent_it() -> None:
    one, two = run([member("a", speaker(send("b")), ticks(5, 100)), member("b", speaker(), ticks(50, 200))])
    assert heard(two) == [(10, "tick"), (15, "tick"), (110, "tick")]
    assert one.messages["sent"] == two.messages["received"] == 3
    assert heard(one) == []


def test_a_message_comes_before_a_packet_of_the_same_time() -> None:
    book = f"(call $log (i32.const 2) (i32.const {TEXT}) (i32.const 4)) {EMPTY}"
    listens = speaker(text=b"book", on_book=book)
    _, two = run([member("a", speaker(send("b")), ticks()), member("b", listens, ticks(9, 10, 11))])
    assert heard(two) == [(0, "book"), (9, "book"), (10, "tick"), (10, "book"), (11, "book")]


def test_messages_of_one_time_come_in_order_of_labels_and_of_sending() -> None:
    """Whichever order the instances are listed in."""
    twice = [send("z"), send("z", 2)]
    members = [
        member("b", speaker(*twice, text=b"bee!"), ticks()),
        member("a", speaker(*twice, text=b"aye!"), ticks()),
        member("z", speaker(), ticks(100)),
    ]
    expected = [(10, "aye!"), (10, "ay"), (10, "bee!"), (10, "be")]
    assert heard(run(members)[2]) == expected
    assert heard(run(members[::-1])[0]) == expected


def test_a_message_has_at_most_256_bytes_and_nothing_behind_them() -> None:
    check = "(if (i64.ne (i64.load offset=248 (local.get 1)) (i64.const 0)) (then unreachable))"
    long, short = send("b", 256), send("b", 3)
    one, two = run(
        [
            member("a", speaker(long, send("b", 257), short, text=bytes(range(256))), ticks(50)),
            member(
                "b",
                speaker(on_message=f"(if (i32.ne (local.get 2) (i32.const 256)) (then {check})) {EMPTY}"),
                ticks(99),
            ),
        ]
    )
    assert two.status == "completed", two.detail
    assert (one.messages["sent"], one.messages["too_long"], two.messages["received"]) == (4, 2, 4)


def test_what_cannot_be_sent_is_counted() -> None:
    wrong = [send("nobody"), send("a"), send("b", 257), send("b", at="(i32.const -4)"), "(call $send (i64.const 0)"]
    wrong[-1] += " (i32.const 0) (i32.const 0))"
    one, two = run([member("a", speaker(*wrong), ticks()), member("b", speaker(), ticks())])
    assert one.status == "completed"
    counts = {name: count for name, count in one.messages.items() if count}
    assert counts == {"unknown_receiver": 3, "too_long": 1, "out_of_range": 1}
    assert not any(two.messages.values())


@pytest.mark.parametrize("plain", [False, True])
def test_a_flood_is_cut_to_what_may_be_under_way(plain: bool) -> None:
    """1,024 messages of one sender within one latency, whatever the windows; then it may go on."""
    again = "(br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1))))"
    flood = f"(local.set $n (i32.const 700)) (loop {send('b')} {again})"
    times = (3, 9, 10, 13, 60)
    one, two = run([member("a", speaker(flood), ticks(*times), plain=plain), member("b", speaker(), ticks(100))])
    # 700 at 0, 324 at 3, none at 9; at 10 the first 700 are there, at 13 the other 324, at 60 all.
    assert one.messages["sent"] == 700 + 324 + 0 + 700 + 324 + 700
    assert one.messages["flood"] == 6 * 700 - one.messages["sent"]
    assert two.messages["received"] == two.log_lines == one.messages["sent"]


def test_who_is_over_misses_messages_and_is_heard_to_the_last() -> None:
    gone = f"{send('b')} {EMPTY}"
    one, two = run(
        [
            member("a", speaker(text=b"bye!", on_shutdown=gone), ticks(40)),
            member("b", speaker(send("a")), ticks(25, 35, 90)),
        ]
    )
    assert heard(one) == [(10, "tick"), (35, "tick")]
    assert heard(two) == [(50, "bye!")]
    assert (one.messages["received"], one.messages["missed"], two.messages["sent"]) == (2, 2, 4)


def test_who_cannot_listen_misses_everything() -> None:
    _, two = run([member("a", speaker(send("b")), ticks(5)), member("b", algo("0.3.2"), ticks(50))])
    assert (two.status, two.messages["missed"], two.messages["received"]) == ("completed", 2, 0)


def test_an_instance_that_breaks_does_not_stop_the_others() -> None:
    broken = speaker(send("b"), on_message="unreachable")
    members = [
        member("a", broken, ticks(20, 30)),
        member("b", speaker(send("a")), ticks(10, 50)),
        member("c", algo(alloc="unreachable"), ticks()),
    ]
    one, two, three = run(members)
    assert "callback on_message, event 1" in one.detail
    assert three.detail.startswith("The algo trapped")
    assert (two.status, two.coverage.events) == ("completed", 4)
    assert heard(two) == [(10, "tick")]
    assert (one.messages["received"], one.messages["missed"]) == (1, 2)


def test_the_wall_clock_limit_holds_for_all_together() -> None:
    members = [member("a", speaker(on_book=FOREVER), ticks()), member("b", speaker(), ticks())]
    one, two = run(members, fuel_per_callback=2**52, wall_clock_limit_s=1)
    assert (one.status, two.status) == ("interrupted", "interrupted")


@pytest.mark.parametrize(
    "labels", [["a", "a"], ["", "b"], ["x" * 33, "b"], ["a\0", "b"], [str(n) for n in range(18)]], ids=len
)
def test_labels_that_cannot_be_are_refused(labels: list[str]) -> None:
    with pytest.raises(InvalidInputError, match=r"label|too many"):
        run([member(label, speaker(), ticks()) for label in labels])


@pytest.mark.parametrize("latency_ns", [0, -1])
def test_messages_take_time(latency_ns: int) -> None:
    with pytest.raises(InvalidInputError, match="must be > 0"):
        run([member("a", speaker(), ticks())], latency_ns)


def windowed(members: Sequence[MeshMember], latency_ns: int, window_ns: int, **settings: Any) -> list[ReplayResult]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("evals.engine.mesh.run_mesh", functools.partial(run_mesh, window_ns=window_ns))
        return run(members, latency_ns, **settings)


ECHO = (
    "(call $log (i32.const 2) (local.get 1) (local.get 2))"
    f"(call $send (local.get 0) (local.get 1) (i32.sub (local.get 2) (i32.const 1))) {EMPTY}"
)
"""Answer with one byte less; what is shorter than nothing is too long."""


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    times=st.lists(st.lists(st.integers(1, 120), min_size=1, max_size=12).map(sorted), min_size=3, max_size=3),
    latency_ns=st.integers(1, 40),
    shrunk=st.integers(0, 39),
    turned=st.booleans(),
)
def test_windows_and_order_of_instances_change_nothing(
    times: list[list[int]], latency_ns: int, shrunk: int, turned: bool
) -> None:
    members = [
        member("a", speaker(send("b"), send("c", 2), on_message=ECHO), ticks(*times[0])),
        member("b", speaker(send("c"), text=b"bee!", on_message=ECHO), ticks(*times[1])),
        member("c", speaker(send("a", 3), text=b"sea!", on_message=ECHO), ticks(*times[2])),
    ]
    whole = run(members, latency_ns)
    listed = members[::-1] if turned else members
    parts = windowed(listed, latency_ns, max(latency_ns - shrunk, 1))
    for one, two in zip(whole, parts[::-1] if turned else parts, strict=True):
        same(one, two)
    assert sum(r.messages["sent"] for r in whole) == sum(r.messages["received"] + r.messages["missed"] for r in whole)


TELL_OF_FILLS = f"(call $send (i64.const {mesh_id('b')}) (local.get 0) (i32.const 40))"
LOG_PACKETS = f"(call $log (i32.const 1) (i32.const {TEXT}) (i32.const 4)) {EMPTY}"
RESTING = [(n + 1, px * 10**9, 2 * 10**8, side, 0, 0) for n, (px, side) in enumerate([(99, 1), (98, 1), (102, -1)])]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=tapes(1), times=st.lists(st.integers(1, 400), max_size=20), data=st.data(), latency_ns=st.integers(1, 60))
def test_a_fill_between_two_packets_is_told_in_time(
    rows: list[tuple[Any, ...]], times: list[int], data: st.DataObject, latency_ns: int
) -> None:
    """What an exchange does to resting orders comes back at any time, however long no packet comes."""
    answer_ns = data.draw(st.integers(0, 60))
    orders = algo(
        on_book=f"(call $once (i32.const {LIST}))",
        on_fill=TELL_OF_FILLS,
        head=SEND,
        tail=listing(RESTING),
    )
    members = [
        member("a", orders, Tape(events_of(whole_units(rows)), INFO)),
        member("b", speaker(text=b"book", on_book=LOG_PACKETS), ticks(*sorted(times))),
    ]
    delays = {"place_response_ns": answer_ns, "place_entry_ns": 3, "off_market_bps": 0}
    whole = run(members, latency_ns, **delays)
    told = [at for at in whole[0].fills["receive_ns"].tolist() if at]
    arrived = [line.at_ns for line in whole[1].logs if line.level == "info"]
    assert arrived == [at + latency_ns for at in told if at + latency_ns <= whole[1].coverage.last_ns]
    assert [line.at_ns for line in whole[1].logs] == sorted(line.at_ns for line in whole[1].logs)
    for one, two in zip(
        whole, windowed(members, latency_ns, data.draw(st.integers(1, latency_ns)), **delays), strict=True
    ):
        same(one, two)
    alone = run_replay(orders, members[0].tape, config=MmConfig(), risk=RISK, settings=ReplaySettings(**delays))
    assert alone.fills.tobytes() == whole[0].fills.tobytes()


def test_a_maker_and_its_hedger(compiled_algo: Callable[[str], bytes]) -> None:
    """Both compiled with the SDK: the hedger's position is the maker's turned round, one latency later."""
    latency_ns = 5_000_000
    maker_tape, hedger_tape = (synthetic_tape(seed, duration_s=60) for seed in (1, 2))
    members = [
        member("maker", compiled_algo("mesh_maker"), maker_tape),
        member("hedger", compiled_algo("mesh_hedger"), hedger_tape),
    ]
    maker, hedger = run(members, latency_ns)
    assert (maker.status, hedger.status) == ("completed", "completed")
    told = maker.fills[maker.fills["receive_ns"] > 0]
    assert len(told) > 10, "a run that does nothing proves nothing"
    in_time = told[told["receive_ns"] + latency_ns <= hedger.coverage.last_ns]
    assert hedger.orders["decided_ns"].tolist() == (in_time["receive_ns"] + latency_ns).tolist()
    assert hedger.orders["qty_1e8"].tolist() == in_time["qty_1e8"].tolist()
    assert hedger.orders["side"].tolist() == (-in_time["side"]).tolist()
    assert maker.logs[0].text == f"mesh {mesh_id('maker')} 1"
    assert hedger.logs[0].text == f"from maker hello mesh {mesh_id('hedger')} 1"
    assert maker.logs[1].text.startswith("from hedger 8 bytes, position ")
    with_witness = run([*members, member("witness", speaker(), ticks())], latency_ns)
    for one, two in zip((maker, hedger), with_witness, strict=False):
        # Only the SDK's search for a label in a longer table costs more fuel.
        for name in ("fills", "orders", "equity"):
            assert getattr(one, name).tobytes() == getattr(two, name).tobytes()
    for one, two in zip((maker, hedger), windowed(members, latency_ns, 1_234_567), strict=True):
        same(one, two)


def test_an_instance_alone_is_as_a_run_without_mesh(compiled_algo: Callable[[str], bytes]) -> None:
    tape, wasm = synthetic_tape(7, duration_s=30), compiled_algo("maker")
    alone = run_replay(wasm, tape, config=MmConfig(), risk=RISK)
    (one,) = run([member("only", wasm, tape)])
    same(alone, one)
