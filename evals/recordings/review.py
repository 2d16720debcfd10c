"""One review of a recorded algo: what really happened and its twin, side by side, under one digest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from bundles.evidence import RunStatus
from bundles.manifests import EdgeBundle
from evals.engine.layout import Int64s, Records
from evals.engine.settings import ReplaySettings
from evals.market.schema import Instrument
from evals.market.source import TapeSource
from evals.recordings.checks import window_of
from evals.recordings.gaps import Gap, gaps_of, tell
from evals.recordings.history import count_of, outcome_rows
from evals.recordings.marking import Realised, realised
from evals.recordings.matching import Matches, match_fills
from evals.recordings.reading import Recording
from evals.recordings.schema import CONFIG, TRAP, EdgeRecording
from evals.recordings.window import WindowTape
from evals.replay import ReplayResult, log_as_parquet, run_replay

NAME: Final = "kernel-live-review"
VERSION: Final = "1"

DIFFERENCE: Final = np.dtype([("at_ns", "<i8"), ("realised_1e9", "<i8"), ("twin_1e9", "<i8")])
"""What both equities changed by in the interval that ends at ``at_ns``."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Review:
    """What really happened, what should have, and how they go together."""

    recording: Recording
    document: EdgeRecording
    instrument: Instrument
    settings: ReplaySettings
    seed: int
    look: int
    gaps: list[Gap]
    realised: Realised
    twin: ReplayResult
    matches: Matches
    differences: Records
    """Rows of DIFFERENCE."""

    @property
    def status(self) -> RunStatus:
        """Whether the bundle broke, live or in its twin; a twin that was cut short says nothing."""
        if self.twin.status == "interrupted":
            return "interrupted"
        return "failed" if self.count(TRAP) or self.twin.status == "failed" else "completed"

    @property
    def detail(self) -> str:
        """What people should know of it."""
        traps = self.count(TRAP)
        trapped = f"The deployment trapped {traps} time{'s' if traps > 1 else ''}" if traps else ""
        twin = f"The twin: {self.twin.detail}" if self.twin.detail else ""
        return ". ".join(filter(None, (trapped, tell(self.gaps), self.apart, twin)))

    @property
    def apart(self) -> str:
        """Why the replay is no twin, so that the two are not compared; empty if it is one."""
        if self.document.start_position_1e8:
            return "The deployment began with a position, the twin with none: the two are not compared"
        if self.count(CONFIG):
            return "The configuration changed meanwhile, the twin ran under the bundle's: the two are not compared"
        return ""

    @property
    def events(self) -> Records:
        """What happened to the deployment, rows of DTYPES."""
        return self.recording.rows["events"]

    def count(self, kind: int) -> int:
        """Return how many events of a kind were recorded."""
        return count_of(self.recording, kind)

    def digest(self) -> str:
        """Return the digest of the result, over integers only."""
        digest = hashlib.sha256(f"{NAME} {VERSION} {self.status} {self.seed}\n".encode())
        digest.update(f"{self.twin.result_digest} {len(self.gaps)}\n".encode())
        for name, rows in {**self._logs(), "events": self.events}.items():
            digest.update(f"{name} {len(rows)}\n".encode() + rows.tobytes())
        return f"sha256:{digest.hexdigest()}"

    def outputs(self) -> dict[str, bytes]:
        """Return the parquet files that show the review: logs of both, matches, differences, the history."""
        return {
            **outcome_rows(self.recording, {name: (rows, {}) for name, rows in self._logs().items()}),
            **{f"twin_{name}": log_as_parquet(rows) for name, rows in self.twin.rows.items()},
        }

    def _logs(self) -> dict[str, Records]:
        return {
            "fills": self.realised.fills,
            "orders": self.realised.orders,
            "equity": self.realised.equity,
            "matches": self.matches.rows,
            "differences": self.differences,
        }


def review(
    recording: Recording,
    document: EdgeRecording,
    manifest: EdgeBundle,
    wasm: bytes,
    tape: TapeSource,
    *,
    settings: ReplaySettings,
    seed: int,
    look: int = 1,
    trace: Int64s | None = None,
    progress: Callable[[str], None] | None = None,
) -> Review:
    """Review a recording against the replay of its bundle on its window of a tape; see `run_replay` for the rest.

    Raises:
        TapeError: if the tape holds nothing in the window, or is not in receive order.
        InvalidInputError: if the account leaves 64 bits.

    """
    window = WindowTape(tape, *window_of(recording))
    found = realised(recording, document, window, settings.equity_interval_ns)
    twin = run_replay(
        wasm,
        window,
        config=manifest.config,
        risk=manifest.risk_limits,
        settings=settings,
        seed=seed,
        progress=progress,
        trace=trace,
    )
    return Review(
        recording=recording,
        document=document,
        instrument=window.info.instrument,
        settings=settings,
        seed=seed,
        look=look,
        gaps=gaps_of(recording),
        realised=found,
        twin=twin,
        matches=match_fills(found.fills, twin.fills, window.info.instrument.tick_size_1e9),
        differences=differences(found.equity, twin.equity),
    )


def differences(ours: Records, twins: Records) -> Records:
    """Return rows of DIFFERENCE from two logs of equity, as far as both have samples at the same times."""
    count = min(len(ours), len(twins))
    same = ours["exchange_ns"][:count] == twins["exchange_ns"][:count]
    count = count if same.all() else int(same.argmin())
    rows = np.zeros(count, DIFFERENCE)
    rows["at_ns"] = ours["exchange_ns"][:count]
    for column, log in (("realised_1e9", ours), ("twin_1e9", twins)):
        rows[column] = np.diff(log["equity_1e9"][:count], prepend=0)
    return rows
