"""What can be promoted, where it is kept, what may happen to it: the room's public face, imported when used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bundles.approvals import Approval, Roster, Statement, sign_statement
    from bundles.audit import verify
    from bundles.catalog import Catalog
    from bundles.compile import compile_assignment, compile_edge, compile_sor
    from bundles.gates import evaluate_gate
    from bundles.ladder import STAGES, decide
    from bundles.ledger import Ledger
    from bundles.policy import Policy, default_policy, load_policy
    from bundles.promotion import check, promote, statement_for
    from bundles.store import ObjectStore, open_store

__all__ = [
    "STAGES",
    "Approval",
    "Catalog",
    "Ledger",
    "ObjectStore",
    "Policy",
    "Roster",
    "Statement",
    "check",
    "compile_assignment",
    "compile_edge",
    "compile_sor",
    "decide",
    "default_policy",
    "evaluate_gate",
    "load_policy",
    "open_store",
    "promote",
    "sign_statement",
    "statement_for",
    "verify",
]

_ROOMS = {
    "approvals": ("Approval", "Roster", "Statement", "sign_statement"),
    "audit": ("verify",),
    "catalog": ("Catalog",),
    "compile": ("compile_assignment", "compile_edge", "compile_sor"),
    "gates": ("evaluate_gate",),
    "ladder": ("STAGES", "decide"),
    "ledger": ("Ledger",),
    "policy": ("Policy", "default_policy", "load_policy"),
    "promotion": ("check", "promote", "statement_for"),
    "store": ("ObjectStore", "open_store"),
}
_HOMES = {name: module for module, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(f"bundles.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'bundles' has no attribute {name!r}")
