"""One temporary Prefect server for all tests of flows, a store with hand-made bundles, evaluations and people, and runs
of the deployed flow that wait, are answered and go on as a worker would let them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bundles.canonical import digest_of
from bundles.catalog import Catalog
from bundles.compile import WASM_PREAMBLE, compile_edge
from bundles.evidence import (
    Coverage,
    Dataset,
    EngineFingerprint,
    Evaluation,
    EvaluationInputs,
    EvaluationKind,
    Partition,
)
from bundles.governance import set_policy, set_roster
from bundles.mm_types import MmConfig, MmRiskLimits
from bundles.policy import Policy, default_policy
from bundles.promotion import Wish, answer, ask
from bundles.roster import Roster
from bundles.runners import Runner
from bundles.state import BundleState
from bundles.statements import PromotionStatement
from bundles.store import open_store
from tests.bundles.conftest import AUTHOR, FIRST, GRETA, OLGA, OTTO, RITA, SECOND, TOM, Person, roster_of
from tests.easiest import easiest_settings

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

    from tasks.data import DayOfData

START_NS = 1_700_000_000 * 10**9
HOUR_NS = 3_600 * 10**9
STARTS = 3
"""How often Prefect's server may be started until it answers in time."""
PASSING = {
    "traps": 0,
    "risk_breaches": 0,
    "max_drawdown_pct": 0.1,
    "fuel_p99": 3_000,
    "order_to_trade": 10,
    "return_bps": 1.5,
    "fills": 40,
    "quote_uptime": 0.9,
    "markout_1s_bps": 0.2,
    "net_pnl_1e9": 12_340_000_000,
}
PEOPLE = {
    AUTHOR.name: ("risk", "trading"),
    RITA.name: ("risk",),
    TOM.name: ("trading",),
    OTTO.name: ("break-glass",),
    OLGA.name: ("operator",),
    GRETA.name: ("governance",),
    FIRST.name: ("runner",),
    SECOND.name: ("runner",),
}


@pytest.fixture(scope="session")
def prefect_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Run Prefect's server for the session, in a home of its own and away from any server of the user."""
    os.environ["PREFECT_HOME"] = str(tmp_path_factory.mktemp("prefect"))
    os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
    os.environ["PREFECT_LOGGING_TO_API_ENABLED"] = "false"
    os.environ["PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL"] = "0.2"
    for name in ("PREFECT_API_URL", "PREFECT_API_KEY", "PREFECT_PROFILE"):
        os.environ.pop(name, None)
    from httpx import TimeoutException
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
    from prefect.testing.utilities import prefect_test_harness

    # With heartbeats every run of a flow ends with up to a second of sleep.
    quick = temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None})
    with ExitStack() as up:
        for attempt in range(1, STARTS + 1):
            try:
                up.enter_context(prefect_test_harness(server_startup_timeout=600))
            except TimeoutException:  # it is up, but on a busy machine its first answer takes longer than Prefect waits
                if attempt == STARTS:
                    raise
            else:
                break
        up.enter_context(quick)
        yield


@pytest.fixture(autouse=True)
def own_runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this machine be the roster's first runner, with the key that is listed there."""
    monkeypatch.setenv("SEQUENCE_RUNNER", FIRST.name)
    monkeypatch.setenv("SEQUENCE_RUNNER_KEY", str(key_file(Person(FIRST.name), tmp_path)))


