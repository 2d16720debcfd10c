"""`sequence bundle`: labels, ids, local manifests, and what happens when store or coordinator are away."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import rfc8785

if TYPE_CHECKING:
    from conftest import Command

EDGE = ("bundle", "compile-edge", "--wasm", "algo.wasm", "--artifact", "art_abc123")


def test_compile_edge_prints_the_labels_and_writes_the_manifest(sequence: Command, algo: Path, artifact: str) -> None:
    lines = sequence(*EDGE).stdout.splitlines()
    bundle_id = lines[0].removeprefix("Bundle ID: ")
    wasm_hash = "sha256:" + hashlib.sha256(algo.read_bytes()).hexdigest()
    assert lines == [
        f"Bundle ID: {bundle_id}",
        f"WASM Hash: {wasm_hash}",
        f"Artifact: {artifact}",
        f"Manifest: {bundle_id}.bundle.json",
    ]
    manifest = json.loads((sequence.folder / f"{bundle_id}.bundle.json").read_text())
    digest = "sha256:" + hashlib.sha256(rfc8785.dumps(manifest)).hexdigest()
    assert bundle_id == "bun_" + digest[7:23]
    assert sequence.json(*EDGE) == {
        "bundle_id": bundle_id,
        "manifest_digest": digest,
        "wasm_hash": wasm_hash,
        "artifact": artifact,
        "manifest": f"{bundle_id}.bundle.json",
        "registered": True,
    }
    assert manifest["strategy"] == "mm-pro"
    assert manifest["risk_version"] == "v1"


def test_list_prints_the_bundles_of_the_folder(sequence: Command, algo: Path, artifact: str) -> None:
    assert sequence("bundle", "list").stdout == "BUNDLE_ID STRATEGY WASM_HASH\n"
    compiled = sequence.json(*EDGE)
    row = f"{compiled['bundle_id']} mm-pro {compiled['wasm_hash']}"
    assert sequence("bundle", "list").stdout == f"BUNDLE_ID STRATEGY WASM_HASH\n{row}\n"
    assert sequence("bundle", "list", "--all").stdout == f"BUNDLE_ID STRATEGY WASM_HASH STAGE NOTE\n{row} research -\n"


def test_list_warns_about_a_manifest_that_was_edited(sequence: Command, algo: Path, artifact: str) -> None:
    path = sequence.folder / sequence.json(*EDGE)["manifest"]
    path.write_text(path.read_text().replace("mm-pro", "mm-max"))
    (sequence.folder / "bun_0000000000000000.bundle.json").write_text("not json")
    result = sequence("bundle", "list")
    assert result.stdout == "BUNDLE_ID STRATEGY WASM_HASH\n"
    assert "was edited or renamed" in result.stderr
    assert "is not a manifest" in result.stderr
    assert "was edited or renamed" in sequence("bundle", "register", path, exit_code=7).stderr


def test_the_same_inputs_give_the_same_id_anywhere(
    sequence: Command, algo: Path, artifact: str, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "else" / "where"
    elsewhere.mkdir(parents=True)
    ids = set()
    for folder, seed in ((sequence.folder, "1"), (elsewhere, "2")):
        done = sequence.process(
            "bundle", "compile-edge", "--wasm", algo, "--artifact", artifact, "--json",
            cwd=folder, environ={"PYTHONHASHSEED": seed},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        document = json.loads(done.stdout)
        ids.add(json.dumps(document))
        assert (folder / document["manifest"]).is_file()
    assert len(ids) == 1


def test_risk_limits_come_from_the_nearest_sequence_toml(sequence: Command, algo: Path, artifact: str) -> None:
    toml = sequence.folder / "Sequence.toml"
    toml.write_text("[config]\nspread_bps = 9\n[risk.v1]\nmax_order_rate = 7\n[risk.tight]\nmax_order_rate = 3\n")
    inner = sequence.folder / "inner"
    inner.mkdir()
    tight = sequence.json(*EDGE, "--risk-version", "tight")
    shown = sequence.json("bundle", "show", tight["bundle_id"][:10])["manifest"]
    assert (shown["risk_limits"]["max_order_rate"], shown["config"]["min_spread_bps"]) == (3, 9)
    unknown = sequence(*EDGE, "--risk-version", "v9", exit_code=4)
    assert "It has: tight, v1" in unknown.stderr
    toml.write_text("[config]\nspred_bps = 9\n")
    assert "Sequence.toml, line 1, [config]" in sequence(*EDGE, exit_code=5).stderr
    toml.unlink()
    assert "built-in risk limits" in sequence(*EDGE, "--risk-version", "v9", exit_code=4).stderr


def test_sor_and_assignment_bundles(sequence: Command) -> None:
    for name in ("art_routing_v3", "art_impact_v2", "art_assign_v1"):
        (sequence.folder / "model.json").write_text(f'"{name}"')
        sequence("artifact", "register", name, "model.json")
    sor = sequence(
        "bundle", "compile-sor", "--routing-model", "art_routing_v3", "--impact-model", "art_impact_v2"
    ).stdout
    assert "Bundle ID: bun_" in sor
    assignment = sequence("bundle", "compile-assignment", "--artifact", "art_assign_v1").stdout
    assert "Artifact: art_assign_v1\nManifest: bun_" in assignment
    listed = sequence("bundle", "list").stdout
    assert " sor -\n" in listed
    assert " assignment -\n" in listed
    sequence("bundle", "compile-sor", "--routing-model", "x", "--impact-model", "art_impact_v2", exit_code=5)
    crossed = ("--edge-threshold", "2000", "--sor-threshold", "1000")
    sequence("bundle", "compile-assignment", "--artifact", "art_assign_v1", *crossed, exit_code=5)


@pytest.mark.parametrize(
    ("content", "exit_code", "message"),
    [
        (None, 4, "sequence build"),
        (b"", 5, "WASM"),
        (b"#!/bin/sh", 5, "WASM"),
        (b"\0asm\1\0\0\0", 5, "algo_on_book"),
    ],
)
def test_bad_modules_are_refused_and_nothing_is_written(
    sequence: Command, artifact: str, tmp_path: Path, content: bytes | None, exit_code: int, message: str
) -> None:
    if content is not None:
        (sequence.folder / "algo.wasm").write_bytes(content)
    before = sorted((tmp_path / "store").rglob("*"))
    assert message in sequence(*EDGE, exit_code=exit_code).stderr
    assert sorted((tmp_path / "store").rglob("*")) == before
    assert not list(sequence.folder.glob("*.bundle.json"))


def test_an_unregistered_artifact_is_not_found_and_nothing_is_written(sequence: Command, algo: Path) -> None:
    assert "sequence artifact register art_abc123" in sequence(*EDGE, exit_code=4).stderr
    assert not list(sequence.folder.glob("*.bundle.json"))


def test_an_unreachable_store_keeps_everything_to_send_it_later(
    sequence: Command, algo: Path, artifact: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    nowhere = ("--store", "s3://bucket/prefix", "--s3-endpoint", "http://127.0.0.1:9")
    result = sequence(*EDGE, *nowhere, "--json", exit_code=6)
    document = json.loads(result.stdout)
    assert document["registered"] is False
    assert f"sequence bundle register {document['manifest']}" in result.stderr
    kept = sequence.folder / f"{document['bundle_id']}.wasm"
    assert kept.read_bytes() == algo.read_bytes()
    assert sequence.json("bundle", "list", "--all") == []
    sent = sequence.json("bundle", "register", document["manifest"])
    assert sent == {**document, "registered": True}
    assert sequence.json("bundle", "list", "--all")[0]["bundle_id"] == document["bundle_id"]
    kept.write_bytes(algo.read_bytes() + b"\0\3\1x\0")
    assert "the manifest names" in sequence("bundle", "register", document["manifest"], exit_code=7).stderr


class Coordinator(BaseHTTPRequestHandler):
    """Answers with the status that its server was told, and keeps what it was sent."""

    server: Any

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.received.append((self.path, self.headers.get("Authorization"), json.loads(body)))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        pass


@contextmanager
def coordinator(status: int) -> Iterator[tuple[str, list[tuple[str, str, Any]]]]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Coordinator)
    server.status, server.received = status, []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", server.received
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(("status", "exit_code"), [(200, 0), (409, 3), (401, 3), (302, 3), (503, 6)])
def test_a_configured_coordinator_gets_the_manifest(
    sequence: Command, algo: Path, artifact: str, monkeypatch: pytest.MonkeyPatch, status: int, exit_code: int
) -> None:
    with coordinator(status) as (url, received):
        monkeypatch.setenv("SEQUENCE_COORDINATOR_URL", url)
        monkeypatch.setenv("SEQUENCE_API_KEY", "seq_live_secret")
        result = sequence(*EDGE, exit_code=exit_code)
    (path, authorization, manifest) = received[0]
    bundle_id = "bun_" + hashlib.sha256(rfc8785.dumps(manifest)).hexdigest()[:16]
    assert (path, authorization) == (f"/v1/bundles/{bundle_id}", "Bearer seq_live_secret")
    assert "seq_live_secret" not in result.output
    assert (sequence.folder / f"{bundle_id}.bundle.json").is_file()


def test_a_silent_coordinator_keeps_the_manifest(
    sequence: Command, algo: Path, artifact: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEQUENCE_COORDINATOR_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("SEQUENCE_API_KEY", "seq_live\nsecret")
    broken = sequence(*EDGE, exit_code=5)
    assert "seq_live" not in broken.output
    monkeypatch.setenv("SEQUENCE_API_KEY", "seq_live_secret")
    result = sequence(*EDGE, exit_code=6)
    assert "does not answer" in result.stderr
    assert "seq_live" not in result.output


def test_ids_that_are_unknown_short_or_ambiguous(sequence: Command, algo: Path, artifact: str) -> None:
    sequence(*EDGE)
    sequence("bundle", "show", "bun_000000", exit_code=4)
    sequence("bundle", "show", "bun_0000", exit_code=5)


def test_history_says_who_did_what(sequence: Command, algo: Path, artifact: str) -> None:
    compiled = sequence.json(*EDGE)
    (entry,) = sequence.json("bundle", "history", compiled["bundle_id"])
    assert (entry["body"]["kind"], entry["actor"]) == ("registered", "quant@firm")
    line = sequence("bundle", "history", compiled["bundle_id"]).stdout.splitlines()[1]
    assert line.split()[2:] == ["registered", "quant@firm", compiled["manifest_digest"]]
