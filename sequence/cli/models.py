"""The options of `backtest` and `eval shadow` on how the market is simulated, and the platform's variables for it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

if TYPE_CHECKING:
    from evals.engine.settings import ReplaySettings

QUEUE_MODELS: Final = ("risk_averse", "optimistic", "power", "power_total", "power_front", "log", "log_total")
LATENCY_MODELS: Final = ("constant", "lognormal", "recorded")
"""As `evals.engine.settings` has them; importing it would slow every completion down."""

_ACTIONS: Final = ("place", "cancel", "amend")

_SCALES: Final = {
    "MAKER_ADVERSE_SKIP_RATE": ("maker_adverse_skip_rate_ppm", 0, 1),
    "MAKER_ADVERSE_PENALTY_K": ("maker_adverse_penalty_k_ppm", 0, 100),
    "MAKER_ADVERSE_BIAS": ("maker_adverse_bias_ppm", -100, 100),
}
"""The platform's variables: setting, least and largest value."""

_Function = TypeVar("_Function", bound=Callable[..., Any])
_Settings = TypeVar("_Settings", bound="ReplaySettings")

_OPTIONS: Final = (
    click.option(
        "--queue-model",
        type=click.Choice(QUEUE_MODELS),
        default=QUEUE_MODELS[0],
        show_default=True,
        metavar="MODEL",
        help="Where cancelled size stood in the queue: risk_averse (behind us), optimistic (ahead), power*, log* "
        "(both). A replay that is recorded runs the others as well, for the band",
    ),
    click.option(
        "--latency-ms",
        type=click.FloatRange(0, 3_600_000, max_open=True),
        metavar="MS",
        help="Latency to the exchange, and back from it (default: 1); the median for lognormal",
    ),
    click.option(
        "--latency-model",
        type=click.Choice(LATENCY_MODELS),
        metavar="MODEL",
        help="constant (default of a replay), lognormal (drawn by the seed; default of shadow), "
        "recorded (needs --latency-trace)",
    ),
    click.option(
        "--latency-trace",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="Recorded latencies: CSV or parquet with at_ns, entry_ns, response_ns. Kept in the store",
    ),
    click.option(
        "--partial-fills/--no-partial-fills",
        default=True,
        show_default=True,
        help="Fill what traded or stood there; without, an order that is reached fills whole",
    ),
    click.option(
        "--maker-adverse/--no-maker-adverse",
        envvar="MAKER_ADVERSE_ENABLED",
        default=False,
        show_envvar=True,
        help=f"Maker adverse selection. Tuned by {', '.join(_SCALES)}",
    ),
    click.option(
        "--self-impact/--no-self-impact",
        envvar="SELF_IMPACT_ENABLED",
        default=False,
        show_envvar=True,
        help="Show the algo the book with its own orders in it and without what it took",
    ),
)


def model_options(command: _Function) -> _Function:
    """Add the options; the command gets them as keywords for :func:`replay_settings`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def replay_settings(
    schema: type[_Settings],
    /,
    *,
    capital: int,
    queue_model: str,
    latency_ms: float | None,
    latency_model: str | None,
    latency_trace: Path | None,
    partial_fills: bool,
    maker_adverse: bool,
    self_impact: bool,
) -> tuple[_Settings, bytes | None]:
    """Return settings of a kind, and the trace of latencies as it is kept; what no option says stays the default.

    Raises:
        click.UsageError: for options that contradict one another, or a variable that is no number in its range.
        InvalidInputError: if the trace is none.

    """
    from bundles.canonical import digest_of

    model = latency_model or ("recorded" if latency_trace else None)
    if (model == "recorded") != (latency_trace is not None):
        raise click.UsageError("--latency-model recorded and --latency-trace FILE go together: give both, or neither.")
    if latency_ms is not None and model == "recorded":
        raise click.UsageError("--latency-ms has no meaning with recorded latencies: leave it out.")
    fields: dict[str, Any] = {
        "capital_1e9": capital * 10**9,
        "queue_model": queue_model,
        "partial_fills": partial_fills,
        "self_impact_enabled": self_impact,
    }
    if model is not None:
        fields["latency_model"] = model
    if latency_ms is not None:
        latency_ns = round(latency_ms * 1e6)
        fields |= {f"{action}_{way}_ns": latency_ns for action in _ACTIONS for way in ("entry", "response")}
    if maker_adverse:
        # Read only where they matter: what changes nothing must not make another evaluation.
        fields |= {"maker_adverse_enabled": True, **_scales(os.environ)}
    kept = None
    if latency_trace is not None:
        kept = _trace(latency_trace)
        fields["latency_trace"] = digest_of(kept)
    return schema(**fields), kept


def _scales(environ: Mapping[str, str]) -> dict[str, int]:
    fields = {}
    for name, (setting, least, largest) in _SCALES.items():
        text = environ.get(name, "").strip()
        if not text:
            continue
        try:
            value = Decimal(text)
        except InvalidOperation:
            value = Decimal("NaN")
        if not value.is_finite() or not least <= value <= largest:
            raise click.UsageError(f"{name}={text!r} is not a number from {least} to {largest}.")
        fields[setting] = round(value * 1_000_000)
    return fields


def _trace(path: Path) -> bytes:
    from bundles.errors import InvalidInputError
    from evals.latency_trace import format_trace, parse_trace

    try:
        content = path.read_bytes()
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be read: {error.strerror}. Name another file.") from error
    return format_trace(parse_trace(content, str(path)))
