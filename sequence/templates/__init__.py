"""Projects that `sequence init` copies."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Final

from bundles.errors import InvalidInputError, RefusedError

TEMPLATE: Final = "mm-algo-template"

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_RESERVED: Final = frozenset({"test", "core", "std", "alloc", "proc_macro", "self", "super", "crate"})
"""Names that Cargo or Rust refuse for a package."""


def start_project(name: str, parent: Path) -> Path:
    """Copy the template into a new folder, under the project's name.

    Raises:
        InvalidInputError: when the name cannot be a Rust package's.
        RefusedError: when there is something of that name already.

    """
    if not _NAME.fullmatch(name) or name in _RESERVED:
        raise InvalidInputError(
            f"{name!r} cannot name a project. Use letters, digits, '-' and '_', beginning with a letter, at most 64, "
            f"and none of {', '.join(sorted(_RESERVED))}."
        )
    project = parent / name
    if project.exists():
        raise RefusedError(f"{project} exists already; nothing was changed. Choose another name, or remove it.")
    built = shutil.ignore_patterns("target", "Cargo.lock")
    shutil.copytree(Path(__file__).parent / TEMPLATE, project, ignore=built)
    for path in project.rglob("*"):
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            path.write_text(text.replace(TEMPLATE, name).replace(_crate(TEMPLATE), _crate(name)), encoding="utf-8")
    return project


def _crate(name: str) -> str:
    """Return the name by which Rust code and the built files call a package."""
    return name.replace("-", "_")
