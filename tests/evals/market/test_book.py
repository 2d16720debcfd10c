"""The validation book against a dictionary."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from evals.market.book import Book
from evals.market.schema import ASK, BID, CLEAR
from evals.market.tape import Tape

ROWS = st.lists(
    st.tuples(st.just(0), st.sampled_from([BID, ASK, BID, ASK, 3, 4, CLEAR]), st.integers(1, 200), st.integers(0, 3)),
    min_size=1,
    max_size=400,
)


@given(rows=ROWS, cut=st.integers(0, 400))
def test_agrees_with_a_dictionary(
    make_tape: Callable[..., Tape], rows: list[tuple[int, int, int, int]], cut: int
) -> None:
    expected: dict[int, dict[int, int]] = {BID: {}, ASK: {}}
    for _, kind, px, sz in rows:
        if kind == CLEAR:
            expected = {BID: {}, ASK: {}}
        elif kind in expected:
            expected[kind][px] = sz
            if not sz:
                del expected[kind][px]
    events = make_tape(rows).events
    book = Book()
    book.apply(events[:cut])
    book.apply(events[cut:])
    assert book.bids() == sorted(expected[BID].items(), reverse=True)
    assert book.asks() == sorted(expected[ASK].items())
    assert book.best() == (next(iter(book.bids()), None), next(iter(book.asks()), None))
