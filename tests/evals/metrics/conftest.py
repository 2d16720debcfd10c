"""Logs of several assets, as the engine writes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from evals.engine import layout
from evals.metrics import RunTotals


def with_columns(dtype: np.dtype[Any], *names: str) -> np.dtype[Any]:
    """Return a dtype that has these i4 columns."""
    missing = [(name, "<i4") for name in names if name not in (dtype.names or ())]
    return np.dtype([*dtype.descr, *missing])


@pytest.fixture(scope="session")
def log_of() -> Callable[..., Any]:
    """Return a builder of logs: ``log_of("fills", 3, px_1e9=[...], …)``; what is not given is 0."""
    dtypes = {
        "fills": with_columns(layout.FILL_LOG, "asset"),
        "orders": with_columns(layout.ORDER_LOG, "asset"),
        "equity": with_columns(layout.EQUITY_LOG, "symbol"),
    }

    def build(name: str, rows: int, **columns: Any) -> Any:
        log = np.zeros(rows, dtypes[name])
        for column, values in columns.items():
            log[column] = values
        return log

    return build


@pytest.fixture(scope="session")
def totals_of() -> Callable[..., RunTotals]:
    """Return a builder of totals; what is not given is 0."""

    def build(**given: Any) -> RunTotals:
        facts: dict[str, Any] = dict.fromkeys(RunTotals.__annotations__, 0)
        facts |= {"trapped": False, "fuel_counts": np.zeros(64, np.int64), "fuel_of_bucket": lambda bucket: bucket}
        return RunTotals(**facts | given)

    return build
