"""The sandbox: module checks, the SDK's binary interface, the host."""

from __future__ import annotations

from evals.wasm.module import ModuleFacts, inspect_module

__all__ = ["ModuleFacts", "inspect_module"]
