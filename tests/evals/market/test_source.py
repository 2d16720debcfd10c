"""Chunks are views of the rows, and arrays that kernels could not index are refused."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.market.schema import TAPE_DTYPE
from evals.market.source import Columns
from evals.market.synthetic import synthetic_tape
from evals.market.tape import Tape, gathered


@pytest.fixture(scope="module")
def tape() -> Tape:
    return synthetic_tape(1, duration_s=2)


@given(chunk_rows=st.integers(1, 2000))
def test_a_tape_in_memory_is_a_source(tape: Tape, chunk_rows: int) -> None:
    chunks = list(tape.chunks(chunk_rows))
    assert [len(chunk) for chunk in chunks[:-1]] == [chunk_rows] * (len(chunks) - 1)
    assert all(np.shares_memory(chunk.px_1e9, tape.events) for chunk in chunks)
    assert (gathered(tape.info, chunks, len(tape.events)).events == tape.events).all()


def test_cut_takes_the_rows_from_start_to_stop(tape: Tape) -> None:
    part = Columns.of(tape.events).cut(3, 8)
    for field in fields(part):
        assert (getattr(part, field.name) == tape.events[field.name][3:8]).all()


@pytest.mark.parametrize("wrong", ["type", "length", "shape", "empty"])
def test_other_arrays_are_refused(wrong: str) -> None:
    columns = {name: np.zeros(2, TAPE_DTYPE[name]) for name in TAPE_DTYPE.names or ()}
    if wrong == "empty":
        columns = {name: column[:0] for name, column in columns.items()}
    else:
        columns["px_1e9"] = {
            "type": np.zeros(2, np.int32),
            "length": np.zeros(3, np.int64),
            "shape": np.zeros((2, 1), np.int64),
        }[wrong]
    with pytest.raises(ValueError, match=r"is .* of shape"):
        Columns(**columns)
