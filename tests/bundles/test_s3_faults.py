"""S3 servers that misbehave: a scripted one answers what each test says and counts the requests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bundles.errors import ConflictError, NotFoundError, UnreachableError
from bundles.store import ObjectStore, open_store
from bundles.store import s3 as s3_module

pytestmark = pytest.mark.usefixtures("s3_credentials")


@dataclass
class Answer:
    status: int = 200
    body: bytes = b""
    etag: str = '"0"'

    @classmethod
    def error(cls, status: int, code: str) -> Answer:
        return cls(status, f"<Error><Code>{code}</Code><Message>{code} said the server</Message></Error>".encode())


@dataclass
class ScriptedServer:
    """Answers by a function of (method, key or query, headers); ``seen`` lists what was asked."""

    answer: Callable[[str, str, dict[str, str]], Answer] = lambda *_: Answer()
    seen: list[tuple[str, str]] = field(default_factory=list)
    endpoint: str = ""

    def store(self) -> ObjectStore:
        return open_store("s3://bucket/pre", s3_endpoint=self.endpoint)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedServer]:
    monkeypatch.setattr(s3_module, "FIRST_PAUSE_S", 0)
    scripted = ScriptedServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            key = self.path.removeprefix("/bucket/pre/")
            scripted.seen.append((self.command, key))
            answer = scripted.answer(self.command, key, dict(self.headers))
            self.send_response(answer.status)
            self.send_header("ETag", answer.etag)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_PUT = handle_any  # noqa: N815

        def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    scripted.endpoint = f"http://127.0.0.1:{http.server_port}"
    yield scripted
    http.shutdown()
    thread.join()
    http.server_close()


def honest(method: str, key: str, headers: dict[str, str]) -> Answer | None:
    """What an honest server says about the probe key; None about others."""
    if not key.startswith(".probe"):
        return None
    return Answer.error(412, "PreconditionFailed")


def test_refuses_a_server_that_ignores_conditions(server: ScriptedServer) -> None:
    store = server.store()
    for write in (lambda: store.put_if_absent("a", b"x"), lambda: store.compare_and_swap("a", b"x", None)):
        with pytest.raises(UnreachableError, match="ignores conditional writes"):
            write()
    assert {key for _, key in server.seen} == {".probe-conditional-writes"}


@pytest.mark.parametrize("ignored", ["If-Match", "If-None-Match"])
def test_refuses_a_server_that_ignores_one_condition(server: ScriptedServer, ignored: str) -> None:
    server.answer = lambda _, __, headers: Answer() if ignored in headers else Answer.error(412, "PreconditionFailed")
    with pytest.raises(UnreachableError, match="ignores conditional writes"):
        server.store().put_if_absent("a", b"x")


def test_refuses_a_server_without_conditions(server: ScriptedServer) -> None:
    server.answer = lambda *_: Answer.error(501, "NotImplemented")
    with pytest.raises(UnreachableError, match="needs conditional writes"):
        server.store().put_if_absent("a", b"x")


def test_reading_needs_no_probe_and_probes_once(server: ScriptedServer) -> None:
    server.answer = lambda *request: honest(*request) or Answer(body=b"x" if request[0] == "GET" else b"")
    store = server.store()
    assert store.get("a") == b"x"
    assert server.seen == [("GET", "a")]
    store.put_if_absent("b", b"x")
    store.put_if_absent("c", b"x")
    assert [key for _, key in server.seen].count(".probe-conditional-writes") == 3


@pytest.mark.parametrize("status", [409, 429, 500, 503])
def test_asks_again_after_answers_that_may_pass(server: ScriptedServer, status: int) -> None:
    answers = iter([Answer.error(status, "SlowDown"), Answer.error(status, "SlowDown"), Answer(body=b"x")])
    server.answer = lambda *_: next(answers)
    assert server.store().get("a") == b"x"


def test_gives_up_and_names_the_endpoint(server: ScriptedServer) -> None:
    server.answer = lambda *_: Answer.error(503, "SlowDown")
    with pytest.raises(UnreachableError, match="SEQUENCE_S3_ENDPOINT") as caught:
        server.store().get("a")
    assert server.endpoint in str(caught.value)
    assert len(server.seen) == s3_module.ATTEMPTS


@pytest.mark.parametrize(("status", "code"), [(403, "AccessDenied"), (404, "NoSuchBucket"), (400, "InvalidRequest")])
def test_does_not_ask_again_when_that_is_useless(server: ScriptedServer, status: int, code: str) -> None:
    server.answer = lambda *_: Answer.error(status, code)
    store = server.store()
    for use in (lambda: store.get("a"), lambda: store.put_if_absent("a", b""), lambda: list(store.list(""))):
        server.seen.clear()
        with pytest.raises(UnreachableError, match=code):
            use()
        assert len(server.seen) == 1


def test_missing_key(server: ScriptedServer) -> None:
    server.answer = lambda *_: Answer.error(404, "NoSuchKey")
    with pytest.raises(NotFoundError, match="s3://bucket/pre"):
        server.store().get("a")


def test_create_that_took_effect_without_an_answer_succeeds(server: ScriptedServer) -> None:
    answers = iter([Answer.error(500, "InternalError"), Answer.error(412, "PreconditionFailed"), Answer(body=b"mine")])
    server.answer = lambda *request: honest(*request) or next(answers)
    assert server.store().put_if_absent("a", b"mine") is False


@pytest.mark.parametrize(("there", "lost"), [(b"mine", False), (b"theirs", True)])
def test_swap_whose_answer_was_lost(server: ScriptedServer, there: bytes, lost: bool) -> None:
    answers = iter(
        [Answer.error(500, "InternalError"), Answer.error(412, "PreconditionFailed"), Answer(200, there, '"9"')]
    )
    server.answer = lambda *request: honest(*request) or next(answers)
    if lost:
        with pytest.raises(ConflictError):
            server.store().compare_and_swap("a", b"mine", '"1"')
    else:
        assert server.store().compare_and_swap("a", b"mine", '"1"') == '"9"'


def test_lists_page_by_page_without_a_request_for_each_key(server: ScriptedServer) -> None:
    def page(_: str, query: str, __: dict[str, str]) -> Answer:
        number = 1 if "continuation-token=second" in query else 0
        keys = "".join(f"<Contents><Key>pre/k/{number}{i:03d}</Key></Contents>" for i in range(1000))
        token = "" if number else "<NextContinuationToken>second</NextContinuationToken>"
        hidden = "<Contents><Key>pre/.probe-conditional-writes</Key></Contents>"
        return Answer(body=f"<ListBucketResult>{hidden}{keys}{token}</ListBucketResult>".encode())

    server.answer = page
    assert len(list(server.store().list("k/"))) == 2000
    assert len(server.seen) == 2


def test_nobody_answers(server: ScriptedServer) -> None:
    with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:9") as caught:
        open_store("s3://bucket/pre", s3_endpoint="http://127.0.0.1:9").get("a")
    assert "s3://bucket/pre" in str(caught.value)


@pytest.mark.parametrize("endpoint", ["not a url", "localhost:8333"])
def test_malformed_endpoint(endpoint: str) -> None:
    with pytest.raises(UnreachableError, match=endpoint):
        open_store("s3://bucket/pre", s3_endpoint=endpoint).get("a")
