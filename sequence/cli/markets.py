"""Parameter types that name recorded markets: a symbol of a venue, a UTC day."""

from __future__ import annotations

from typing import Final

import click


class VenueAndSymbol(click.ParamType[tuple[str, str]]):
    """A symbol of a venue, such as ``kraken/BTC-USD``; its value is the pair."""

    name = "VENUE/SYMBOL"

    def convert(
        self, value: str | tuple[str, str], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Split at the slash; a symbol may hold further ones."""
        if isinstance(value, tuple):
            return value
        venue, slash, symbol = value.partition("/")
        if not (slash and venue and symbol):
            self.fail(f"{value}: write the venue, a slash and the symbol, such as kraken/BTC-USD.", param, ctx)
        return venue, symbol


VENUE_AND_SYMBOL: Final = VenueAndSymbol()
DAY: Final = click.DateTime(formats=["%Y-%m-%d"])
