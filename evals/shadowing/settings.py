"""How a shadow evaluation is run: a replay's settings with live latencies, and what is noted beside them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from bundles.canonical import Digest
from evals.engine.settings import LatencyModel, ReplaySettings


class ShadowSettings(ReplaySettings):
    """The settings of a replay, which candidate and incumbent share; latencies are those of a bad day by default.

    One second in a hundred is a burst, in which every latency is ten times as long. The band over queue models, which
    runs the candidate six times more, is off.
    """

    latency_model: LatencyModel = "lognormal"
    burst_ppm: Annotated[int, Field(ge=0, le=1_000_000)] = 10_000
    queue_band: bool = False


class RecordedSettings(ShadowSettings):
    """What stands in the inputs of a shadow evaluation: the settings, and what was looked up when it was asked for."""

    incumbent: Digest | Literal["flat"]
    """The manifest of the incumbent, a blob of the store."""
    incumbent_by: Literal["ladder", "request"] = "ladder"
    """Whether it is the one that the ladder names, or another that somebody asked for."""
    look: Annotated[int, Field(ge=1)] = 1
    """Which shadow evaluation of the candidate this is, counted from 1."""
    trials: Annotated[int, Field(ge=1)] = 1
    sharpe_variance: str | None = None
    """The trials that the candidate was one of by then, see `evals.statistics.trials`."""
    fault: str = ""
    """Why a feed that was followed ended before its time; empty if it did not."""
