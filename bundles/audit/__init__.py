"""Whether the record is whole, and what it says: verification of a store, and exports for whoever reviews it."""

from __future__ import annotations

from bundles.audit.findings import AuditReport
from bundles.audit.whole import verify

__all__ = ["AuditReport", "verify"]
