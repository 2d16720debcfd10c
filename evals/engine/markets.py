"""What a run trades: assets in their canonical order, symbols as the platform numbers them, and each asset's rules."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, get_args

import numpy as np

from bundles.errors import InvalidInputError
from evals.engine.impact import MIRROR_WORDS
from evals.engine.latency import CONSTANT, LOGNORMAL, RECORDED
from evals.engine.quantiles import lognormal
from evals.engine.settings import QueueModel, ReplaySettings
from evals.market.schema import Instrument
from evals.market.source import TapeSource
from evals.wasm import abi

if TYPE_CHECKING:
    from evals.engine.layout import Int64s
    from evals.engine.memory import RunMemory

_QUEUE_MODELS: Final = {name: number for number, name in enumerate(get_args(QueueModel))}
_LATENCY_MODELS: Final = {"constant": CONSTANT, "recorded": RECORDED, "lognormal": LOGNORMAL}
_INSTRUMENT_RULES: Final = (
    "tick_size_1e9",
    "lot_size_1e8",
    "min_qty_1e8",
    "min_notional_1e9",
    "contract_size_1e8",
    "maker_fee_ppm",
    "taker_fee_ppm",
)


@dataclass(frozen=True)
class Place:
    """An asset: its tape, the index of its symbol, its venue's id, and whether it is where the symbol is at home."""

    source: TapeSource
    symbol: int
    venue_id: int
    home: bool

    @property
    def instrument(self) -> Instrument:
        """The asset's trading rules."""
        return self.source.info.instrument


@dataclass(frozen=True)
class TradedSymbol:
    """A symbol: its number as the algo sees it, and where its assets stand."""

    name: str
    symbol_id: int
    first_asset: int
    assets: int
    home: int


@dataclass(frozen=True)
class Market:
    """All assets of a run sorted by (symbol, venue), its symbols by name, and which symbol was listed first."""

    assets: tuple[Place, ...]
    symbols: tuple[TradedSymbol, ...]
    primary: int


def market_of(sources: Sequence[TapeSource]) -> Market:
    """Arrange tapes: the order given numbers the symbols and tells each symbol's home venue, nothing else.

    Raises:
        InvalidInputError: for the same asset twice, venues that the platform does not tell apart, or a symbol whose
            venues trade different contracts.

    """
    listed = list(dict.fromkeys(source.info.instrument.symbol for source in sources))
    names = sorted(listed)
    ordered = sorted(sources, key=lambda s: (s.info.instrument.symbol, s.info.instrument.venue))
    homes = {name: next(s for s in sources if s.info.instrument.symbol == name) for name in names}
    assets = tuple(
        Place(s, names.index(s.info.instrument.symbol), venue_id(s.info.instrument.venue), s is homes[_symbol(s)])
        for s in ordered
    )
    symbols = []
    for index, name in enumerate(names):
        of_symbol = [i for i, asset in enumerate(assets) if asset.symbol == index]
        _check_symbol(name, [assets[i] for i in of_symbol])
        home = next(i for i in of_symbol if assets[i].home)
        number = listed.index(name) + 1 if len(listed) > 1 else 0
        symbols.append(TradedSymbol(name, number, of_symbol[0], len(of_symbol), home))
    return Market(assets, tuple(symbols), names.index(listed[0]))


def _symbol(source: TapeSource) -> str:
    return source.info.instrument.symbol


def venue_id(venue: str) -> int:
    """Return the platform's id of a venue: by its name, or by the name before a dash; ``unknown`` for others."""
    known = abi.VENUE_IDS
    return known.get(venue) or known.get(venue.split("-", maxsplit=1)[0]) or known["unknown"]


def _check_symbol(name: str, places: Sequence[Place]) -> None:
    venues = [place.instrument.venue for place in places]
    if len({place.venue_id for place in places}) < len(places):
        raise InvalidInputError(
            f"{name} is listed on {', '.join(venues)}, which the algo cannot tell apart: the platform's venue ids are "
            "equal. Replay them one at a time, or under different symbols."
        )
    if len(places) > abi.MAX_VENUES:
        raise InvalidInputError(f"{name} is listed on {len(places)} venues; an algo sees {abi.MAX_VENUES} at most.")
    kinds = {(place.instrument.contract, place.instrument.contract_size_1e8) for place in places}
    if len(kinds) > 1:
        raise InvalidInputError(
            f"{name} is not the same contract on {', '.join(venues)}, so positions do not add up. Give the contracts "
            "different symbols."
        )


def write_rules(
    memory: RunMemory, index: int, place: Place, settings: ReplaySettings, seed: int, trace: Int64s | None
) -> None:
    """Write an asset's rules and what its latencies are drawn from.

    ``trace``: rows of (time, entry, response) in ns, in order of time, for recorded latencies.
    """
    asset: Any = memory.assets[index]
    rules = asset["rules"]
    instrument = place.instrument
    for name in _INSTRUMENT_RULES:
        rules[name] = getattr(instrument, name)
    rules["inverse"] = instrument.contract == "inverse"
    rules["queue_model"] = _QUEUE_MODELS[settings.queue_model]
    rules["latency_model"] = _LATENCY_MODELS[settings.latency_model]
    for name in ("queue_exponent", "partial_fills", "off_market_bps", "burst_ppm", "burst_ns", "burst_factor"):
        rules[name] = getattr(settings, name)
    rules["entry_ns"][:3] = settings.place_entry_ns, settings.cancel_entry_ns, settings.amend_entry_ns
    rules["response_ns"][:3] = settings.place_response_ns, settings.cancel_response_ns, settings.amend_response_ns
    rules["adverse"] = settings.maker_adverse_enabled
    rules["adverse_skip_ppm"] = settings.maker_adverse_skip_rate_ppm
    rules["adverse_penalty_ppm"] = settings.maker_adverse_penalty_k_ppm
    rules["adverse_bias_ppm"] = settings.maker_adverse_bias_ppm
    asset["seed"] = seed_of(seed, instrument)
    if settings.self_impact_enabled:
        memory.keep(asset, "mirror", index, np.zeros(MIRROR_WORDS, np.int64))
    if settings.latency_model == "lognormal":
        memory.keep(asset, "quantiles", index, lognormal(settings.latency_sigma_ppm))
    if settings.latency_model == "recorded":
        if trace is None or not len(trace):
            raise InvalidInputError("The latency model is 'recorded', but no trace of latencies was given. Name one.")
        table = np.ascontiguousarray(trace, np.int64)
        memory.keep(asset, "recorded", index, table)
        asset["recorded_rows"] = len(table)


def seed_of(seed: int, instrument: Instrument) -> int:
    """Return an asset's own seed, from the run's and its name: what other assets a run has does not matter."""
    digest = hashlib.sha256(f"{seed} {instrument.symbol} {instrument.venue}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1
