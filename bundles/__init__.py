"""What can be promoted, where it is kept, what may happen to it: the room's public face, imported when used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bundles.approvals import Approval, word_of
    from bundles.audit import verify
    from bundles.authorship import sign_bundle
    from bundles.catalog import Catalog
    from bundles.compile import compile_assignment, compile_edge, compile_sor
    from bundles.descent import demote, quarantine, release, review, roll_back
    from bundles.gates import evaluate_gate
    from bundles.governance import in_force, set_policy, set_roster
    from bundles.ladder import STAGES, decide
    from bundles.ledger import Ledger
    from bundles.policy import Policy, default_policy, load_policy
    from bundles.promotion import Wish, answer, ask, check, complete
    from bundles.roster import Roster, load_roster
    from bundles.runners import Runner
    from bundles.store import ObjectStore, open_store

__all__ = [
    "STAGES",
    "Approval",
    "Catalog",
    "Ledger",
    "ObjectStore",
    "Policy",
    "Roster",
    "Runner",
    "Wish",
    "answer",
    "ask",
    "check",
    "compile_assignment",
    "compile_edge",
    "compile_sor",
    "complete",
    "decide",
    "default_policy",
    "demote",
    "evaluate_gate",
    "in_force",
    "load_policy",
    "load_roster",
    "open_store",
    "quarantine",
    "release",
    "review",
    "roll_back",
    "set_policy",
    "set_roster",
    "sign_bundle",
    "verify",
    "word_of",
]

_ROOMS = {
    "approvals": ("Approval", "word_of"),
    "audit": ("verify",),
    "authorship": ("sign_bundle",),
    "catalog": ("Catalog",),
    "compile": ("compile_assignment", "compile_edge", "compile_sor"),
    "descent": ("demote", "quarantine", "release", "review", "roll_back"),
    "gates": ("evaluate_gate",),
    "governance": ("in_force", "set_policy", "set_roster"),
    "ladder": ("STAGES", "decide"),
    "ledger": ("Ledger",),
    "policy": ("Policy", "default_policy", "load_policy"),
    "promotion": ("Wish", "answer", "ask", "check", "complete"),
    "roster": ("Roster", "load_roster"),
    "runners": ("Runner",),
    "store": ("ObjectStore", "open_store"),
}
_HOMES = {name: module for module, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(f"bundles.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'bundles' has no attribute {name!r}")
