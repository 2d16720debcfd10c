"""OnlineFeatures: what the SDK's data engine tells an algo about a market beyond its book.

They follow from the packets that the algo has seen, in integers, and are those of the symbol's home venue. Order flow
imbalance: Cont, Kukanov and Stoikov, "The price impact of order book events" (2014); several levels: Xu, Gould and
Howison (2018). Microprice: the mid weighted by the opposite sizes (Stoikov, "The micro-price", 2018, starts from it).
Definitions, windows and what stays neutral: `docs/features.md`.
"""

from __future__ import annotations

import numpy as np

from evals.engine.arithmetic import muldiv
from evals.engine.feed import UNKNOWN, show_change
from evals.engine.kernel import kernel
from evals.engine.layout import CLEARED, FEATURES, INSERTED, NEVER, REMOVED, Record, Records
from evals.engine.second_samples import sample_seconds, see_spread, show_spread
from evals.engine.tables import change_at, features_at, get_word, move_bytes, row_at
from evals.engine.trade_flow import REMOVED as REMOVED_SIZE
from evals.engine.trade_flow import bounded, roll_flow, show_flow, take_trade
from evals.wasm.abi import BOOK_LEVELS, ONLINE_FEATURES, ONLINE_FEATURES_AT

OFI_LEVELS = 10
STRETCH_NS = 100_000_000
STRETCHES = 10
"""Order flow imbalance is of the last ten stretches of 100 ms, with the one that is not over yet."""

EWMA_WEIGHT = 32
IMBALANCE_LEVELS = 5
_ONE_LEVEL, _FIVE_LEVELS, _TEN_LEVELS = range(3)

_BOOK_AT: int = FEATURES.fields["book"][1]  # type: ignore[index]
_BEFORE_AT: int = FEATURES.fields["before"][1]  # type: ignore[index]
_SIDE_BYTES = BOOK_LEVELS * 16
_TOP_BYTES = OFI_LEVELS * 16
_SHOWN_BYTES: int = ONLINE_FEATURES.fields["reserved"][1]  # type: ignore[index]
_LARGEST_SIZE = 1 << 56


def no_features() -> Records:
    """Return the record of an asset that has seen no packet."""
    features = np.zeros(1, FEATURES)
    features["shown"]["version"] = 1
    return features


@kernel
def collect_trades(asset: Record) -> None:
    """Take note of the trades of the packet that comes next, as far as its rows have been handed over."""
    heard = asset.heard
    while heard.at < heard.end:
        trade = row_at(heard.rows, heard.at)
        if asset.packet_ns != UNKNOWN and trade.row > asset.packet_row:
            break
        take_trade(features_at(asset.features, 0), trade.kind, trade.sz_1e8)
        heard.at += 1


@kernel
def show_features(sim: Record, asset: Record) -> None:
    """Copy an asset's features to where the algo reads them; several assets share the place."""
    move_bytes(sim.words + ONLINE_FEATURES_AT, asset.features, _SHOWN_BYTES)


