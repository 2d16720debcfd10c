"""Market-making types under their public name: the models that bundles, the engine and the edge share."""

from bundles.mm_types import LEGACY_NAMES, MmConfig, MmHeartbeat, MmRiskLimits

__all__ = ["LEGACY_NAMES", "MmConfig", "MmHeartbeat", "MmRiskLimits"]
