"""Generated parent orders: like the tape, from nothing but the tape before a moment, the same for the same seed."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from bundles.errors import InvalidInputError
from evals.market.schema import BUY_TRADE, SELL_TRADE
from evals.market.tape import Tape
from evals.parents.calibration import MILLION, calibrate
from evals.parents.draws import draws
from evals.parents.generator import Wanted, closeness, generate_parents, window_of
from evals.parents.parquet import write_parents

WANTED = Wanted(count=10_000, horizon_ns=10**10)


def market_orders(tape: Tape, until_ns: int = 2**62) -> list[tuple[int, int, int, int]]:
    """A slow, obvious reading: (exchange time, receive time, side, size) of each market order."""
    found: list[tuple[int, int, int, int]] = []
    for event in tape.events:
        if event["kind"] not in (BUY_TRADE, SELL_TRADE) or event["sz_1e8"] == 0 or event["receive_ns"] >= until_ns:
            continue
        side = 1 if event["kind"] == BUY_TRADE else -1
        at, received, size = int(event["exchange_ns"]), int(event["receive_ns"]), int(event["sz_1e8"])
        if found and found[-1][0] == at and found[-1][2] == side:
            found[-1] = (at, found[-1][1], side, found[-1][3] + size)
        else:
            found.append((at, received, side, size))
    return found


def test_what_is_measured_is_what_a_plain_reading_measures(tape: Tape) -> None:
    orders = market_orders(tape)
    measured = calibrate(tape)
    sides = [side for _, _, side, _ in orders]
    after_buy = [b for a, b in pairwise(sides) if a == 1]
    after_sell = [b for a, b in pairwise(sides) if a == -1]
    assert measured.market_orders == len(orders)
    assert measured.buys_ppm == round(sides.count(1) / len(sides) * MILLION)
    assert measured.buy_after_buy_ppm == round(after_buy.count(1) / len(after_buy) * MILLION)
    assert measured.sell_after_sell_ppm == round(after_sell.count(-1) / len(after_sell) * MILLION)
    sizes = sorted(size for _, _, _, size in orders)
    assert (measured.sizes_1e8[0], measured.sizes_1e8[-1]) == (sizes[0], sizes[-1])
    assert list(measured.sizes_1e8) == np.quantile(sizes, np.arange(257) / 256, method="nearest").tolist() or all(
        abs(np.searchsorted(sizes, each, "right") / len(sizes) - k / 256) < 0.05 or sizes.count(each) > 1
        for k, each in enumerate(measured.sizes_1e8)
    )
    assert sum(measured.arrivals) == len(orders)
    assert (measured.first_ns, measured.until_ns) == (
        int(tape.events["receive_ns"][0]),
        int(tape.events["receive_ns"][-1]) + 1,
    )


def test_persistence_sizes_and_arrivals_are_those_of_the_tape(tape: Tape) -> None:
    measured = calibrate(tape)
    found = closeness(measured, WANTED, generate_parents(measured, WANTED, seed=1))
    # Standard errors of shares over 5,000 transitions are about 0.7 %.
    for name in ("buys", "buy_after_buy", "sell_after_sell"):
        assert abs(found[f"{name}_ppm"] - found[f"{name}_measured_ppm"]) < 25_000, name
    for percent, bound in ((10, 0.25), (50, 0.1), (90, 0.1), (99, 0.25)):
        size, wanted = found[f"size_p{percent}_1e8"], found[f"size_p{percent}_measured_1e8"]
        assert abs(size - wanted) <= bound * wanted, percent
    assert found["arrival_distance_ppm"] < 25_000  # Kolmogorov: 1.63 / sqrt(10,000) at 1 %, and a little more


def test_persistent_sides_are_told_from_independent_ones(tape: Tape) -> None:
    events = tape.events.copy()
    trades = np.flatnonzero((events["kind"] == BUY_TRADE) | (events["kind"] == SELL_TRADE))
    moments, moment = np.unique(events["exchange_ns"][trades], return_inverse=True)
    events["kind"][trades] = np.where(draws(5, 0, len(moments), 2)[moment] == 0, BUY_TRADE, SELL_TRADE)
    measured = calibrate(Tape(events, tape.info))
    sides = generate_parents(measured, WANTED, seed=1).rows["side"]
    assert abs(int((sides[1:] == sides[:-1]).sum()) - 5_000) < 300


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tape: Tape) -> None:
    measured = calibrate(tape)
    one, same, other = (write_parents(generate_parents(measured, WANTED, seed=s), importer="t") for s in (1, 1, 2))
    assert one == same
    assert one != other


def test_the_generator_s_bytes_are_known() -> None:
    """Guards the streams: another order of draws would make other orders of an old seed."""
    assert draws(42, 0, 4, 1000).tolist() == draws(42, 0, 9, 1000)[:4].tolist()
    assert draws(42, 0, 4, 2**32).tolist() != draws(42, 1, 4, 2**32).tolist()


def test_draws_are_splitmix64() -> None:
    """The first outputs of the reference implementation for state 1234567 (Vigna's splitmix64.c)."""
    from evals.parents.draws import _mixed

    gamma, state = 0x9E3779B97F4A7C15, 1234567
    states = np.array([(state + (k + 1) * gamma) % 2**64 for k in range(3)], np.uint64)
    assert _mixed(states).tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_nothing_after_the_moment_is_looked_at(tape: Tape) -> None:
    until_ns = int(tape.events["receive_ns"][len(tape.events) // 2])
    scrambled = tape.events.copy()
    late = scrambled["receive_ns"] >= until_ns
    scrambled["sz_1e8"][late] = scrambled["sz_1e8"][late][::-1] * 7 + 1
    scrambled["kind"][late & (scrambled["kind"] == SELL_TRADE)] = BUY_TRADE
    before, after = (calibrate(each, until_ns=until_ns) for each in (tape, Tape(scrambled, tape.info)))
    assert before == after
    assert before.market_orders == len(market_orders(tape, until_ns))
    assert before != calibrate(tape)
    wanted = Wanted(count=500, horizon_ns=0)
    made = [write_parents(generate_parents(each, wanted, seed=1), importer="t") for each in (before, after)]
    assert made[0] == made[1]
    assert calibrate(Tape(scrambled, tape.info)) != calibrate(tape)


def test_orders_lie_within_the_window_are_whole_lots_and_not_too_small(tape: Tape) -> None:
    measured = calibrate(tape)
    wanted = Wanted(count=3_000, horizon_ns=30 * 10**9, size_multiple=3, participation_ppm=100_000, urgency=2)
    rows = generate_parents(measured, wanted, seed=9).rows
    first_ns, end_ns = window_of(measured, wanted)
    assert first_ns <= rows["arrival_ns"].min()
    assert rows["arrival_ns"].max() < end_ns == measured.until_ns - 30 * 10**9
    assert not (rows["qty_1e8"] % measured.lot_size_1e8).any()
    assert rows["qty_1e8"].min() >= measured.min_qty_1e8
    assert rows["qty_1e8"].max() <= 3 * measured.sizes_1e8[-1]
    assert set(zip(rows["participation_ppm"].tolist(), rows["urgency"].tolist(), strict=True)) == {(100_000, 2)}


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Wanted(count=0), "0 parent orders"),
        (Wanted(count=1, size_multiple=0), "size multiple of 0"),
        (Wanted(count=1, horizon_ns=-1), "horizon -1 ns"),
        (Wanted(count=1, horizon_ns=700 * 10**9), "Choose a shorter horizon"),
        (Wanted(count=1, participation_ppm=10**6 + 1), "participation_ppm is 1000001"),
    ],
)
def test_what_cannot_be_made_is_refused(tape: Tape, wanted: Wanted, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        generate_parents(calibrate(tape), wanted, seed=1)


def test_too_few_market_orders_are_no_calibration(tape: Tape) -> None:
    with pytest.raises(InvalidInputError, match="synthetic BTC-USD holds 0 market orders"):
        calibrate(tape, until_ns=0)
