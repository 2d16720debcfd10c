"""What compiled SDK algos read out of the structures that the host writes."""

from __future__ import annotations

from collections.abc import Callable

from evals.market.schema import ASK, BID
from evals.replay import ReplayResult
from evals.wasm import abi

START_NS = 1_700_000_000_000_000_000
PX, SZ = 10**9, 10**8
Play = Callable[..., ReplayResult]


def test_sizes_are_the_sdks() -> None:
    sizes = {
        abi.L2_BOOK: 656,
        abi.OPEN_ORDER: 40,
        abi.ALGO_STATE_0_1: 1_320,
        abi.ALGO_STATE: 1_576,
        abi.FILL: 40,
        abi.REJECT: 16,
        abi.ACTION: 32,
        abi.WASM_ACTIONS: 520,
        abi.ONLINE_FEATURES: 256,
        abi.CONFIG_REGION: 304,
    }
    assert {layout.itemsize for layout in sizes} == set(sizes.values())
    assert all(layout.itemsize == size for layout, size in sizes.items())


def test_an_algo_of_sdk_0_4_reads_every_field(play: Play, compiled_algo: Callable[[str], bytes]) -> None:
    bids = [(0, 0, BID, 100 - n, 5 + n, False) for n in range(21)]
    asks = [(0, 0, ASK, 102 + n, 3, n == 20) for n in range(21)]
    rows = [*bids, *asks, (1_000, 1_500, ASK, 102, 4), (1_100_000_000, 1_100_000_000, BID, 99, 9)]
    facts = {
        "taker_fee_ppm": 1_000,
        "min_qty_1e8": SZ,
        "min_notional_1e9": 7,
        "tick_size_1e9": 5 * 10**8,
        "lot_size_1e8": 10**6,
    }
    risk = {
        "max_position_1e8": 77 * SZ,
        "max_daily_loss_1e9": 10**15,
        "max_order_notional_1e9": 10**15,
        "max_order_rate": 9,
    }
    result = play(rows, compiled_algo("probe"), instrument=facts, risk=risk)
    assert result.status == "completed", result.detail
    lines = [(line.at_ns - START_NS, line.level, line.text) for line in result.logs]
    assert lines == [
        (0, "info", "sizes 656 1576 520 304"),
        (0, "info", f"book 20 20 {100 * PX} {5 * SZ} {102 * PX} {3 * SZ} {START_NS}"),
        (0, "info", f"last {81 * PX} {3 * SZ} 0"),
        (0, "info", "state 0 0 0 0 0 0 0"),
        (0, "info", f"symbol {5 * 10**8} {10**6} {SZ} 7 1 2 0 BTC-USD"),
        (0, "info", f"risk {77 * SZ} {10**15} {10**15} 9 0 0 0"),
        # Microprice 100 + 2 * 5 / 8; imbalance of five levels a side (35 - 15) / 50.
        (0, "info", f"features 1 0 {101_250_000_000} 4000 {START_NS}"),
        (0, "info", "config 1 7 1 1 1 2 100000 1000000 5000 5000"),
        (0, "error", "reject 8 2"),
        (20, "warn", f"fill 7 {100 * PX} {2 * SZ} {START_NS + 20} -1 0 {-2 * SZ} false"),
        (1_500, "info", f"book 20 20 {100 * PX} {5 * SZ} {102 * PX} {4 * SZ} {START_NS + 1_500}"),
        (1_500, "info", f"last {81 * PX} {3 * SZ} 0"),
        # Short 2 from 100 at a mid of 101, after a fee of 200 * 0.1 %.
        (1_500, "info", f"state {-2 * SZ} {100 * PX} {-PX // 5} {-2 * PX} 0 {-PX // 5} 1"),
        *[(1_500, "info", text) for text in _facts()],
        (1_000_000_000, "info", "heartbeat 0"),
        (1_100_000_000, "info", f"book 20 20 {100 * PX} {5 * SZ} {102 * PX} {4 * SZ} {START_NS + 1_100_000_000}"),
        (1_100_000_000, "info", f"last {81 * PX} {3 * SZ} 0"),
        (1_100_000_000, "info", f"state {-2 * SZ} {100 * PX} {-PX // 5} {-2 * PX} 0 {-PX // 5} 1"),
        *[(1_100_000_000, "info", text) for text in _facts(START_NS + 1_100_000_000, imbalance=4074)],
        (1_100_000_000, "info", "shutdown 0"),
    ]


def _facts(at_ns: int = START_NS + 1_500, imbalance: int = 3725) -> list[str]:
    return [
        f"symbol {5 * 10**8} {10**6} {SZ} 7 1 2 0 BTC-USD",
        f"risk {77 * SZ} {10**15} {10**15} 9 0 0 0",
        f"features 1 0 {101_111_111_111} {imbalance} {at_ns}",
        "config 1 7 1 1 1 2 100000 1000000 5000 5000",
    ]


def test_an_order_is_seen_pending_then_acknowledged(play: Play, compiled_algo: Callable[[str], bytes]) -> None:
    rows = [(0, 0, BID, 100, 1, False), (0, 0, ASK, 102, 3), (5, 5, BID, 90, 1), (500, 500, BID, 90, 2)]
    result = play(rows, compiled_algo("probe"), place_entry_ns=100)
    orders = [line.text for line in result.logs if line.text.startswith("order")]
    assert orders == [f"order 7 {100 * PX} {-2 * SZ} 0 -1 0", f"order 7 {100 * PX} {-2 * SZ} {SZ} -1 2"]


def test_an_algo_of_sdk_0_1_runs(play: Play, compiled_algo: Callable[[str], bytes]) -> None:
    rows = [(0, 0, BID, 100, 1, False), (0, 0, ASK, 102, 3), (500, 500, BID, 90, 2)]
    result = play(rows, compiled_algo("legacy"))
    assert [line.text for line in result.logs] == [f"first {100 * PX} 1320 0", f"filled 5000 {SZ}", "done 2"]
    assert result.metrics["fills"] == 1
