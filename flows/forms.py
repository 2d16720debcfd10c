"""How parameters are called in Prefect's form for a run."""

from __future__ import annotations

from typing import Any

from pydantic import Field


def titled(title: str) -> Any:
    """Give a parameter a title: Prefect puts the parameter's name over `Field(title=…)`, but not over this."""
    return Field(json_schema_extra={"title": title})
