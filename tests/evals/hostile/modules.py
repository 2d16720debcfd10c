"""Modules with the exports of SDK 0.1.0, 0.3.2 and 0.4.0 around whatever an attacker writes into their callbacks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import wasmtime

from evals.market.schema import ASK, BID
from tests.evals.conftest import Action, pack_actions

EMPTY = "i32.const 0x26000"
"""Answer of a callback that does nothing: at this address lies an empty list of actions."""
LIST = 0x26200
"""Where :func:`listing` puts its list of actions."""
FOREVER = "(loop br 0) unreachable"
LOG = '(import "env" "host_log_impl" (func $log (param i32 i32 i32)))'
SEND = '(import "env" "__seq_send" (func $send (param i64 i32 i32)))'
END_OF_MEMORY = 8 * 65_536
MEMORY = '(memory (export "memory") 8)'

PX, SZ = 10**9, 10**8
BUY = (1, 101 * PX, SZ, 1, 0, 0)
"""Buys what is offered in ROWS: a fill follows."""
NONSENSE = (1, 101 * PX, 0, 1, 0, 0)
"""Has no quantity: a reject follows at once."""

ROWS = [
    (0, 0, BID, 99, 1, False),
    (0, 0, ASK, 101, 1),
    (10, 10, BID, 98, 1),
    (2 * 10**9, 2 * 10**9, BID, 97, 1),
]
"""Packets end at events 1, 2 and 3; the only heartbeat comes between the last two."""


def text(
    sdk: str = "0.4.0",
    *,
    on_book: str = EMPTY,
    on_fill: str = "",
    on_reject: str = "",
    on_heartbeat: str = EMPTY,
    on_shutdown: str = EMPTY,
    on_nbbo: str = EMPTY,
    on_message: str = EMPTY,
    alloc: str = "(global.get $next) (global.set $next (i32.add (global.get $next) (i32.const 0x1000)))",
    memory: str = MEMORY,
    head: str = "",
    tail: str = "",
) -> str:
    """Return the text of a module; ``head`` comes first (imports), ``tail`` last (data)."""
    book = {
        "0.1.0": ["algo_on_book"],
        "0.3.2": ["algo_on_book_v3", "algo_on_book", "algo_on_heartbeat"],
        "0.4.0": ["algo_on_book_v3", "algo_on_heartbeat", "algo_on_nbbo", "algo_on_message"],
    }[sdk]
    callbacks = {
        "algo_on_book_v3": ("(param i32 i32) (result i32) (local $n i32)", on_book),
        "algo_on_book": ("(param i32 i32) (result i32) (local $n i32)", on_book),
        "algo_on_heartbeat": ("(param i32) (result i32)", on_heartbeat),
        "algo_on_nbbo": ("(param i32 i32 i32) (result i32)", on_nbbo),
        "algo_on_message": ("(param i64 i32 i32 i32) (result i32)", on_message),
        "algo_on_fill": ("(param i32 i32)", on_fill),
        "algo_on_reject": ("(param i32)", on_reject),
        "algo_on_shutdown": ("(param i32) (result i32)", on_shutdown),
        "algo_alloc": ("(param i32) (result i32)", alloc),
    }
    names = [*book, "algo_on_fill", "algo_on_reject", "algo_on_shutdown", "algo_alloc"]
    functions = "\n".join(f'(func (export "{name}") {callbacks[name][0]} {callbacks[name][1]})' for name in names)
    return f"""(module {head}
      {memory}
      (global $next (mut i32) (i32.const 0x60000))
      (global $calls (mut i32) (i32.const 0))
      (func $once (param i32) (result i32)
        (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (select (local.get 0) (i32.const 0x26000) (i32.eq (global.get $calls) (i32.const 1))))
      {functions}
      {tail})"""


def algo(sdk: str = "0.4.0", **parts: str) -> bytes:
    """Compile :func:`text`."""
    return bytes(wasmtime.wat2wasm(text(sdk, **parts)))


def hexed(content: Iterable[int]) -> str:
    return "".join(f"\\{byte:02x}" for byte in content)


def data(at: int, content: bytes) -> str:
    return f'(data (i32.const {at}) "{hexed(content)}")'


def listing(actions: Sequence[Action], *, count: int | None = None, at: int = LIST) -> str:
    """Return the data segment of a list of actions; ``count`` lies about how many there are."""
    content = pack_actions(actions[:16])
    return data(at, content if count is None else count.to_bytes(8, "little") + content[8:])


def trading(action: Action, sdk: str = "0.4.0", *, tail: str = "", **parts: str) -> bytes:
    """Compile a module that sends one action at the first book and nothing after."""
    return algo(sdk, on_book=f"(call $once (i32.const {LIST}))", tail=listing([action]) + tail, **parts)


def leb(number: int) -> bytes:
    """Encode an unsigned LEB128 number."""
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def custom(content: bytes) -> bytes:
    """Return a custom section."""
    return b"\0" + leb(len(content)) + content


def sections(wasm: bytes) -> list[tuple[int, int, int]]:
    """Return identifier, first byte and end of each section."""
    found, at = [], 8
    while at < len(wasm):
        size, shift, after = 0, 0, at + 1
        while True:
            byte = wasm[after]
            size |= (byte & 0x7F) << shift
            after, shift = after + 1, shift + 7
            if byte < 0x80:
                break
        found.append((wasm[at], at, after + size))
        at = after + size
    return found
