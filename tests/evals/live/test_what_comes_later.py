"""Scrambling everything after a moment changes nothing that a review of an algo says of the time before it.

For policies see `test_policy_review`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundles.evidence import Evaluation
from evals.market.synthetic import synthetic_tape
from evals.recordings import schema
from tests.evals.live.conftest import DURATION_S, SETTINGS, Deployed, Streams, write
from tests.evals.live.scrambling import (
    COUNT,
    STEP_NS,
    events_after,
    joined,
    known,
    registered,
    rows_after,
    scrambled,
    until,
)
from tests.evals.live.test_live_review import TICK_1E9, output, reviewed


@pytest.fixture
def moment_ns(deployed: Deployed) -> int:
    """Return when the twin is about to buy: a fill that is counted a little early is counted before it."""
    fills = deployed.twin.fills
    bought_ns = fills["exchange_ns"][fills["side"] > 0]
    return int(bought_ns[len(bought_ns) // 2]) - 1


def with_probes(deployed: Deployed, streams: Streams, moment_ns: int) -> Streams:
    """Return the streams with orders that are open at the moment, and fills whose figures reach exactly up to it."""
    twins = deployed.twin.fills
    next_row = int(np.searchsorted(twins["exchange_ns"], moment_ns, "right"))
    px, much = int(twins["px_1e9"][next_row]), int(twins["qty_1e8"][next_row:].sum())
    horizons_ns = (10**10, 10**9, 10**8, 0)
    placed = {"at_ns": moment_ns - 2 * 10**10, "kind": 0, "order_type": 0, "px_1e9": px, "reject_code": -1}
    orders = {"order_id": [9_001, 9_002], "side": [1, -1], "qty_1e8": [9 * much, 9_000]}
    filled = {
        "at_ns": [moment_ns - horizon for horizon in horizons_ns],
        # More than the twin ever buys at the price of what it is about to buy, so that any part in reach is matched.
        "order_id": [9_001, 9_001, 9_002, 9_001],
        "side": [1, 1, -1, 1],
        "qty_1e8": [much, much, 4_000, much],
        "px_1e9": [px] * 4,
        "fee_1e9": [7] * 4,
        "is_maker": [1] * 4,
    }
    return {
        "actions": joined(
            streams["actions"], {name: np.resize(placed.get(name, orders.get(name)), 2) for name in streams["actions"]}
        ),
        "fills": joined(streams["fills"], {name: np.array(filled[name]) for name in streams["fills"]}),
        "events": streams["events"],
    }


def gone_otherwise(streams: Streams, moment_ns: int) -> Streams:
    """Return the streams of a deployment that was the same until the moment, and another one after it."""
    early = {name: until(columns, moment_ns) for name, columns in streams.items()}
    bought = int(early["fills"]["qty_1e8"][early["fills"]["order_id"] == 9_001].sum())
    ids, sides = np.arange(COUNT) + 10_000, np.resize([1, -1], COUNT)
    traded = {"order_id": ids, "px_1e9": 31 * TICK_1E9, "qty_1e8": 10**8, "side": sides}
    changed = rows_after(moment_ns, order_id=0, kind=0, order_type=0, px_1e9=1, qty_1e8=bought, side=0, reject_code=-1)
    # At once, one open order is amended to what it has, the other is cancelled.
    changed = {name: values[[0, 0]] for name, values in changed.items()}
    changed |= {"order_id": np.array([9_001, 9_002]), "kind": np.array([2, 1])}
    placed = rows_after(moment_ns, kind=0, order_type=0, reject_code=-1, **traded)
    return {
        "actions": joined(early["actions"], changed, placed),
        "fills": joined(early["fills"], rows_after(moment_ns, fee_1e9=10**9, is_maker=0, **traded)),
        "events": joined(streams["events"], events_after(moment_ns)),
    }


def test_what_happens_later_changes_nothing_before(
    deployed: Deployed, streams: Streams, tmp_path: Path, moment_ns: int
) -> None:
    other = scrambled(deployed.tape, moment_ns, synthetic_tape(8, duration_s=DURATION_S))
    streams = with_probes(deployed, streams, moment_ns)
    # The stop of both is where both tapes still go on.
    end_ns = int(min(deployed.tape.events["receive_ns"][-1], other.events["receive_ns"][-1]))
    for columns in streams.values():
        columns["at_ns"] = np.minimum(columns["at_ns"], end_ns)
    later = gone_otherwise(streams, moment_ns)
    settings = SETTINGS.model_copy(update={"equity_interval_ns": 4 * STEP_NS})
    one = reviewed(deployed, write(tmp_path / "one", streams, deployed.digest), settings=settings)
    two = reviewed(
        deployed,
        write(tmp_path / "two", later, deployed.digest),
        dataset=registered(deployed.catalog, tmp_path / "data", other),
        data_root=tmp_path / "data",
        settings=settings,
    )

    def seen(evaluation: Evaluation, name: str) -> Any:
        table = output(deployed, evaluation, name)
        if name in {"fills", "twin_fills"}:
            happened_ns = table["exchange_ns"]
            horizons_ns = {"mid_100ms_1e9": 10**8, "mid_1s_1e9": 10**9, "mid_10s_1e9": 10**10}
            later_ns = {column: happened_ns + horizon for column, horizon in horizons_ns.items()}
            return known(table, "exchange_ns", moment_ns, at=later_ns | {"receive_ns": table["receive_ns"]})
        if name in {"orders", "twin_orders"}:
            # What becomes of an order in the end is known at the end.
            told_ns = dict.fromkeys(("arrived_ns", "reject_code", "reason"), table["arrived_ns"])
            table = table.drop(columns=["outcome", "filled_1e8"])
            return known(table, "decided_ns", moment_ns, at=told_ns | {"done_ns": table["done_ns"]})
        if name == "matches":
            # A fill waits a second for its counterparts.
            fills = output(deployed, evaluation, "fills")
            table["fill_ns"] = fills["exchange_ns"].to_numpy()[table["realised_row"]]
            return known(table, "fill_ns", moment_ns - 10**9)
        return known(table, "at_ns" if name in {"differences", "events"} else "exchange_ns", moment_ns)

    assert set(one.outputs) == set(two.outputs)
    for name in one.outputs:
        tables = [seen(each, name) for each in (one, two)]
        assert len(tables[0]), name
        assert tables[0].equals(tables[1]), (
            f"{name}\n{tables[0].compare(tables[1]) if len(tables[0]) == len(tables[1]) else tables}"
        )
        assert not output(deployed, one, name).equals(output(deployed, two, name)), name


def test_the_market_after_the_stop_changes_no_figure(
    deployed: Deployed, streams: Streams, tmp_path: Path, moment_ns: int
) -> None:
    streams = {name: until(columns, moment_ns) for name, columns in with_probes(deployed, streams, moment_ns).items()}
    stop = {"at_ns": [moment_ns], "kind": [schema.STOP], "value": [0], "detail": np.array(["over"], object)}
    streams["events"] = joined(streams["events"], stop)
    folder = write(tmp_path / "r", streams, deployed.digest)
    other = scrambled(deployed.tape, moment_ns, synthetic_tape(8, duration_s=DURATION_S))
    one = reviewed(deployed, folder)
    two = reviewed(
        deployed,
        folder,
        dataset=registered(deployed.catalog, tmp_path / "data", other),
        data_root=tmp_path / "data",
    )
    assert one.inputs.datasets != two.inputs.datasets
    assert one.metrics["recording_gaps"] == 0, one.status_detail
    assert one.result_digest == two.result_digest
    assert one.outputs == two.outputs
    for name, value in one.metrics.items():
        # The second look at a bundle has wider bounds.
        if not (
            name.startswith(("tape_", "look", "bootstrap_draws", "detectable")) or "_lower" in name or "_upper" in name
        ):
            assert value == two.metrics[name], name
