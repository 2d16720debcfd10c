"""Decides whether WASM bytes are an algo that this product runs, and which version of the SDK they were built with."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import wasmtime

from bundles.errors import InvalidModuleError
from evals.wasm import abi
from evals.wasm.sections import Sections, read_sections

PAGE_BYTES: Final = 65_536
_TOLD_CHARACTERS: Final = 200
_FEATURES_NAMED: Final = re.compile(rb"[\x80-\xff][\xc0\xc1][\x06\x86]|[\x80-\x9f]\xe8\x00|[\x00-\xff]\xa0\x01\x00")
"""The address of a byte of OnlineFeatures (0x1A000 to 0x1A0FF): as LEB128, as the lower or the upper half of 64 bits in
LEB128 (compilers merge stores of two numbers), as a word of data or of a vector."""


@dataclass(frozen=True)
class ModuleFacts:
    """What a module is: its form (see `abi.FORM_EXPORTS`), exported and imported functions, and what it can see."""

    form: str
    exports: tuple[str, ...]
    imports: tuple[str, ...]
    names_features: bool
    """Whether the address of the online features occurs anywhere in the module's bytes."""

    @property
    def abi(self) -> str:
        """Version of the SDK interface."""
        return self.form.split(maxsplit=1)[0]

    @property
    def book_export(self) -> str:
        """Name of the export that takes book updates; a multi-venue algo of SDK 0.3 does not have it."""
        return "algo_on_book" if self.form == "0.1.0" else "algo_on_book_v3"

    @property
    def largest_action_kind(self) -> int:
        """The highest kind of action that the algo may return."""
        return abi.LARGEST_ACTION_KIND[self.form]

    @property
    def reads_fixed_regions(self) -> bool:
        """Whether the algo reads features and configuration at fixed addresses."""
        return self.form != "0.1.0"

    @property
    def reads_features(self) -> bool:
        """Whether the algo can read the online features: it is handed them, and its code names their address.

        Any byte match counts. One by chance costs time only; an algo that computes the address from other numbers finds
        version 1 and zeros.
        """
        return self.reads_fixed_regions and self.names_features


def new_engine() -> wasmtime.Engine:
    """Return an engine with the settings that make a run deterministic; one engine serves one run.

    Fuel is the limit that counts: the same number on every machine. Epochs are the net for wall-clock time only.
    Proposals that rustc does not use are off: each would bring its own limits (a second heap, say) or its own ways to
    make the compiler slow (blocks with hundreds of parameters).
    """
    config = wasmtime.Config()
    config.consume_fuel = True
    config.epoch_interruption = True
    config.cranelift_nan_canonicalization = True
    config.cranelift_opt_level = "speed"
    config.wasm_threads = False
    config.wasm_relaxed_simd = False
    config.wasm_multi_memory = False
    config.wasm_memory64 = False
    config.wasm_multi_value = False
    config.wasm_function_references = False
    config.wasm_gc = False
    config.wasm_exceptions = False
    config.wasm_tail_call = False
    config.wasm_stack_switching = False
    config.wasm_wide_arithmetic = False
    config.wasm_custom_page_sizes = False
    config.wasm_component_model = False
    config.max_wasm_stack = 512 * 1024
    config.memory_reservation = 1 << 32
    config.memory_may_move = False
    return wasmtime.Engine(config)


def inspect_module(wasm: bytes) -> ModuleFacts:
    """Return what the module is.

    Raises:
        InvalidModuleError: naming the missing export, the foreign import or the feature that the host refuses.

    """
    return load_module(new_engine(), wasm)[1]


def load_module(engine: wasmtime.Engine, wasm: bytes) -> tuple[wasmtime.Module, ModuleFacts]:
    """Compile and check a module; see :func:`inspect_module`."""
    sections = read_sections(wasm)
    _refuse_memory_features(sections)
    try:
        module = wasmtime.Module(engine, wasm)
    except wasmtime.WasmtimeError as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise InvalidModuleError(
            f"The module does not validate: {_told(reason)}. Only what rustc uses by default, and SIMD, is on: no "
            "threads, no relaxed SIMD, no 64-bit or several memories, no multiple results, exceptions, tail calls or "
            "garbage collection. Build for wasm32-unknown-unknown with default features."
        ) from error
    imports = _check_imports(module)
    exports = {e.name: _signature(e.type) for e in module.exports if isinstance(e.type, wasmtime.FuncType)}
    form = _tell_form(exports)
    _check_exports(form, exports)
    if not any(e.name == "memory" and isinstance(e.type, wasmtime.MemoryType) for e in module.exports):
        raise InvalidModuleError(
            "The module does not export its memory as 'memory'. Build it as a cdylib; rustc exports it then."
        )
    facts = ModuleFacts(
        form=form,
        exports=tuple(sorted(exports)),
        imports=imports,
        names_features=_FEATURES_NAMED.search(wasm) is not None,
    )
    if facts.reads_fixed_regions:
        _check_room_for_fixed_regions(sections)
    return module, facts


