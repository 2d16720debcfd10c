"""Several algos that send each other messages, each in a market of its own.

Conservative windows (Chandy and Misra 1979): a message takes at least the latency, so up to one latency past the
earliest thing that happens anywhere nobody can hear of anything new. Every instance advances that far alone, then what
was sent is put before its receivers in order of (time of delivery, label of the sender, order of sending). Results do
not depend on the length of the windows nor on the order in which instances are listed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from bundles.errors import InvalidInputError
from evals.engine.layout import MAIL, Records
from evals.engine.simulation import Outcome, Simulation
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
    members = {label: simulations[label] for label in sorted(simulations)}
    running = dict(members)

    def interrupt() -> None:
        for member in members.values():
            member.instance.interrupt()

    try:
        with Watch(wall_clock_limit_s, interrupt):
            for member in members.values():
                member.start()
            while running:
                until_ns = min(member.next_ns() for member in running.values()) + window_ns
                for label, member in list(running.items()):
                    if not member.advance(until_ns, progress):
                        member.finish()
                        del running[label]
                _exchange(members, latency_ns)
    except Interrupted:
        pass
    return {label: member.outcome(interrupted=label in running) for label, member in members.items()}


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


def _exchange(members: Mapping[str, Simulation], latency_ns: int) -> None:
    """Put what was sent before its receivers; members are in order of their labels."""
    sent = []
    for label, member in members.items():
        messages = member.instance.outgoing.take_messages()
        mail = np.zeros(len(messages), MAIL)
        mail["at_ns"], mail["sender"] = messages["sent_ns"] + latency_ns, mesh_id(label)
        mail["length"], mail["text"] = messages["length"], messages["text"]
        sent.append((messages["receiver"], mail))
    receivers = np.concatenate([receiver for receiver, _ in sent])
    if not len(receivers):
        return
    mail = np.concatenate([mail for _, mail in sent])
    order = np.argsort(mail["at_ns"], kind="stable")
    receivers, mail = receivers[order], mail[order]
    for label, member in members.items():
        own: Records = mail[receivers == mesh_id(label)]
        if len(own):
            member.deliver(own)
