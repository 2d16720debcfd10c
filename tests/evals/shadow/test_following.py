"""A feed that is still being written gives the evaluation that its files give afterwards, or says why it does not."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bundles.catalog import Catalog
from bundles.errors import InvalidInputError, NotFoundError
from bundles.evidence import Evaluation
from bundles.runners import Runner
from evals.errors import TapeError
from evals.evaluation import verify_evaluation
from evals.market.datasets import build_dataset
from evals.market.parquet import encode
from evals.market.schema import LAST_OF_PACKET
from evals.market.synthetic import DEFAULT_INSTRUMENT, DEFAULT_START_NS, synthetic_tape
from evals.market.tape import Tape, write_tape
from evals.shadow import evaluate_shadow, evaluate_shadow_live
from evals.shadowing.following import FollowedTape, FollowRules, follow
from tests.evals.shadow.conftest import NOW_NS

S = 10**9
START_NS, UNTIL_NS = DEFAULT_START_NS, DEFAULT_START_NS + 299 * S
VENUE, SYMBOL = DEFAULT_INSTRUMENT.venue, DEFAULT_INSTRUMENT.symbol


def rules(**changed: Any) -> FollowRules:
    """Return rules for the five minutes of the tape, in a hurry."""
    facts: dict[str, Any] = {
        "from_ns": START_NS,
        "until_ns": UNTIL_NS,
        "timeout_s": 10,
        "max_gap_s": 5,
        "poll_s": 0.005,
    }
    return FollowRules(**facts | changed)


def partitions(tape: Tape, seconds: int = 50) -> list[tuple[str, bytes]]:
    """Return keys and bytes of the partitions that a recorder would write, so many seconds each."""
    events, info = tape.events, tape.info
    ends = np.flatnonzero(events["flags"] & LAST_OF_PACKET)
    number = (events["receive_ns"][ends] - START_NS) // (seconds * S)
    cuts = [0, *(ends[np.flatnonzero(np.diff(number))] + 1).tolist(), len(events)]
    folder = f"venue={info.instrument.venue}/symbol={info.instrument.symbol}/date=2026-01-01"
    return [
        (f"{folder}/part-{n:05}.parquet", encode(events[start:stop], info))
        for n, (start, stop) in enumerate(itertools.pairwise(cuts))
    ]


class Recorder:
    """Writes partitions one after the other, each a little later, in a thread."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._thread: threading.Thread | None = None

    def put(self, part: tuple[str, bytes]) -> None:
        path = self._root / part[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.tmp")
        temporary.write_bytes(part[1])
        temporary.rename(path)

    def start(self, parts: Sequence[tuple[str, bytes]], every_s: float = 0.05) -> None:
        def write() -> None:
            for part in parts:
                time.sleep(every_s)
                self.put(part)

        self._thread = threading.Thread(target=write)
        self._thread.start()

    def join(self) -> None:
        if self._thread is not None:
            self._thread.join()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "feed"
    root.mkdir()
    return root


@pytest.fixture
def recorder(root: Path) -> Iterator[Recorder]:
    recorder = Recorder(root)
    yield recorder
    recorder.join()


@pytest.fixture
def live(catalog: Catalog, root: Path, register: Callable[..., str]) -> Callable[..., Evaluation]:
    def run(incumbent: str | None = None, **given: Any) -> Evaluation:
        arguments: dict[str, Any] = {"bundle": register(min_spread_bps=2), "tapes": [(VENUE, SYMBOL)], "rules": rules()}
        arguments |= {"incumbent": incumbent or register(), "data_root": root, "runner": Runner("ci")}
        return evaluate_shadow_live(catalog, clock=lambda: NOW_NS, **arguments | given)

    return run


@pytest.mark.parametrize("incumbent", [None, "flat"])
def test_what_was_followed_is_what_the_files_give(
    catalog: Catalog, root: Path, recorder: Recorder, live: Callable[..., Evaluation], tape: Tape, incumbent: str | None
) -> None:
    parts = partitions(tape)
    assert len(parts) == 6
    recorder.start(parts)
    said: list[str] = []
    found = live(incumbent, progress=said.append)
    assert (found.status, found.status_detail) == ("completed", "")
    assert said
    assert found.metrics["fills"]
    dataset = build_dataset(root, VENUE, SYMBOL)
    assert found.inputs.datasets == (dataset.digest(),)
    assert verify_evaluation(catalog, found.eval_id, root) == (True, found.result_digest, found.result_digest)
    again = evaluate_shadow(
        catalog,
        bundle=catalog.bundle_of(found),
        incumbent=incumbent or str(found.inputs.settings["incumbent"])[7:23].join(("bun_", "")),
        dataset=dataset.dataset_id,
        data_root=root,
        runner=Runner("ci"),
        now_ns=NOW_NS,
        force=True,
    )
    assert again == found, "the same evaluation, to the last metric"


def test_partitions_may_come_in_another_order_as_long_as_nothing_later_was_consumed(
    root: Path, recorder: Recorder, live: Callable[..., Evaluation], tape: Tape
) -> None:
    parts = partitions(tape)
    recorder.start([parts[0], parts[2], parts[1], *parts[3:]])
    found = live()
    assert found.status == "completed"
    assert found.inputs.datasets == (build_dataset(root, VENUE, SYMBOL).digest(),)


def test_a_window_may_go_over_midnight(catalog: Catalog, root: Path, live: Callable[..., Evaluation]) -> None:
    """The second day restates the book that the first one ended with; who has read that one leaves it out."""
    midnight_ns = START_NS + 86_400 * S
    write_tape(root, synthetic_tape(5, duration_s=120, start_ns=midnight_ns - 60 * S))
    found = live(rules=rules(from_ns=midnight_ns - 60 * S, until_ns=midnight_ns + 59 * S))
    assert found.status == "completed"
    dataset = build_dataset(root, VENUE, SYMBOL)
    assert len(dataset.partitions) == 2
    assert found.inputs.datasets == (dataset.digest(),)
    assert verify_evaluation(catalog, found.eval_id, root) == (True, found.result_digest, found.result_digest)


def test_the_window_is_what_was_asked_for(
    root: Path, recorder: Recorder, live: Callable[..., Evaluation], tape: Tape
) -> None:
    for part in partitions(tape):
        recorder.put(part)
    found = live(rules=rules(from_ns=START_NS + 100 * S, until_ns=START_NS + 200 * S))
    assert found.status == "completed"
    assert 99 < found.coverage.duration_s < 101
    assert found.coverage.first_ns >= START_NS + 100 * S


def test_a_feed_that_stops_where_the_window_ends_is_whole(
    recorder: Recorder, live: Callable[..., Evaluation], tape: Tape
) -> None:
    for part in partitions(tape):
        recorder.put(part)
    found = live(rules=rules(until_ns=START_NS + 304 * S, timeout_s=0.1))
    assert found.status == "completed"
    assert live(rules=rules(until_ns=START_NS + 306 * S, timeout_s=0.1)).status == "interrupted"


@pytest.mark.parametrize("name", ["part-00002.parquet", "part-00009.parquet"])
def test_data_that_come_late_make_it_inconclusive(
    catalog: Catalog,
    recorder: Recorder,
    live: Callable[..., Evaluation],
    tape: Tape,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    parts = partitions(tape)
    for part in [*parts[:2], parts[3]]:
        recorder.put(part)
    look = FollowedTape._new

    def after_the_fourth(self: FollowedTape) -> Any:
        if len(self._consumed) == 3:
            recorder.put((parts[2][0].replace("part-00002.parquet", name), parts[2][1]))
        return look(self)

    monkeypatch.setattr(FollowedTape, "_new", after_the_fourth)
    found = live(rules=rules(max_gap_s=60))
    assert found.status == "interrupted"
    assert f"{VENUE} {SYMBOL} got {name} late: it begins at 2026-01-01T00:01:40" in found.status_detail
    assert catalog.evaluations(catalog.bundle_of(found)) == [], "it counts for nothing"
    assert 190 < found.coverage.duration_s < 201
    assert found.inputs.datasets == (), "a book that was updated without the rows between is crossed: no dataset"


def test_a_hole_makes_it_inconclusive(recorder: Recorder, live: Callable[..., Evaluation], tape: Tape) -> None:
    parts = partitions(tape)
    for part in parts[:2] + parts[3:]:
        recorder.put(part)
    found = live(rules=rules(timeout_s=0.3))
    assert found.status == "interrupted"
    assert "has nothing since 2026-01-01T00:01:39" in found.status_detail
    assert "but part-00003.parquet begins at 2026-01-01T00:02:30" in found.status_detail
    assert found.coverage.duration_s < 101


def test_a_silence_inside_a_partition_makes_it_inconclusive(
    recorder: Recorder, live: Callable[..., Evaluation], tape: Tape
) -> None:
    at = tape.events["receive_ns"] - START_NS
    for part in partitions(Tape(tape.events[(at < 110 * S) | (at > 125 * S)], tape.info)):
        recorder.put(part)
    found = live()
    assert found.status == "interrupted"
    assert "has a gap of 15.0 s before 2026-01-01T00:02:05" in found.status_detail
    assert found.coverage.duration_s > 149, "what was begun is read to its end: a dataset holds whole files"


def test_a_feed_that_ends_before_its_time_makes_it_inconclusive(
    catalog: Catalog, root: Path, recorder: Recorder, live: Callable[..., Evaluation], tape: Tape
) -> None:
    for part in partitions(tape)[:2]:
        recorder.put(part)
    found = live(rules=rules(timeout_s=0.3))
    assert found.status == "interrupted"
    assert "has nothing new since 2026-01-01T00:01:39" in found.status_detail
    assert found.inputs.datasets == (build_dataset(root, VENUE, SYMBOL).digest(),)
    # The same files may be evaluated as what they are: two partitions.
    whole = evaluate_shadow(
        catalog,
        bundle=catalog.bundle_of(found),
        incumbent="flat",
        dataset=build_dataset(root, VENUE, SYMBOL).dataset_id,
        data_root=root,
        runner=Runner("ci"),
        now_ns=NOW_NS,
    )
    assert whole.status == "completed"
    assert live(rules=rules(timeout_s=0.3)).status == "interrupted"


BREAKS_LATER = """
    global.get $calls i32.const 1 i32.add global.set $calls
    global.get $calls i32.const 6000 i32.gt_u if unreachable end
    i32.const 0x26000"""


@pytest.mark.parametrize(("on_book", "partitions_read"), [(BREAKS_LATER, 2), ("unreachable", 1)])
def test_a_candidate_that_breaks_has_failed_on_what_was_read(
    catalog: Catalog,
    root: Path,
    recorder: Recorder,
    live: Callable[..., Evaluation],
    register: Callable[..., str],
    wat: Callable[..., bytes],
    tape: Tape,
    on_book: str,
    partitions_read: int,
) -> None:
    for part in partitions(tape):
        recorder.put(part)
    broken = register(wat(on_book))
    found = {incumbent: live(incumbent, bundle=broken) for incumbent in (register(), "flat")}
    for each in found.values():
        assert each.status == "failed"
        assert "unreachable" in each.status_detail
        assert verify_evaluation(catalog, each.eval_id, root) == (True, each.result_digest, each.result_digest)
    beside, alone = (catalog.dataset(f"data_{each.inputs.datasets[0][7:23]}") for each in found.values())
    assert len(beside.partitions) == 6, "the incumbent went on"
    assert alone.partitions == beside.partitions[:partitions_read]


def test_no_data_at_all_is_inconclusive(live: Callable[..., Evaluation]) -> None:
    found = live(rules=rules(timeout_s=0.1))
    assert (found.status, found.inputs.datasets, found.metrics) == ("interrupted", (), {})
    assert "has nothing new from 2026-01-01T00:00:00" in found.status_detail


def test_the_fault_of_one_tape_ends_all(recorder: Recorder, live: Callable[..., Evaluation], tape: Tape) -> None:
    other = synthetic_tape(8, duration_s=300, instrument=DEFAULT_INSTRUMENT.model_copy(update={"symbol": "ETH-USD"}))
    for part in partitions(tape)[:2] + partitions(other):
        recorder.put(part)
    found = live(tapes=[(VENUE, SYMBOL), (VENUE, "ETH-USD")], rules=rules(timeout_s=0.3))
    assert found.status == "interrupted"
    assert found.status_detail.startswith(f"{VENUE} {SYMBOL} has nothing new")
    assert "ETH" not in found.status_detail
    assert len(found.inputs.datasets) == 2


@pytest.mark.parametrize("incumbent", [None, "flat"])
def test_a_partition_that_is_no_tape_ends_both_runs_with_its_name(
    root: Path, recorder: Recorder, live: Callable[..., Evaluation], tape: Tape, incumbent: str | None
) -> None:
    parts = partitions(tape)
    recorder.start([parts[0], (parts[1][0], b"PAR1 nonsense")])
    with pytest.raises(TapeError, match=r"part-00001.parquet is truncated or damaged"):
        live(incumbent)


def test_a_tape_that_validation_refuses_gives_no_evaluation(
    recorder: Recorder, live: Callable[..., Evaluation], tape: Tape
) -> None:
    events = tape.events.copy()
    events["px_1e9"][(events["kind"] == 1) & (np.arange(len(events)) > 20_000)] += 1_000 * S
    for part in partitions(Tape(events, tape.info)):
        recorder.put(part)
    with pytest.raises(TapeError, match=rf"{VENUE} {SYMBOL} in .* is refused. The book is crossed"):
        live()


def test_it_looks_no_more_often_than_it_should(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = 0
    look = FollowedTape._new

    def counted(self: FollowedTape) -> Any:
        nonlocal looked
        looked += 1
        return look(self)

    monkeypatch.setattr(FollowedTape, "_new", counted)
    (tape,) = follow(root, [(VENUE, SYMBOL)], rules(timeout_s=0.5, poll_s=0.1))
    assert not tape.wait()
    assert looked <= 7


def test_bad_input_is_refused(tmp_path: Path, live: Callable[..., Evaluation]) -> None:
    with pytest.raises(NotFoundError, match=r"no data root .*elsewhere"):
        live(data_root=tmp_path / "elsewhere")
    with pytest.raises(InvalidInputError, match="No tape is named"):
        live(tapes=[])
    with pytest.raises(InvalidInputError, match=r"The window from .* until .* is empty"):
        rules(until_ns=START_NS)
    with pytest.raises(InvalidInputError, match="poll_s is 0"):
        rules(poll_s=0)


WAITING = """
import sys
from pathlib import Path
from bundles.mm_types import MmConfig
from evals.shadow import ShadowSettings
from evals.shadowing.beside import Algo, run_beside
from evals.shadowing.following import FollowRules, follow
from tests.evals.shadow.conftest import CONFIG, RISK
from tests.evals.shadow.test_following import START_NS, SYMBOL, UNTIL_NS, VENUE
algo = Algo(Path(sys.argv[1]).read_bytes(), MmConfig(**CONFIG), RISK)
tapes = follow(Path(sys.argv[2]), [(VENUE, SYMBOL)], FollowRules(from_ns=START_NS, until_ns=UNTIL_NS))
assert tapes[0].wait()
print("running", flush=True)
run_beside(algo, algo, tapes, settings=ShadowSettings(), seed=1, abandon=tapes[0].abandon)
"""


def test_ctrl_c_ends_runs_that_wait_for_data(
    tmp_path: Path, root: Path, recorder: Recorder, tape: Tape, compiled_algo: Callable[[str], bytes]
) -> None:
    recorder.put(partitions(tape)[0])
    (tmp_path / "maker.wasm").write_bytes(compiled_algo("maker"))
    project = Path(__file__).parents[3]
    with subprocess.Popen(
        [sys.executable, "-c", WAITING, str(tmp_path / "maker.wasm"), str(root)],
        cwd=project,
        env=os.environ | {"PYTHONPATH": str(project)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == "running\n"
        time.sleep(2)
        run.send_signal(signal.SIGINT)
        _, said = run.communicate(timeout=60)  # far less than the five minutes for which it would wait
    assert said.rstrip().endswith("KeyboardInterrupt")
    assert run.returncode not in {0, None}
