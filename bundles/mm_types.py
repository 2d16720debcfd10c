"""Market-making schemas shared by the manifest, the engine and the control client: MmConfig, MmRiskLimits, MmHeartbeat.

Field names, aliases and validation rules are the platform's public ones. Widths, order and defaults are not public: the
56-byte layout at the end of this module is **ours and unofficial**, and it is defined nowhere else.
"""

from __future__ import annotations

import struct
from typing import Annotated, Any, Final

from pydantic import Field, model_validator

from bundles.canonical import Document, Int64, UInt64

LEGACY_NAMES: Final = {
    "spread_bps": "min_spread_bps",
    "size_1e8": "quote_size_1e8",
    "order_ttl_ms": "max_order_age_ms",
    "skew_factor": "max_skew_ratio",
}
"""Old field names of MmConfig and the names that replaced them."""

LAYOUT_BYTES: Final = 56
"""Size of the packed MmConfig."""

_LAYOUT: Final = struct.Struct("<QqqqqqQ")


class MmConfig(Document):
    """Strategy configuration of a market maker.

    ``max_skew_ratio`` is the largest shift of the quotes, as a fraction of the half-spread, at full inventory (0 to 1).
    Legacy names are accepted on input and normalised; giving both an old and a new name is an error.
    """

    version: Annotated[int, Field(ge=0, lt=2**32)] = 1
    num_levels: Annotated[int, Field(ge=1, le=5)] = 1
    min_spread_bps: Annotated[int, Field(gt=0, lt=2**31)] = 2
    quote_size_1e8: Annotated[Int64, Field(gt=0)] = 100_000
    max_position_1e8: Annotated[Int64, Field(gt=0)] = 1_000_000
    max_order_age_ms: Annotated[UInt64, Field(lt=2**63)] = 5_000
    max_skew_ratio: Annotated[float, Field(ge=0, le=1)] = 0.5

    @model_validator(mode="before")
    @classmethod
    def _normalise_legacy_names(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        normalised = dict(given)
        for old, new in LEGACY_NAMES.items():
            if old in normalised:
                if new in normalised:
                    raise ValueError(f"both {new!r} and its legacy name {old!r} are given; keep {new!r} only")
                normalised[new] = normalised.pop(old)
        return normalised

    def pack(self) -> bytes:
        """Return the 56 bytes that the engine writes into slots 0 to 6 of the algo's config region.

        Seven little-endian 64-bit words, in this order: version, num_levels, min_spread_bps, quote_size_1e8,
        max_position_1e8, max_order_age_ms, and max_skew_ratio scaled by 10^4. Unofficial: see the module's docstring.
        """
        return _LAYOUT.pack(
            self.version,
            self.num_levels,
            self.min_spread_bps,
            self.quote_size_1e8,
            self.max_position_1e8,
            self.max_order_age_ms,
            round(self.max_skew_ratio * 10_000),
        )

    @classmethod
    def unpack(cls, packed: bytes) -> MmConfig:
        """Read the layout that :meth:`pack` writes."""
        version, levels, spread, size, position, age, skew = _LAYOUT.unpack(packed)
        return cls(
            version=version,
            num_levels=levels,
            min_spread_bps=spread,
            quote_size_1e8=size,
            max_position_1e8=position,
            max_order_age_ms=age,
            max_skew_ratio=skew / 10_000,
        )


class MmRiskLimits(Document):
    """Risk limits shared by REST control, the edge and the replay.

    ``max_order_rate`` counts new orders and amends in any one second. In the last two fields 0 switches a check off.
    """

    max_position_1e8: Annotated[Int64, Field(gt=0)] = 10_000_000
    max_order_notional_1e9: Annotated[Int64, Field(gt=0)] = 10_000_000_000_000
    max_order_rate: Annotated[int, Field(gt=0, lt=2**32)] = 100
    max_daily_loss_1e9: Annotated[Int64, Field(ge=0)] = 0
    max_price_deviation_bps: Annotated[int, Field(ge=0, lt=2**31)] = 0


class MmHeartbeat(Document):
    """What a running market maker reports: status and the figures that regime detection reads."""

    algo_id: str
    at_ns: Int64
    config_version: Annotated[int, Field(ge=0)]
    position_1e8: Int64 = 0
    realized_pnl_1e9: Int64 = 0
    unrealized_pnl_1e9: Int64 = 0
    open_orders: Annotated[int, Field(ge=0)] = 0
    realized_volatility_bps_1min: int = 0
    trend_bps_1min: int = 0
    top_level_spread_bps: int = 0
    quote_fill_ratio_bps: int = 0
