"""A project's ``Sequence.toml``: name, symbol, venue, strategy configuration and risk limits by version."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from bundles.canonical import Document, explain
from bundles.errors import MalformedDocumentError, NotFoundError
from bundles.mm_types import MmConfig, MmRiskLimits
from bundles.settings import line_of, read_toml

FILE_NAME: Final = "Sequence.toml"

_TEXTS: Final = ("name", "symbol", "venue")
_TABLES: Final = ("config", "risk")

_Model = TypeVar("_Model", bound=Document)


@dataclass(frozen=True)
class Project:
    """What a ``Sequence.toml`` says; the built-in defaults where there is none."""

    path: Path | None = None
    name: str | None = None
    symbol: str | None = None
    venue: str | None = None
    config: MmConfig = field(default_factory=MmConfig)
    risk: dict[str, MmRiskLimits] = field(default_factory=lambda: {"v1": MmRiskLimits()})

    def risk_limits(self, version: str) -> MmRiskLimits:
        """Return the limits of one version.

        Raises:
            NotFoundError: when there is no such version; the message lists those there are.

        """
        if version not in self.risk:
            place = self.path or f"the built-in risk limits (there is no {FILE_NAME} here)"
            raise NotFoundError(
                f"No risk limits {version!r} in {place}. It has: {', '.join(sorted(self.risk)) or 'none'}. "
                f"Add a table [risk.{version}] to {FILE_NAME}, or name another --risk-version."
            )
        return self.risk[version]


def find_project(*starts: Path) -> Project:
    """Read the nearest ``Sequence.toml`` at or above the first of some places that has one; defaults where none has."""
    for start in starts:
        here = start.absolute()
        for directory in (here, *here.parents):
            path = directory / FILE_NAME
            if path.exists() or path.is_symlink():
                return read_project(path)
    return Project()


def read_project(path: Path) -> Project:
    """Read one ``Sequence.toml``.

    Raises:
        MalformedDocumentError: naming file, line and key.

    """
    text, values = read_toml(path)
    for key, value in values.items():
        kind = str if key in _TEXTS else dict
        if key not in _TEXTS + _TABLES:
            known = ", ".join(_TEXTS + _TABLES)
            raise MalformedDocumentError(f"{path}, line {line_of(text, key)}: unknown key {key!r}. Known: {known}.")
        if not isinstance(value, kind):
            wanted = "a string" if kind is str else "a table"
            raise MalformedDocumentError(f"{path}, line {line_of(text, key)}: {key!r} must be {wanted}.")
    risk = values.get("risk", {})
    return Project(
        path=path,
        **{key: values.get(key) for key in _TEXTS},
        config=_table(MmConfig, values.get("config", {}), "config", path, text),
        risk={version: _table(MmRiskLimits, limits, f"risk.{version}", path, text) for version, limits in risk.items()}
        or {"v1": MmRiskLimits()},
    )


def _table(model: type[_Model], values: Any, table: str, path: Path, text: str) -> _Model:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        place = f"{path}, line {line_of(text, table)}, [{table}]"
        raise MalformedDocumentError(explain(error, place)) from error
