"""What is asked of the ladder."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Proposal:
    """What is asked for: a bundle (id, digest of its manifest, kind), where to, on which evidence."""

    bundle: str
    manifest: str
    bundle_kind: str
    target: str
    stage: str
    evaluations: tuple[str, ...]
    break_glass: bool = False
    glass_s: int | None = None
    notes: str = ""
