"""A writer that is killed at any point leaves a recording that can be read, holds all that was durable, and says so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bundles.errors import InvalidInputError
from evals.recordings.gaps import gaps_of
from evals.recordings.reading import read_folder
from evals.recordings.schema import START, STOP
from evals.recordings.writing import Recorder
from tests.evals.live.test_files import ACTION, EVENT, FILL, HEADER, START_NS

ROOT = Path(__file__).parents[3]
KILLED = 24

# Forks from one process, so that all writers cost one start of Python. A writer tells on a pipe how many rows it was
# promised; each is killed some promises and up to 20 ms later, most of which is spent in the middle of a write.
WRITERS = """
import json, os, signal, sys, time
from pathlib import Path
import numpy as np
import pyarrow as pa
from evals.recordings.schema import HEARTBEAT, START
from evals.recordings.writing import Recorder

folder, count, given = Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
os.fsync = lambda file: None  # a kill, other than a power cut, loses nothing that was written


def write(folder, told):
    recorder = Recorder.edge(folder, **given["header"])
    row = 0
    while True:
        for _ in range(1 + row % 5):
            at_ns = given["start_ns"] + row
            recorder.append("events", at_ns=at_ns, kind=HEARTBEAT if row else START, value=row)
            recorder.append("actions", **given["action"] | {"at_ns": at_ns, "order_id": row})
            recorder.append("fills", **given["fill"] | {"at_ns": at_ns, "order_id": row})
            row += 1
        recorder.rotate()
        os.write(told, f"{row}\\n".encode())


pa.array(np.zeros(1))  # loads what pyarrow loads late, once for all
for turn in range(count):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        write(folder / str(turn), writing)
    os.close(writing)
    with os.fdopen(reading) as told:
        lines = ["0"] + [told.readline() for _ in range(turn % 4)]
        time.sleep(0.02 * turn / count)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        lines += told.readlines()
    print(int(lines[-1]))
"""


def test_a_writer_that_is_killed_leaves_what_it_promised(tmp_path: Path) -> None:
    given = json.dumps({"header": HEADER, "start_ns": START_NS, "action": ACTION, "fill": FILL})
    done = subprocess.run(
        [sys.executable, "-c", WRITERS, tmp_path, str(KILLED), given],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    promised = list(map(int, done.stdout.split()))
    assert len(promised) == KILLED
    assert sum(rows > 0 for rows in promised) > KILLED // 2
    begun = 0
    for turn, rows in enumerate(promised):
        folder = tmp_path / str(turn)
        if not (folder / "recording.json").exists():
            assert rows == 0
            Recorder.edge(folder, **HEADER)  # what never began can be begun
            continue
        begun += 1
        found, _ = read_folder(folder)
        held = len(found.rows["events"])
        assert held >= rows, "what a rotation returned from is there"
        for name, column in (("events", "value"), ("actions", "order_id"), ("fills", "order_id")):
            assert (found.rows[name][column] == np.arange(held)).all(), "the streams end at one moment"
        told = [gap.text for gap in gaps_of(found)]
        assert told == (["the last event is no stop"] if held else ["events holds no rows: neither start nor stop"])
    assert begun > KILLED // 2


def test_a_recording_can_be_read_from_its_beginning_on(tmp_path: Path) -> None:
    Recorder.edge(tmp_path / "r", **HEADER)
    found, _ = read_folder(tmp_path / "r")
    assert [gap.text for gap in gaps_of(found)] == ["events holds no rows: neither start nor stop"]


@pytest.mark.parametrize(
    "change", [{"qty_1e8": 2**63}, {"qty_1e8": 1.5}, {"qty_1e8": None}, {"qty_1e8": "many"}, {"side": 200}]
)
def test_a_row_that_no_file_can_hold_stops_no_other(tmp_path: Path, change: dict[str, object]) -> None:
    recorder = Recorder.edge(tmp_path / "r", **HEADER)
    recorder.append("events", **EVENT)
    with pytest.raises(InvalidInputError, match=f"{next(iter(change))} of actions"):
        recorder.append("actions", **ACTION | change)
    recorder.append("actions", **ACTION)
    recorder.append("events", at_ns=START_NS + 1, kind=STOP, value=0)
    recorder.close()
    found, _ = read_folder(tmp_path / "r")
    assert gaps_of(found) == []
    assert len(found.rows["actions"]) == 1


def test_rows_are_taken_as_they_are_now(tmp_path: Path) -> None:
    recorder = Recorder.edge(tmp_path / "r", **HEADER)
    values = np.array([7, 8])
    recorder.extend("events", {"at_ns": np.full(2, START_NS), "kind": np.full(2, START), "value": values})
    values[:] = 0
    recorder.close()
    assert read_folder(tmp_path / "r")[0].rows["events"]["value"].tolist() == [7, 8]


def test_a_recording_of_too_many_files_can_still_be_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evals.recordings.writing.MOST_PARTS", 3)
    recorder = Recorder.edge(tmp_path / "r", **HEADER)
    for _ in range(2):
        recorder.append("events", **EVENT)
        recorder.rotate()
    recorder.append("events", at_ns=START_NS + 1, kind=STOP, value=0)
    with pytest.raises(InvalidInputError, match=r"2 files of events; at most 3 .* Close it"):
        recorder.rotate()
    recorder.close()
    found, files = read_folder(tmp_path / "r")
    assert found.rows["events"]["kind"].tolist() == [START, START, STOP]
    assert len(files) == 4
