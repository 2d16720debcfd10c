"""How a replay is run: latencies, queues, fills, limits. Part of an evaluation's inputs, so part of its identity."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, model_validator

from bundles.canonical import Digest, Document, Int64

QueueModel = Literal["risk_averse", "optimistic", "power", "power_total", "power_front", "log", "log_total"]
LatencyModel = Literal["constant", "recorded", "lognormal"]

_Nanoseconds = Annotated[Int64, Field(ge=0, lt=3_600_000_000_000)]
_Ppm = Annotated[int, Field(ge=0, le=1_000_000)]


class ReplaySettings(Document):
    """How a replay is run. Latencies are one way: entry from the algo to the exchange, response back."""

    place_entry_ns: _Nanoseconds = 1_000_000
    cancel_entry_ns: _Nanoseconds = 1_000_000
    amend_entry_ns: _Nanoseconds = 1_000_000
    place_response_ns: _Nanoseconds = 1_000_000
    cancel_response_ns: _Nanoseconds = 1_000_000
    amend_response_ns: _Nanoseconds = 1_000_000
    latency_model: LatencyModel = "constant"
    """``lognormal``: the latencies above are medians. ``recorded``: a trace of latencies replaces them."""
    latency_trace: Digest | None = None
    """The recorded latencies, a blob of the store; see `evals.latency_trace`."""
    latency_sigma_ppm: Annotated[int, Field(ge=0, le=3_000_000)] = 500_000
    """Standard deviation of the logarithm of a lognormal latency, x 10^6."""
    burst_ppm: _Ppm = 0
    """Share of stretches of time in which every lognormal latency is longer, x 10^6."""
    burst_ns: Annotated[Int64, Field(gt=0)] = 1_000_000_000
    burst_factor: Annotated[int, Field(ge=1, le=1_000)] = 10
    queue_model: QueueModel = "risk_averse"
    queue_exponent: Annotated[int, Field(ge=1, le=8)] = 3
    """The n of the power family."""
    queue_band: bool = True
    """Whether an evaluation runs under every other queue model too, to show how much the figures owe to this one."""
    partial_fills: bool = True
    """Whether fills stop at the size that traded or stood there; without, an order that is reached fills whole."""
    off_market_bps: Annotated[int, Field(ge=0, le=10_000)] = 100
    """Trades that print further outside the best bid and ask are reported and fill nothing; 0 lets all of them fill."""
    maker_adverse_enabled: bool = False
    maker_adverse_skip_rate_ppm: _Ppm = 300_000
    maker_adverse_penalty_k_ppm: Annotated[int, Field(ge=0, le=100_000_000)] = 500_000
    maker_adverse_bias_ppm: Annotated[int, Field(ge=-100_000_000, le=100_000_000)] = 2_000_000
    """Maker adverse selection, the platform's MAKER_ADVERSE_* variables, x 10^6."""
    self_impact_enabled: bool = False
    """Whether the algo sees the book with its own orders in it and without what it took."""
    fuel_per_callback: Annotated[Int64, Field(gt=0, lt=2**53)] = 10_000_000
    max_actions: Annotated[Int64, Field(gt=0, le=2**32)] = 50_000_000
    """Actions after which a run ends: each is a row of the order log, which lies on a disk."""
    memory_limit_bytes: Annotated[int, Field(ge=2**20, le=2**30, multiple_of=65_536)] = 64 * 2**20
    capital_1e9: Annotated[Int64, Field(gt=0)] = 100_000_000_000_000
    equity_interval_ns: Annotated[Int64, Field(ge=1_000_000)] = 1_000_000_000
    wall_clock_limit_s: Annotated[int, Field(gt=0, le=86_400)] = 3_600

    @model_validator(mode="after")
    def _trace_is_used(self) -> Self:
        if self.latency_trace is not None and self.latency_model != "recorded":
            raise ValueError("latency_trace needs latency_model 'recorded'")
        return self

    def as_json(self) -> dict[str, JsonValue]:
        """Return the settings as they stand in an evaluation's inputs."""
        document: dict[str, JsonValue] = self.model_dump(mode="json")
        return document