@kernel
def watch_packet(sim: Record, asset: Record) -> None:
    """Bring an asset's features up to date with the packet that the algo is about to see."""
    features, now_ns = features_at(asset.features, 0), sim.run.now_ns
    sample_seconds(features, now_ns)
    before = asset.features + _BEFORE_AT
    for side in range(2):
        move_bytes(before + side * _TOP_BYTES, asset.features + _BOOK_AT + side * _SIDE_BYTES, _TOP_BYTES)
    changed = _follow_book(asset, features)
    roll_flow(features, now_ns)
    _roll_stretches(features, now_ns // STRETCH_NS)
    if changed:
        see_spread(features)
        _show_weights(asset.features + _BOOK_AT, features)
    _add_imbalance(asset, features, changed)
    show_flow(features)
    show_spread(features)
    features.shown.feature_ts_ns = now_ns
    show_features(sim, asset)


@kernel
def _follow_book(asset: Record, features: Record) -> bool:
    """Apply the packet's changes to the host's copy of the algo's book, and count what they take away."""
    book, mask, number = asset.features + _BOOK_AT, asset.changes_room - 1, asset.changes_head
    while number < asset.changes_tail:
        change = change_at(asset.changes, number & mask)
        if change.row > asset.packet_row:
            break
        kind, side = change.change, change.side
        if kind == CLEARED:
            for each in range(2):
                features.levels[each] = 0
                features.best_px_1e9[each] = 0
        else:
            if kind != INSERTED:
                had = get_word(book + side * _SIDE_BYTES, 2 * change.depth + 1)
                left = 0 if kind == REMOVED else change.sz_1e8
                features.coming[REMOVED_SIZE] = bounded(features.coming[REMOVED_SIZE] + max(_size(had) - left, 0))
            features.levels[side] = change.levels
            features.best_px_1e9[side] = change.best_px_1e9
        show_change(book, change)
        number += 1
    return number != asset.changes_head


@kernel
def _size(sz_1e8: int) -> int:
    return min(sz_1e8, _LARGEST_SIZE)


@kernel
def _show_weights(book: int, features: Record) -> None:
    """Show where the sizes pull: microprice of the best level, imbalance of five."""
    shown, levels = features.shown, features.levels
    microprice, bids, asks = 0, 0, 0
    if levels[0] > 0 and levels[1] > 0:
        bid, ask = features.best_px_1e9[0], features.best_px_1e9[1]
        bid_sz, ask_sz = _size(get_word(book, 1)), _size(get_word(book + _SIDE_BYTES, 1))
        pull = muldiv(abs(ask - bid), bid_sz, max(bid_sz + ask_sz, 1))
        microprice = bid + pull if ask > bid else bid - pull
    for d in range(IMBALANCE_LEVELS):
        bids += _size(get_word(book, 2 * d + 1))
        asks += _size(get_word(book + _SIDE_BYTES, 2 * d + 1))
    share = muldiv(abs(bids - asks), 10_000, bids + asks) if bids + asks > 0 else 0
    shown.microprice_1e9 = microprice
    shown.depth_imbalance_1e4 = share if bids > asks else -share


@kernel
def _roll_stretches(features: Record, stretch: int) -> None:
    for gone in range(max(features.ofi_stretch, stretch - STRETCHES) + 1, stretch + 1):
        for levels in range(3):
            features.ofi[levels, gone % STRETCHES] = 0
    features.ofi_stretch = stretch


@kernel
def _add_imbalance(asset: Record, features: Record, changed: bool) -> None:
    """Add what the packet did to bids and asks; where a side was or is empty there is no imbalance."""
    before, after = asset.features + _BEFORE_AT, asset.features + _BOOK_AT
    at = features.ofi_stretch % STRETCHES
    flow, first = 0, 0
    had_both = get_word(before, 0) > 0 and get_word(before + _TOP_BYTES, 0) > 0
    if changed and had_both and features.levels[0] > 0 and features.levels[1] > 0:
        for d in range(OFI_LEVELS):
            flow += _level_flow(before, after, d, 1)
            flow -= _level_flow(before + _TOP_BYTES, after + _SIDE_BYTES, d, -1)
            if d == 0:
                first = flow
                features.ofi[_ONE_LEVEL, at] = bounded(features.ofi[_ONE_LEVEL, at] + flow)
            elif d == IMBALANCE_LEVELS - 1:
                features.ofi[_FIVE_LEVELS, at] = bounded(features.ofi[_FIVE_LEVELS, at] + flow)
        features.ofi[_TEN_LEVELS, at] = bounded(features.ofi[_TEN_LEVELS, at] + flow)
    ewma = features.ofi_ewma_x32
    features.ofi_ewma_x32 = bounded(ewma - _over(ewma, EWMA_WEIGHT) + first)
    shown = features.shown
    shown.ofi_1level_1e8 = _of_window(features, _ONE_LEVEL)
    shown.ofi_5level_1e8 = _of_window(features, _FIVE_LEVELS)
    shown.mlofi_10_1e8 = _of_window(features, _TEN_LEVELS)
    shown.ofi_ewma_1e6 = _over(features.ofi_ewma_x32, EWMA_WEIGHT * 100)


@kernel
def _level_flow(before: int, after: int, d: int, sign: int) -> int:
    """Return what came to the d-th best level of a side less what left it: all of it when the price is another."""
    px, px_before = get_word(after, 2 * d), get_word(before, 2 * d)
    key = px * sign if px > 0 else -NEVER
    key_before = px_before * sign if px_before > 0 else -NEVER
    flow = _size(get_word(after, 2 * d + 1)) if key >= key_before else 0
    if key <= key_before:
        flow -= _size(get_word(before, 2 * d + 1))
    return flow


@kernel
def _of_window(features: Record, levels: int) -> int:
    total = 0
    for at in range(STRETCHES):
        total = bounded(total + features.ofi[levels, at])
    return total


@kernel
def _over(value: int, divisor: int) -> int:
    """Divide, rounding towards zero: what is true of bids is true of asks with the sign turned."""
    return value // divisor if value >= 0 else -(-value // divisor)
