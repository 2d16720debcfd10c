"""Writes what the algo sees into its memory, in place: state, fills, rejects (see `evals.wasm.abi`)."""

from __future__ import annotations

from evals.engine.accounting import average_entry, unrealized
from evals.engine.kernel import kernel
from evals.engine.layout import Record
from evals.engine.tables import asset_at, get_word, set_word, slot_at
from evals.wasm import native

_ORDERS_WORD, _ORDER_WORDS = 4, 5
_ORDER_COUNT_WORD = 164
_UNREALIZED_WORD = 3


@kernel
def write_state(sim: Record, symbol: Record) -> None:
    """Bring the algo's AlgoState of a symbol up to date, marked to the mid that it sees."""
    account, rules, at = symbol.known, asset_at(sim, symbol.home).rules, symbol.state_word
    symbol.marked_mid_1e9 = symbol.local_mid_1e9
    symbol.unrealized_1e9 = unrealized(account, rules, symbol.local_mid_1e9)
    set_word(sim.words, at + _UNREALIZED_WORD, symbol.unrealized_1e9)
    if symbol.state_dirty != 0:
        symbol.state_dirty = 0
        _write_account(sim, symbol)


@kernel
def _write_account(sim: Record, symbol: Record) -> None:
    account, at = symbol.known, symbol.state_word
    set_word(sim.words, at, account.position_1e8)
    set_word(sim.words, at + 1, average_entry(account, asset_at(sim, symbol.home).rules))
    set_word(sim.words, at + 2, account.realized_1e9)
    order = at + _ORDERS_WORD
    for i in range(symbol.open_orders):
        slot = slot_at(symbol, symbol.open_slots[i])
        set_word(sim.words, order, slot.order_id)
        set_word(sim.words, order + 1, slot.px_1e9)
        set_word(sim.words, order + 2, slot.qty_1e8 if slot.side == 0 else -slot.qty_1e8)
        set_word(sim.words, order + 3, slot.filled_1e8)
        set_word(sim.words, order + 4, (1 if slot.side == 0 else 0xFF) | (slot.status << 8))
        order += _ORDER_WORDS
    set_word(sim.words, at + _ORDER_COUNT_WORD, symbol.open_orders)
    set_word(sim.words, at + _ORDER_COUNT_WORD + 1, account.session_1e9)
    set_word(sim.words, at + _ORDER_COUNT_WORD + 2, account.fills)


@kernel
def write_fill(
    sim: Record, symbol: Record, order_id: int, px_1e9: int, qty_1e8: int, side: int, receive_ns: int
) -> None:
    """Write a Fill; the quantity is a magnitude, the side says which way."""
    at = get_word(sim.host, native.EVENT_WORD)
    set_word(sim.words, at, order_id)
    set_word(sim.words, at + 1, px_1e9)
    set_word(sim.words, at + 2, qty_1e8)
    set_word(sim.words, at + 3, receive_ns)
    set_word(sim.words, at + 4, (side & 0xFF) | (symbol.symbol_id << 8))


@kernel
def write_reject(sim: Record, symbol: Record, order_id: int, code: int) -> None:
    """Write a Reject."""
    at = get_word(sim.host, native.EVENT_WORD)
    set_word(sim.words, at, order_id)
    set_word(sim.words, at + 1, code | (symbol.symbol_id << 8))
