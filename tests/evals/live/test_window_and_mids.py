"""The window of a tape, the mids along it, and accounts marked to them: each against something slow or other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.market.book import Book
from evals.market.schema import ASK, BID, BUY_TRADE, CLEAR, LAST_OF_PACKET, SELL_TRADE, TAPE_DTYPE, Instrument, TapeInfo
from evals.market.source import Columns
from evals.market.synthetic import DEFAULT_INSTRUMENT, synthetic_tape
from evals.market.tape import Tape
from evals.recordings import schema
from evals.recordings.marking import realised, sample_times
from evals.recordings.mids import mids_at, span_of
from evals.recordings.reading import Recording
from evals.recordings.schema import DTYPES, EDGE_STREAMS, EdgeRecording, Stream
from evals.recordings.window import WindowTape
from evals.replay import run_replay
from tests.evals.live.conftest import CAPITAL_1E9, CONFIG, RISK, SETTINGS, Streams, columns_of

START_NS = 1_700_000_000 * 10**9
INFO = TapeInfo(
    instrument=Instrument(venue="v", symbol="s", tick_size_1e9=1, lot_size_1e8=1), importer="test", importer_version="1"
)


class Cut:
    """A tape handed over in chunks of so many rows."""

    def __init__(self, tape: Tape, rows: int) -> None:
        self.info, self._tape, self._rows = tape.info, tape, rows

    def chunks(self) -> Iterator[Columns]:
        return self._tape.chunks(self._rows)


def gathered(source: Any) -> Any:
    pieces = [np.zeros(0, TAPE_DTYPE)]
    for chunk in source.chunks():
        pieces.append(np.zeros(len(chunk), TAPE_DTYPE))
        chunk.write_to(pieces[-1])
    return np.concatenate(pieces)


@st.composite
def tapes(draw: st.DrawFn) -> Tape:
    rows = draw(st.integers(1, 40))
    events = np.zeros(rows, TAPE_DTYPE)
    received = START_NS
    for event in events:
        received += draw(st.integers(0, 3)) * 1_000
        event["receive_ns"] = received
        # Now and then a clock ahead, or a row that is far too old.
        event["exchange_ns"] = received - draw(st.sampled_from([0, 500, 3_000, -2_000, 11 * 10**9]))
        event["kind"] = draw(st.sampled_from([BID, BID, ASK, ASK, BUY_TRADE, SELL_TRADE, CLEAR]))
        event["px_1e9"] = 0 if event["kind"] == CLEAR else draw(st.integers(1, 12))
        event["sz_1e8"] = draw(st.integers(0, 2))
        event["flags"] = draw(st.sampled_from([0, LAST_OF_PACKET]))
    events["flags"][-1] = LAST_OF_PACKET
    return Tape(events, INFO)


# On the rows, between them, and at the 10 s that a row may be old at most.
MOMENTS = st.integers(-10, 240).map(lambda step: step * 500) | st.integers(-4, 40).map(lambda step: step * 500 - 10**10)


@given(tapes(), st.lists(MOMENTS, max_size=8), st.integers(1, 7))
def test_mids_are_those_of_a_slow_pass(tape: Tape, after_ns: list[int], chunk_rows: int) -> None:
    times = np.array([START_NS + after for after in after_ns], np.int64)
    bids: dict[int, int] = {}
    asks: dict[int, int] = {}
    history = [(0, 0)]
    last_ns = 0
    for row in tape.events:
        if row["kind"] in (BUY_TRADE, SELL_TRADE):
            continue
        received = int(row["receive_ns"])
        last_ns = max(last_ns, min(max(int(row["exchange_ns"]), received - 10**10), received))
        px, size = int(row["px_1e9"]), int(row["sz_1e8"])
        if row["kind"] == CLEAR:
            bids, asks = {}, {}
        else:
            side = bids if row["kind"] == BID else asks
            side.pop(px, None)
            if size:
                side[px] = size
        history.append((last_ns, (max(bids) + min(asks)) // 2 if bids and asks else history[-1][1]))
    wanted = [[mid for at, mid in history if at <= time][-1] for time in times.tolist()]
    assert mids_at(Cut(tape, chunk_rows), times).tolist() == wanted
    first = tape.events[0]
    begun = min(max(int(first["exchange_ns"]), int(first["receive_ns"]) - 10**10), int(first["receive_ns"]))
    packets = int((tape.events["flags"] & LAST_OF_PACKET).sum())
    assert span_of(Cut(tape, chunk_rows)) == (
        int(first["receive_ns"]),
        begun,
        int(tape.events["receive_ns"][-1]),
        len(tape.events),
        packets,
    )


@given(tapes(), st.integers(-2_000, 130_000), st.integers(0, 130_000), st.integers(1, 7))
@settings(max_examples=200)
def test_a_window_is_whole_packets_behind_the_book_as_it_was(
    tape: Tape, start: int, length: int, chunk_rows: int
) -> None:
    start_ns, end_ns = START_NS + start, START_NS + start + length
    found = gathered(WindowTape(Cut(tape, chunk_rows), start_ns, end_ns))
    before, inside, packet = [], [], []
    for row in tape.events:
        packet.append(row)
        if row["flags"] & LAST_OF_PACKET:
            if row["receive_ns"] < start_ns:
                before += packet
            elif row["receive_ns"] <= end_ns:
                inside += packet
            packet = []
    wanted = np.array(inside, TAPE_DTYPE)
    opening = found[: len(found) - len(wanted)]
    assert all((found[len(opening) :][name] == wanted[name]).all() for name in TAPE_DTYPE.names or ())
    known = [row for row in before if row["kind"] == CLEAR]
    assert (len(opening) > 0) == bool(known and inside)
    if len(opening):
        assert opening["kind"][0] == CLEAR
        assert opening["flags"].tolist() == [2] * (len(opening) - 1) + [3]
        assert (opening["receive_ns"] == wanted["receive_ns"][0]).all()
        books = [Book(), Book()]
        books[0].apply(np.array(before, TAPE_DTYPE))
        books[1].apply(opening)
        assert books[0].bids() == books[1].bids()
        assert books[0].asks() == books[1].asks()


def test_a_window_over_all_is_the_tape_itself() -> None:
    tape = synthetic_tape(3, duration_s=5)
    found = gathered(WindowTape(Cut(tape, 100), int(tape.events["receive_ns"][0]), int(tape.events["receive_ns"][-1])))
    assert all((found[name] == tape.events[name]).all() for name in TAPE_DTYPE.names or ())


def recording_of(streams: Streams, **header: Any) -> tuple[Recording, EdgeRecording]:
    facts: dict[str, Any] = {
        "deployment": "dep_1",
        "bundle": "sha256:" + "0" * 64,
        "symbol": "s",
        "venue": "v",
        "capital_1e9": CAPITAL_1E9,
        "start_position_1e8": 0,
        "start_cash_1e9": 0,
    }
    empty = Stream(first_seq=1, last_seq=0, parts=())
    document = EdgeRecording(**facts | header, streams=dict.fromkeys(EDGE_STREAMS, empty))
    rows = {}
    for name, columns in streams.items():
        rows[name] = np.zeros(len(columns["at_ns"]), DTYPES[name])
        rows[name]["seq"] = np.arange(1, len(rows[name]) + 1)
        for column, values in columns.items():
            if column != "detail":
                rows[name][column] = values
    return Recording(document, rows, {}), document


@pytest.mark.parametrize(
    "facts",
    [
        {"maker_fee_ppm": -100, "taker_fee_ppm": 500},
        {"contract_size_1e8": 1_000_000, "maker_fee_ppm": 37},
        {"contract": "inverse", "contract_size_1e8": 10**10, "lot_size_1e8": 10**8, "min_qty_1e8": 10**8},
    ],
)
@pytest.mark.parametrize("interval_ns", [10**9, 333_333_333])
def test_accounts_are_marked_as_the_engine_does(
    compiled_algo: Callable[[str], bytes], facts: dict[str, Any], interval_ns: int
) -> None:
    tape = synthetic_tape(5, duration_s=30, instrument=DEFAULT_INSTRUMENT.model_copy(update=facts))
    config = CONFIG.model_copy(update={"quote_size_1e8": 10**9, "max_position_1e8": 10**11})
    settings_ = SETTINGS.model_copy(update={"equity_interval_ns": interval_ns})
    limits = RISK.model_copy(update={"max_position_1e8": 10**12, "max_order_notional_1e9": 10**18})
    twin = run_replay(compiled_algo("maker"), tape, config=config, risk=limits, settings=settings_)
    assert len(twin.fills) > 5
    recording, document = recording_of(columns_of(twin, tape))
    found = realised(recording, document, tape, interval_ns)
    for name in ("exchange_ns", "cash_1e9", "position_1e8", "mid_1e9", "equity_1e9", "fees_1e9"):
        assert (found.equity[name] == twin.equity[name]).all(), name
    for name in ("order_id", "px_1e9", "qty_1e8", "fee_1e9", "side", "position_1e8", "order_row", "mid_100ms_1e9"):
        assert (found.fills[name] == twin.fills[name]).all(), name


def test_the_mid_at_a_fill_is_the_one_before_it() -> None:
    tape = np.zeros(3, TAPE_DTYPE)
    tape["exchange_ns"] = tape["receive_ns"] = [START_NS, START_NS, START_NS + 50]
    tape["kind"], tape["px_1e9"], tape["sz_1e8"], tape["flags"] = [BID, ASK, BID], [1, 5, 3], 1, LAST_OF_PACKET
    fill = {"at_ns": [START_NS + 50], "order_id": [1], "px_1e9": [3], "qty_1e8": [1], "side": [1], "fee_1e9": [0]}
    events = {"at_ns": [START_NS, START_NS + 50], "kind": [schema.START, schema.STOP], "value": [0, 0]}
    nothing = {"at_ns": [], "order_id": []}
    recording, document = recording_of({"actions": nothing, "fills": fill | {"is_maker": [1]}, "events": events})
    found = realised(recording, document, Tape(tape, INFO), 10**9)
    assert found.fills["mid_1e9"].tolist() == [3]
    assert found.equity["mid_1e9"].tolist() == [4]


def test_samples_are_taken_when_the_engine_takes_them() -> None:
    assert sample_times(100, 350, 100).tolist() == [200, 300, 350]
    assert sample_times(100, 300, 100).tolist() == [200, 300, 300], "the last interval may be empty"
    assert sample_times(100, 150, 100).tolist() == [150]


@pytest.mark.parametrize("later_px", [3, 9])
def test_a_position_is_worth_nothing_before_the_first_mid(later_px: int) -> None:
    """And least of all what it will be worth by then."""
    tape = np.zeros(3, TAPE_DTYPE)
    tape["exchange_ns"] = tape["receive_ns"] = START_NS + np.array([0, 50, 100])
    tape["kind"], tape["px_1e9"], tape["sz_1e8"], tape["flags"] = [BID, ASK, BID], [1, later_px, 2], 1, LAST_OF_PACKET
    events = {"at_ns": [START_NS, START_NS + 100], "kind": [schema.START, schema.STOP], "value": [0, 0]}
    streams = {"actions": {"at_ns": []}, "fills": {"at_ns": []}, "events": events}
    recording, document = recording_of(streams, start_position_1e8=10**10)
    equity = realised(recording, document, Tape(tape, INFO), 25).equity
    first, last = (1 + later_px) // 2, (2 + later_px) // 2
    assert equity["mid_1e9"].tolist() == [0, first, first, last, last]
    assert equity["equity_1e9"].tolist() == [0, 0, 0, 100 * (last - first), 100 * (last - first)]


def test_what_became_of_orders() -> None:
    at_ns = START_NS
    rows = [  # (after ns, id, kind, side, type, qty, reject)
        (0, 1, 0, 1, 0, 10, -1),
        (1, 2, 0, -1, 4, 10, -1),
        (2, 3, 0, 1, 0, 10, 101),
        (3, 4, 0, 1, 0, 10, 2),
        (4, 2, 1, 0, 0, 0, -1),
        (5, 1, 2, 0, 0, 4, -1),
        (50, 2, 0, -1, 0, 7, -1),
    ]
    names = ("order_id", "kind", "side", "order_type", "qty_1e8", "reject_code")
    actions = {"at_ns": [at_ns + row[0] for row in rows], "px_1e9": [1] * len(rows)}
    actions |= {name: [row[i + 1] for row in rows] for i, name in enumerate(names)}
    fills = {
        "at_ns": [at_ns + 20, at_ns + 60],
        "order_id": [1, 2],
        "px_1e9": [1, 1],
        "qty_1e8": [4, 3],
        "side": [1, -1],
        "fee_1e9": [0, 0],
        "is_maker": [1, 1],
    }
    events = {"at_ns": [at_ns, at_ns + 100], "kind": [schema.START, schema.STOP], "value": [0, 0]}
    recording, document = recording_of({"actions": actions, "fills": fills, "events": events})
    tape = np.zeros(2, TAPE_DTYPE)
    tape["exchange_ns"] = tape["receive_ns"] = [at_ns, at_ns + 100]
    tape["kind"], tape["px_1e9"], tape["sz_1e8"], tape["flags"] = [BID, ASK], [1, 3], 1, LAST_OF_PACKET
    found = realised(recording, document, Tape(tape, INFO), 10**9)
    # Filled to what it was amended to; cancelled; refused by limits; rejected; done; done; open with a part.
    assert found.orders["outcome"].tolist() == [1, 2, 5, 4, 6, 6, 0]
    assert (found.orders["done_ns"] - at_ns).tolist()[:2] == [20, 4]
    assert found.orders["filled_1e8"].tolist() == [4, 0, 0, 0, 0, 0, 3]
    assert found.fills["order_row"].tolist() == [0, 6], "an id may be used again"
    # Bids from 0 to 20, offers from 1 to 4 and from 50 to the end.
    assert found.both_sides_ns == 3


actions = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 1, 2]), st.integers(1, 3), st.integers(1, 5), st.sampled_from([-1, -1, -1, 2, 101])
    ),
    max_size=14,
)
fills = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 4), st.integers(1, 3)), max_size=8)


@given(actions, fills)
def test_orders_end_as_in_a_slow_pass(given_actions: list[tuple[int, ...]], given_fills: list[tuple[int, ...]]) -> None:
    given_fills = sorted(given_fills, key=lambda fill: fill[0])
    sent = [(2 * i, *action) for i, action in enumerate(given_actions)]
    columns = {
        "at_ns": [START_NS + row[0] for row in sent],
        "kind": [row[1] for row in sent],
        "order_id": [row[2] for row in sent],
        "qty_1e8": [row[3] for row in sent],
        "reject_code": [row[4] for row in sent],
        "side": [1] * len(sent),
        "order_type": [0] * len(sent),
        "px_1e9": [1] * len(sent),
    }
    filled = {
        "at_ns": [START_NS + row[0] for row in given_fills],
        "order_id": [row[1] for row in given_fills],
        "qty_1e8": [row[2] for row in given_fills],
        **{name: [1] * len(given_fills) for name in ("px_1e9", "side", "is_maker")},
        "fee_1e9": [0] * len(given_fills),
    }
    wanted: dict[int, list[tuple[int, int]]] = {}
    of_id: dict[int, list[int]] = {}
    cancelled: dict[int, int] = {}
    for row, (at, kind, order_id, qty, code) in enumerate(sent):
        known = of_id.setdefault(order_id, [])
        if code >= 0:
            continue
        if kind == 0:
            known.append(row)
            wanted[row] = [(at, qty)]
        elif known and kind == 1:
            cancelled.setdefault(known[-1], at)
        elif known:
            wanted[known[-1]].append((at, qty))
    of_fill, got = [], {row: [] for row in wanted}
    for at, order_id, qty in given_fills:
        known = of_id.get(order_id, [])
        row = ([each for each in known if wanted[each][0][0] <= at] or known[:1] or [-1])[-1]
        of_fill.append(row)
        if row >= 0:
            got[row].append((max(at, wanted[row][0][0]), qty))
    held = {row: sum(qty for _, qty in each) for row, each in got.items()}
    complete = {}
    for row, wants in wanted.items():
        for now in range(wants[0][0], 60):
            has = sum(qty for at, qty in got[row] if at <= now)
            if has and has >= [qty for at, qty in wants if at <= now][-1]:
                complete[row] = now
                break
    events = {"at_ns": [START_NS, START_NS + 100], "kind": [schema.START, schema.STOP], "value": [0, 0]}
    recording, document = recording_of({"actions": columns, "fills": filled, "events": events})
    tape = np.zeros(2, TAPE_DTYPE)
    tape["exchange_ns"] = tape["receive_ns"] = [START_NS, START_NS + 100]
    tape["kind"], tape["px_1e9"], tape["sz_1e8"], tape["flags"] = [BID, ASK], [1, 3], 1, LAST_OF_PACKET
    found = realised(recording, document, Tape(tape, INFO), 10**9)
    assert found.fills["order_row"].tolist() == of_fill
    for row in wanted:
        order = found.orders[row]
        ends = [each[row] for each in (complete, cancelled) if row in each]
        assert order["outcome"] == (1 if row in complete else 2 if row in cancelled else 0)
        assert order["done_ns"] == (START_NS + min(ends) if ends else 0)
        assert order["filled_1e8"] == held[row]


def test_a_row_is_ten_seconds_old_at_most() -> None:
    tape = np.zeros(2, TAPE_DTYPE)
    tape["exchange_ns"], tape["receive_ns"] = START_NS - 11 * 10**9, START_NS
    tape["kind"], tape["px_1e9"], tape["sz_1e8"], tape["flags"] = [BID, ASK], [2, 4], 1, LAST_OF_PACKET
    times = np.array([START_NS - 10**10, START_NS - 10**10 - 1])
    assert mids_at(Tape(tape, INFO), times).tolist() == [3, 0]
