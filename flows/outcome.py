"""How a flow ends: a state whose message says what came of it, where an exception would show a traceback.

Prefect replaces a returned state by its data (or raises it, if it is an exception), hence the types.
"""

from __future__ import annotations

from typing import Any, TypeVar, cast

from prefect.states import Completed, Failed

T = TypeVar("T")


def completed(value: T, message: str) -> T:
    """End the flow as completed with a message; callers get the value."""
    return cast("T", Completed(message=message, data=value))


def failed(error: Exception, name: str | None = None) -> Any:
    """End the flow as failed with the error's text as message; callers get the error raised."""
    return Failed(message=str(error), data=error, name=name)
