"""Stores that fail: in memory, after a plan, and at the level of HTTP. What fails, where, and whether it took effect is
up to the test, so every failure can be had again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from typing import Any, TypeAlias, TypeVar

from botocore.awsrequest import AWSResponse
from botocore.exceptions import ReadTimeoutError

from bundles.errors import ConflictError, UnreachableError
from bundles.store import ObjectStore
from bundles.store.memory import MemoryStore as PlainMemoryStore
from bundles.store.s3 import S3Store

Result = TypeVar("Result")


class MemoryStore(PlainMemoryStore):
    """A store that remembers what heads held; `copy` costs next to nothing, so a trial may break its own."""

    def __init__(self, objects: dict[str, bytes] | None = None) -> None:
        super().__init__({}, "memory://store")
        self.objects = dict(objects or {})
        self.superseded: dict[str, list[bytes]] = {}
        """What heads held before, oldest first."""

    def copy(self) -> MemoryStore:
        return MemoryStore(self.objects)

    def compare_and_swap(self, key: str, content: bytes, expected_version: str | None) -> str:
        before = self.objects.get(key)
        version = super().compare_and_swap(key, content, expected_version)
        if before is not None:
            self.superseded.setdefault(key, []).append(before)
        return version


class Fault(Enum):
    """What happens to one call of a store."""

    UNREACHABLE = "503, before the effect"
    ANSWER_LOST = "the effect, and no answer"
    LOST_RACE = "409 or 412: a swap loses against nobody"
    MET_OWN_WRITE = "the effect, no answer, and 412 to the next attempt: a create finds its own content, a swap loses"
    RIVAL_BEFORE = "somebody else acts before the effect"
    RIVAL_AFTER = "somebody else acts after the effect"


Plan: TypeAlias = Callable[[str, str], Fault | None]
"""Takes a method and its key; returns what goes wrong."""


def after_calls(faults: dict[int, Fault]) -> Plan:
    """A plan by the number of the call, from 0."""
    calls = iter(range(1 << 30))
    return lambda _method, _key: faults.get(next(calls))


class FaultyStore:
    """A store whose calls fail as a plan says; ``rival`` is what somebody else does at the same moment."""

    def __init__(self, store: ObjectStore, plan: Plan, rival: Callable[[], object] = lambda: None) -> None:
        self._store, self._plan, self._rival = store, plan, rival
        self.url = store.url
        self.met: list[Fault] = []

    def exists(self) -> bool:
        return self._call("exists", "", self._store.exists)

    def get(self, key: str) -> bytes:
        return self._call("get", key, lambda: self._store.get(key))

    def put_if_absent(self, key: str, content: bytes) -> bool:
        fault = self._plan("put_if_absent", key)
        created = self._suffer(fault, "put_if_absent", key, lambda: self._store.put_if_absent(key, content))
        return created and fault is not Fault.MET_OWN_WRITE

    def get_versioned(self, key: str) -> tuple[bytes, str] | None:
        return self._call("get_versioned", key, lambda: self._store.get_versioned(key))

    def compare_and_swap(self, key: str, content: bytes, expected_version: str | None) -> str:
        def swap() -> str:
            return self._store.compare_and_swap(key, content, expected_version)

        fault = self._plan("compare_and_swap", key)
        if fault is Fault.LOST_RACE:
            self.met.append(fault)
            raise ConflictError(f"compare_and_swap {key}: 412")
        version = self._suffer(fault, "compare_and_swap", key, swap)
        if fault is Fault.MET_OWN_WRITE:
            raise ConflictError(f"compare_and_swap {key}: 412")
        return version

    def list(self, prefix: str) -> Iterator[str]:
        return iter(self._call("list", prefix, lambda: list(self._store.list(prefix))))

    def _call(self, method: str, key: str, effect: Callable[[], Result]) -> Result:
        return self._suffer(self._plan(method, key), method, key, effect)

    def _suffer(self, fault: Fault | None, method: str, key: str, effect: Callable[[], Result]) -> Result:
        if fault is None:
            return effect()
        self.met.append(fault)
        if fault is Fault.UNREACHABLE:
            raise UnreachableError(f"{method} {key}: 503")
        if fault is Fault.RIVAL_BEFORE:
            self._rival()
        result = effect()
        if fault is Fault.ANSWER_LOST:
            raise UnreachableError(f"{method} {key}: no answer")
        if fault is Fault.RIVAL_AFTER:
            self._rival()
        return result


class HttpFault(Enum):
    """What happens to one request to an S3 server."""

    CONFLICT = 409
    PRECONDITION = 412
    SLOW_DOWN = 503
    ANSWER_LOST = 0
    ANSWER_LOST_AS_503 = -503


class FaultyHttp:
    """Stands between an S3 store and its server, a real one, and spoils requests by their number."""

    def __init__(self, store: ObjectStore, faults: Iterable[HttpFault | None]) -> None:
        assert isinstance(store, S3Store)
        endpoint: Any = store._client._endpoint
        self._session = endpoint.http_session
        self._faults = iter(faults)
        self.met: list[HttpFault] = []
        endpoint.http_session = self

    def send(self, request: Any) -> AWSResponse:
        fault = next(self._faults, None)
        is_conditional = {"If-Match", "If-None-Match"} & set(request.headers)
        if fault is None or (fault is HttpFault.PRECONDITION and not is_conditional):
            return self._session.send(request)
        self.met.append(fault)
        if fault in {HttpFault.ANSWER_LOST, HttpFault.ANSWER_LOST_AS_503}:
            self._session.send(request)
        if fault is HttpFault.ANSWER_LOST:
            raise ReadTimeoutError(endpoint_url=request.url)
        return _answer(request.url, abs(fault.value))

    def stop(self) -> None:
        """Let everything through from now on."""
        self._faults = iter(())

    def close(self) -> None:
        self._session.close()


class _Raw:
    def __init__(self, content: bytes) -> None:
        self._left = [content]

    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        while self._left:
            yield self._left.pop()

    def read(self, *_: object, **__: object) -> bytes:
        return self._left.pop() if self._left else b""


def _answer(url: str, status: int) -> AWSResponse:
    code = {409: "ConditionalRequestConflict", 412: "PreconditionFailed", 503: "SlowDown"}[status]
    return AWSResponse(url, status, {}, _Raw(f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()))
