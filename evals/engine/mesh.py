"""Several algos that send each other messages, each in a market of its own.

Conservative windows (Chandy and Misra 1979): a message takes at least the latency, so up to one latency past the
earliest thing that happens anywhere nobody can hear of anything new. Every instance advances that far alone, then what
was sent is put before its receivers in order of (time of delivery, label of the sender, order of sending). Results do
not depend on the length of the windows nor on the order in which instances are listed.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import numba
import numpy as np

from bundles.errors import InvalidInputError
from evals.engine import windows
from evals.engine.layout import MAIL
from evals.engine.simulation import STEPS_PER_SLICE, Outcome, Simulation
from evals.wasm import abi
from evals.wasm.host import MeshPlace
from evals.wasm.watch import Interrupted, Watch

_LARGEST_ID: Final = 2**63 - 1


def run_mesh(
    simulations: Mapping[str, Simulation],
    latency_ns: int,
    *,
    wall_clock_limit_s: float,
    window_ns: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Outcome]:
    """Run simulations by label to their ends; ``window_ns`` is the latency unless it shall be shorter.

    Raises:
        InvalidInputError: if the latency is not positive, or a window longer.
        KeyboardInterrupt: at Ctrl-C.

    """
    window_ns = latency_ns if window_ns is None else window_ns
    if not 0 < window_ns <= latency_ns:
        raise InvalidInputError(f"Messages take {latency_ns} ns: that, and the window of {window_ns} ns, must be > 0.")
    mesh = _Mesh({label: simulations[label] for label in sorted(simulations)}, latency_ns, window_ns)
    started = time.perf_counter()
    try:
        with Watch(wall_clock_limit_s, mesh.interrupt):
            mesh.run(progress)
    except Interrupted:
        pass
    run_s = time.perf_counter() - started
    return {label: each.outcome(run_s, interrupted=mesh.runs(label)) for label, each in simulations.items()}


class _Mesh:
    """Members in order of their labels, and the tables through which a kernel advances them."""

    def __init__(self, members: Mapping[str, Simulation], latency_ns: int, window_ns: int) -> None:
        self._members = list(members.values())
        self._labels = list(members)
        self._ids = np.array([mesh_id(label) for label in members], np.int64)
        self._latency_ns = latency_ns
        self._table = np.zeros(len(members), windows.MEMBER)
        for row, member in zip(self._table, self._members, strict=True):
            row["sim"], row["running"] = member.memory.address, 1
        self._windows = np.zeros(1, windows.WINDOWS)
        state = self._windows[0]
        state["members"], state["count"] = self._table.ctypes.data, len(members)
        state["length_ns"] = window_ns
        kernel: Any = windows.advance_all
        kernel.compile((numba.typeof(state), numba.int64))  # type: ignore[no-untyped-call]

    def interrupt(self) -> None:
        """End all members; may be called from another thread."""
        for member in self._members:
            member.instance.interrupt()

    def runs(self, label: str) -> bool:
        """Whether a member has not come to its end."""
        return bool(self._table["running"][self._labels.index(label)])

    def run(self, progress: Callable[[int], None] | None) -> None:
        """Run all to their ends."""
        state = self._windows[0]
        for member in self._members:
            member.start()
        while self._table["running"].any():
            windows.advance_all(state, STEPS_PER_SLICE)
            who = int(state["who"])
            if who >= 0 and not self._members[who].attend(int(state["why"])):
                self._members[who].finish()
                self._table["running"][who] = 0
            if who == windows.POST or not self._table["running"].any():
                self._exchange()
            if progress is not None and who != windows.POST:
                progress(sum(member.rows for member in self._members))

    def _exchange(self) -> None:
        """Put what was sent before its receivers, in order of delivery, sender and sending."""
        receivers, mail = [], []
        for member, sender in zip(self._members, self._ids, strict=True):
            messages = member.instance.outgoing.take_messages()
            rows = np.zeros(len(messages), MAIL)
            rows["at_ns"], rows["sender"] = messages["sent_ns"] + self._latency_ns, sender
            rows["length"], rows["text"] = messages["length"], messages["text"]
            receivers.append(messages["receiver"])
            mail.append(rows)
        to, sent = np.concatenate(receivers), np.concatenate(mail)
        order = np.argsort(sent["at_ns"], kind="stable")
        to, sent = to[order], sent[order]
        for member, own in zip(self._members, self._ids, strict=True):
            if (to == own).any():
                member.deliver(sent[to == own])


def places_of(labels: list[str], latency_ns: int) -> dict[str, MeshPlace]:
    """Return what each instance is told about itself and its peers; ids follow from labels alone.

    Raises:
        InvalidInputError: for labels that are equal, empty or too long for the SDK, or too many of them.

    """
    for label in labels:
        size = len(label.encode())
        if not 0 < size <= abi.MAX_LABEL_BYTES or "\0" in label or labels.count(label) > 1:
            raise InvalidInputError(
                f"The label {label!r} of an instance must be its own, and 1 to {abi.MAX_LABEL_BYTES} bytes long."
            )
    if len(labels) > abi.MAX_MESH_PEERS + 1:
        raise InvalidInputError(
            f"{len(labels)} instances are too many: an algo knows {abi.MAX_MESH_PEERS} peers at most."
        )
    ids = {label: mesh_id(label) for label in sorted(labels)}
    return {
        label: MeshPlace(label, ids[label], tuple(each for each in ids.items() if each[0] != label), latency_ns)
        for label in labels
    }


def mesh_id(label: str) -> int:
    """Return an instance's id: 63 bits of its label's SHA-256, never 0, which means "no mesh"."""
    return int.from_bytes(hashlib.sha256(label.encode()).digest()[:8], "little") % _LARGEST_ID + 1
