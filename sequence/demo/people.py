"""The demo's people: their keys, the roster that names them, and the one who approves."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sequence.demo.telling import progress

if TYPE_CHECKING:
    from bundles.catalog import Catalog

AUTHOR: Final = "quant@demo.example"
APPROVER: Final = "risk@demo.example"
GOVERNOR: Final = "governance@demo.example"
RUNNER: Final = "runner@demo.example"


def govern(out: Path, catalog: Catalog) -> Path:
    """Make everybody's keys and put the roster into force; return the approver's key.

    The roster names somebody who governs: from then on it changes only by that person's signature. It names a runner,
    too: from then on only evaluations that a listed runner signed count.
    """
    from bundles.governance import set_roster
    from bundles.roster import Roster
    from bundles.signatures import make_key

    roles = {APPROVER: "risk", GOVERNOR: "governance", RUNNER: "runner"}
    keys = {name: out / f"{role}_key" for name, role in roles.items()}
    for name, key in keys.items():
        make_key(key, name)
    signers = "".join(f"{name} {key.with_suffix('.pub').read_text(encoding='utf-8')}" for name, key in keys.items())
    roster = Roster(allowed_signers=signers, roles={name: (role,) for name, role in roles.items()})
    set_roster(catalog, roster, by=GOVERNOR, now_ns=time.time_ns())
    progress(f"Roster in force: {', '.join(f'{name} ({role})' for name, role in roles.items())}")
    return keys[APPROVER]


@contextmanager
def approver(catalog: Catalog, bundle: str, key: Path) -> Iterator[None]:
    """Be the other person: wait until the flow asks, sign what the *store* says is asked, answer in Prefect."""
    done = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(_answer, catalog, bundle, key, done)
        try:
            yield
        finally:
            done.set()
        answer.result()


def _answer(catalog: Catalog, bundle: str, key: Path, done: threading.Event) -> None:
    from prefect.client.orchestration import get_client

    from bundles.signatures import sign
    from flows.answering import resume_runs

    told: set[str] = set()
    with get_client(sync_client=True) as client:
        while not done.wait(0.5):
            for request in catalog.ledger.state(bundle).open_requests:
                form = {
                    "decision": "approve",
                    "approver": APPROVER,
                    "notes": "looked at the report of the demo",
                    "signature": sign(request.statement.canonical(), request.statement.namespace, key),
                }
                if request.id not in told:
                    told.add(request.id)
                    progress(f"The flow waits for an answer to {request.id}: {APPROVER} signs it")
                if resume_runs(client, request.id, form):
                    return