def _refuse_memory_features(sections: Sections) -> None:
    if sections.memory_imports:
        raise InvalidModuleError(
            "The module imports its memory. Build it without --import-memory: the host reads the module's own."
        )
    if sections.shared:
        raise InvalidModuleError("The module's memory is shared (threads). Build without the atomics target feature.")
    if sections.memory64:
        raise InvalidModuleError(
            "The module uses memory64. Build for wasm32-unknown-unknown; the SDK's pointers are 32 bits wide."
        )
    if sections.memory_count > 1:
        raise InvalidModuleError(f"The module has {sections.memory_count} memories; an algo has one.")
    if sections.has_start:
        raise InvalidModuleError(
            "The module has a start function, which would run before any limit is set. "
            "Remove it; initialise on the first callback."
        )


def _check_imports(module: wasmtime.Module) -> tuple[str, ...]:
    names = []
    for found in module.imports:
        name = _told(f"{found.module}.{found.name}")
        expected = abi.IMPORTS.get((found.module, found.name or ""))
        if expected is None or not isinstance(found.type, wasmtime.FuncType):
            allowed = ", ".join(f"{m}.{n}" for m, n in abi.IMPORTS)
            raise InvalidModuleError(
                f"The module imports {name}, which the host does not offer (it offers {allowed}). "
                "Remove what needs it: an algo has no clock, no files, no network and no randomness."
            )
        if _signature(found.type) != expected:
            raise InvalidModuleError(
                f"The import {name} has the type {_show(_signature(found.type))}; the SDK's is {_show(expected)}. "
                "Declare it as the SDK does, or use the SDK's function."
            )
        names.append(name)
    return tuple(sorted(names))


def _tell_form(exports: dict[str, abi.Signature]) -> str:
    if "algo_on_message" in exports:
        return "0.4.0"
    if "algo_on_book_v3" in exports:
        return "0.3.2"
    if "algo_on_nbbo" in exports:
        return abi.MULTI_VENUE
    if "algo_on_book" in exports:
        return "0.1.0"
    raise InvalidModuleError(
        "The module exports neither algo_on_book (SDK 0.1), algo_on_book_v3 (SDK 0.3 and 0.4) nor algo_on_nbbo (SDK "
        "0.3, several venues). Call export_algo! in the crate and build it as a cdylib."
    )


def _check_exports(form: str, exports: dict[str, abi.Signature]) -> None:
    macro = "export_multi_venue_algo!" if form == abi.MULTI_VENUE else "export_algo!"
    for name, expected in {**abi.FORM_EXPORTS[form], **abi.COMMON_EXPORTS}.items():
        if name not in exports:
            raise InvalidModuleError(
                f"The module does not export {name}, which SDK {form} always does. "
                f"Build it with {macro} of that version."
            )
        if exports[name] != expected:
            raise InvalidModuleError(
                f"The export {name} has the type {_show(exports[name])}; SDK {form} has {_show(expected)}. "
                f"Build it with {macro} of that version."
            )


def _check_room_for_fixed_regions(sections: Sections) -> None:
    needed = abi.FIXED_REGIONS_END
    pages = sections.memories[0][1] if sections.memories else 0
    if pages * PAGE_BYTES < needed:
        raise InvalidModuleError(
            f"The module starts with {pages} pages of memory, but the host writes features and configuration "
            f"below {needed:#x}. "
            f"Give it at least {-(-needed // PAGE_BYTES)} pages; rustc's default stack of 1 MiB does."
        )
    if sections.stack_pointer is not None and sections.stack_pointer < needed:
        raise InvalidModuleError(
            f"The module's stack starts at {sections.stack_pointer:#x}, inside the regions that the host writes "
            f"(below {needed:#x}). "
            "Link it with rustc's default stack size (1 MiB)."
        )
    if sections.data_elsewhere:
        raise InvalidModuleError(
            "The module places static data at a computed address, so nobody can tell whether it lies in the regions "
            f"that the host writes (below {needed:#x}). Link it statically, as rustc does by default."
        )
    for first, last in sections.data:
        if first < needed and last > abi.FIXED_REGIONS_FROM:
            raise InvalidModuleError(
                f"Static data at {first:#x} to {last:#x} lies in the regions that the host writes "
                f"({abi.FIXED_REGIONS_FROM:#x} to {needed:#x}). Link with --stack-first, as rustc does by default."
            )


def _signature(kind: wasmtime.FuncType) -> abi.Signature:
    return tuple(str(t) for t in kind.params), tuple(str(t) for t in kind.results)


def _show(signature: abi.Signature) -> str:
    return f"({', '.join(signature[0])}) -> ({', '.join(signature[1])})"


def _told(text: str) -> str:
    """Return text that comes from the module as an error may show it: short, without control characters."""
    shown = "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
    return shown if len(shown) <= _TOLD_CHARACTERS else f"{shown[:_TOLD_CHARACTERS]}... ({len(text):,} characters)"