def key_file(person: Person, folder: Path) -> Path:
    """Write somebody's key to where ssh-keygen would have."""
    key = folder / f"key_of_{person.name}"
    if not key.exists():
        key.write_bytes(person.key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
        key.chmod(0o600)
        key.with_name(f"{key.name}.pub").write_text(f"{person.public}\n")
    return key


def strict_policy(*, runners: int = 1, valid_hours: int = 72, name: str = "strict") -> Policy:
    """The shipped policy, but replay asks for what live asks: two signed approvals by risk and trading, and runners of
    the roster."""
    document = default_policy().model_dump()
    document["name"] = name
    document["ladders"]["edge"]["replay"] |= {
        "approvals": {
            "count": 2,
            "roles": ("risk", "trading"),
            "at_least": {"risk": 1, "trading": 1},
            "signed": True,
            "valid_hours": valid_hours,
        },
        "runners": {"count": runners, "listed": True},
        "demote_on_failure": True,
    }
    return Policy.model_validate(document)


class Ladder:
    """A store of its own, and what is put into it by hand."""

    author = AUTHOR.name

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = f"file://{folder / 'store'}"
        self.catalog = Catalog(open_store(self.store))
        # The stores of other tests hold other bundles, and so other requests: the runs of all wait on one server.
        self.artifact = f"art_{uuid4().hex}"

    def govern(self, policy: Policy | None = None, **people: tuple[str, ...]) -> Ladder:
        """Put the roster of all people (changed by ``people``) and, if given, a policy into force."""
        held = {name: roles for name, roles in (PEOPLE | people).items() if roles}
        self.set_roster(roster_of(held))
        return self.set_policy(policy) if policy else self

    def set_roster(self, roster: Roster) -> Ladder:
        set_roster(self.catalog, roster, by=GRETA.name, key=key_file(GRETA, self.folder), now_ns=time.time_ns())
        return self

    def set_policy(self, policy: Policy) -> Ladder:
        set_policy(self.catalog, policy, by=GRETA.name, key=key_file(GRETA, self.folder), now_ns=time.time_ns())
        return self

    def bundle(self, *, levels: int = 1) -> str:
        """Register a bundle; another number of levels makes another bundle."""
        self.catalog.register_artifact(self.artifact, {"notes.md": b"sample"})
        manifest = compile_edge(
            WASM_PREAMBLE,
            sdk_abi="0.4.0",
            artifact=self.artifact,
            risk_limits=MmRiskLimits(),
            config=MmConfig(num_levels=levels),
        )
        return self.catalog.register_bundle(manifest, author=self.author, blobs=[WASM_PREAMBLE], now_ns=time.time_ns())

    def dataset(self) -> Dataset:
        """Register a dataset whose files nobody reads."""
        part = Partition(
            key="venue=v/symbol=s/date=2023-11-14/tape.parquet",
            digest=digest_of(b"tape"),
            size_bytes=4,
            rows=1,
            first_ns=START_NS,
            last_ns=START_NS + HOUR_NS,
        )
        dataset = Dataset(venue="v", symbol="s", partitions=(part,), validation={"gaps": 0})
        self.catalog.register_dataset(dataset)
        return dataset

    def day(self) -> DayOfData:
        """Return a day of data of which nothing but the dataset is there."""
        from tasks.data import DayOfData

        dataset = self.dataset()
        return DayOfData(dataset, (dataset,), (), None, {}, "s on 2023-11-14")

    def evaluated(
        self, bundle: str, *, kind: EvaluationKind = "replay", runner: Runner = FIRST, seed: int = 42, **worse: float
    ) -> Evaluation:
        """Record an evaluation of an hour that passes the gate of replay, unless some metrics are given worse."""
        evaluation = Evaluation(
            inputs=EvaluationInputs(
                kind=kind,
                bundle=self.catalog.bundle(bundle).digest(),
                datasets=(self.dataset().digest(),),
                settings=easiest_settings(kind),
                seed=seed,
                engine=EngineFingerprint(name="by-hand", version="1", source=digest_of(b""), runtime={}),
            ),
            status="completed",
            result_digest=digest_of(b"result"),
            coverage=Coverage(first_ns=START_NS, last_ns=START_NS + HOUR_NS, events=50_000, packets=20_000),
            metrics=PASSING | worse,
            outputs={},
            validation={"gaps": 0},
        )
        self.catalog.record_evaluation(evaluation, [], runner=runner, now_ns=time.time_ns())
        return evaluation

    def state(self, bundle: str) -> BundleState:
        return self.catalog.ledger.state(bundle)

    def stage(self, bundle: str) -> str:
        """Return where a bundle stands."""
        return self.state(bundle).stage_at(time.time_ns())

    def asked(self, bundle: str) -> PromotionStatement:
        """Return what the last request for a bundle asks people to sign."""
        return self.state(bundle).requests[-1].statement


def lend(catalog: Catalog, bundle: str, stage: str) -> None:
    """Lend a bundle a stage by breaking the glass now."""
    now_ns = time.time_ns()
    target = catalog.bundle(bundle).kind
    wish = Wish(bundle=bundle, target=target, stage=stage, break_glass=True, notes="the old one is broken")
    request = ask(catalog, wish, requested_by="desk@example.com", now_ns=now_ns).request
    assert request is not None
    word = OTTO.says(catalog.request(request)).model_copy(update={"at_ns": now_ns})
    assert answer(catalog, request, "approve", word, now_ns=now_ns).decision == "promoted"


@pytest.fixture
def ladder(tmp_path: Path) -> Ladder:
    """Return an empty store and ways to fill it."""
    return Ladder(tmp_path)


@dataclass
class Run:
    """One run of the deployed flow `promote`."""

    id: UUID
    client: Any

    @property
    def state(self) -> State[Any]:
        state: State[Any] = self.client.read_flow_run(self.id).state
        return state

    def go(self) -> str:
        """Do what a worker does with a scheduled run, until it ends or suspends itself; return its state's name."""
        from prefect.exceptions import Pause
        from prefect.flow_engine import run_flow

        from flows.promote import promote

        with suppress(Pause):
            run_flow(promote, flow_run=self.client.read_flow_run(self.id), return_type="state")
        return str(self.state.name)

    def resume(self, **form: Any) -> str:
        """Send an answer, as anybody can; return what Prefect says to it."""
        return str(self.client.resume_flow_run(self.id, run_input=form).status.name)

    def answer(self, **form: Any) -> str:
        """Send an answer and let the run go on with it."""
        assert self.resume(**form) == "ACCEPT"
        return self.go()

    def force(self, name: str) -> None:
        """Force a state on the run, as anybody can."""
        from prefect.client.schemas.objects import State, StateType

        forced = State(type=StateType[name.upper()], name=name, message="forged")
        self.client.set_flow_run_state(self.id, forced, force=True)

    def question(self) -> str:
        """Return the text above the form."""
        import json

        keys = self.state.state_details.run_input_keyset
        text: str = json.loads(self.client.read_flow_run_input(self.id, keys["description"]))
        return text


@dataclass
class Deployed:
    """The deployed flow `promote`, and what its runs told the event stream."""

    deployment: UUID
    client: Any
    told: list[dict[str, Any]] = field(default_factory=list)

    def start(self, ladder: Ladder, bundle: str, *evaluations: str, **parameters: Any) -> Run:
        given = {"bundle": bundle, "evaluations": list(evaluations), "requested_by": ladder.author}
        run = self.client.create_flow_run_from_deployment(
            self.deployment, parameters=given | {"store": ladder.store} | parameters
        )
        return Run(run.id, self.client)

    def events(self) -> list[str]:
        """Return what was told, in order and without the common beginning."""
        return [each["event"].removeprefix("sequence.promotion.") for each in self.told]

    def objections(self) -> str:
        """Return all reasons why answers were turned down."""
        refused = [each for each in self.told if each["event"].endswith("answer-refused")]
        return "\n".join(reason for each in refused for reason in each["payload"]["unmet"])


@pytest.fixture(scope="session")
def deployment(prefect_server: None) -> UUID:
    """Register the flow with the server, as `make up` does."""
    from prefect.types.entrypoint import EntrypointType

    from flows.promote import promote

    made: UUID = promote.to_deployment("promote", entrypoint_type=EntrypointType.MODULE_PATH).apply()
    return made


@pytest.fixture
def deployed(deployment: UUID, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployed]:
    """Return the deployed flow; its events are also kept."""
    from prefect.client.orchestration import get_client

    import flows.events

    emit = flows.events.emit_event

    def keep(event: str, **facts: Any) -> Any:
        found.told.append({"event": event, **facts})
        return emit(event, **facts)

    monkeypatch.setattr(flows.events, "emit_event", keep)
    with get_client(sync_client=True) as client:
        found = Deployed(deployment, client)
        yield found


def signed(person: Person, statement: PromotionStatement, **more: Any) -> dict[str, Any]:
    """Return a form with somebody's signed answer."""
    said = statement.saying(more.get("decision", "approve"))
    return {"decision": "approve", "approver": person.name, "signature": person.sign(said.canonical()), **more}
