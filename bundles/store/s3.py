"""A store in an S3 bucket: conditional writes by ``If-None-Match: *`` and ``If-Match``.

An answer 412 means that the key exists or has changed; 409, 429, 5xx and timeouts mean "ask again". A server that
ignores the conditions would let two writers win one race, so before its first write a store proves with a probe key
that this one does not.
"""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, IncompleteReadError
from botocore.exceptions import ConnectionError as BotoConnectionError

from bundles.errors import ConflictError, NameTakenError, NotFoundError, UnreachableError
from bundles.store.protocol import check_key, check_prefix, is_own_name

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ListObjectsV2OutputTypeDef

Answer = TypeVar("Answer")

ATTEMPTS: Final = 4
FIRST_PAUSE_S: Final = 0.1
_READS_AT_ONCE: Final = 16
_PROBE: Final = ".probe-conditional-writes"
_PROBE_CONTENT: Final = b"This object proves that the server honours conditional writes.\n"
_ASK_AGAIN: Final = frozenset({408, 409, 425, 429, 500, 502, 503, 504})


class _ConditionFailed(Exception):  # noqa: N818 -- an answer, not an error
    """The server answered 412."""


class _KeyMissing(Exception):  # noqa: N818 -- an answer, not an error
    """The server has no such key."""


class S3Store:
    """Keys are objects below a prefix of one bucket; credentials and region come from boto3's usual places."""

    def __init__(self, bucket: str, prefix: str, endpoint: str | None) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._endpoint = endpoint
        self._proven = False
        self._proof = threading.Lock()
        try:
            self._client: S3Client = boto3.Session().client(
                "s3",
                endpoint_url=endpoint,
                config=Config(
                    connect_timeout=3,
                    read_timeout=30,
                    retries={"total_max_attempts": 1},  # retried here, where it is known what an answer means
                    max_pool_connections=32,
                    s3={"addressing_style": "path" if endpoint else "auto"},
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                ),
            )
        except (BotoCoreError, ValueError) as error:
            raise self._unreachable(str(error)) from error

    @property
    def url(self) -> str:
        """The address that `open_store` takes."""
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def exists(self) -> bool:
        """Return True: a bucket is never created here, and one that is not there answers no request."""
        return True

    def get(self, key: str) -> bytes:
        """Return the content of a key, or raise NotFoundError."""
        found = self.get_versioned(key)
        if found is None:
            raise NotFoundError(f"The store {self.url} has no {key}. Check the id, or the address of the store.")
        return found[0]

    def get_versioned(self, key: str) -> tuple[bytes, str] | None:
        """Return content and version (the ETag) of a key, or None."""
        return self._read(check_key(key))

    def put_if_absent(self, key: str, content: bytes) -> bool:
        """Create a key; False if it was there with the same content, NameTakenError if with other content."""
        check_key(key)
        self._prove_conditions()
        try:
            self._ask(lambda: self._put(key, content, if_absent=True))
        except _ConditionFailed:
            found = self._read(key)
            if found is None:
                raise self._unreachable(f"it says that {key} exists but does not return it") from None
            if found[0] != content:
                raise NameTakenError(
                    f"{key} in {self.url} already holds other content and never changes. Choose another name."
                ) from None
            return False
        return True

    def compare_and_swap(self, key: str, content: bytes, expected_version: str | None) -> str:
        """Replace the content if the version is still the expected one; return the new version.

        When an attempt got no answer and the next one conflicts, finding the new content in place counts as having
        written it.
        """
        check_key(key)
        self._prove_conditions()
        attempts = 0

        def put() -> str:
            nonlocal attempts
            attempts += 1
            return self._put(key, content, if_absent=expected_version is None, if_version=expected_version)

        try:
            return self._ask(put)
        except (_ConditionFailed, _KeyMissing):
            found = self._read(key) if attempts > 1 else None
            if found is not None and found[0] == content:
                return found[1]
            raise ConflictError(
                f"{key} in {self.url} was changed by someone else. Read it again and decide again."
            ) from None

    def list(self, prefix: str) -> Iterator[str]:
        """Yield the keys that begin with a prefix in the server's order, a thousand for each request."""
        return (key for key, _ in self._list(prefix))

    def contents(self, prefix: str, remembered: Callable[[], Mapping[str, bytes]]) -> Iterator[tuple[str, bytes]]:
        """Yield the keys that begin with a prefix with their contents; read only what differs from what is remembered.

        The ETag of an object that was put in one piece is its MD5. Where a server gives another one (encrypted
        buckets), it equals none, and everything is read.
        """
        listed = dict(self._list(prefix))
        known = remembered() if listed else {}
        changed = []
        for key, etag in listed.items():
            content = known.get(key)
            if content is not None and hashlib.md5(content, usedforsecurity=False).hexdigest() == etag.strip('"'):
                yield key, content
            else:
                changed.append(key)
        with ThreadPoolExecutor(_READS_AT_ONCE) as pool:
            for key, found in zip(changed, pool.map(self._read, changed), strict=True):
                if found is not None:
                    yield key, found[0]

    def _list(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Yield keys and ETags."""
        following: dict[str, str] = {}
        while True:
            page = self._ask(partial(self._list_page, self._prefix + check_prefix(prefix), following))
            for item in page.get("Contents", ()):
                key = item["Key"].removeprefix(self._prefix)
                if not is_own_name(key):
                    yield key, item.get("ETag", "")
            if not page.get("NextContinuationToken"):
                return
            following = {"ContinuationToken": page["NextContinuationToken"]}

    def _list_page(self, full_prefix: str, following: dict[str, str]) -> ListObjectsV2OutputTypeDef:
        return self._client.list_objects_v2(Bucket=self._bucket, Prefix=full_prefix, **following)  # type: ignore[arg-type]

    def _read(self, key: str) -> tuple[bytes, str] | None:
        def read() -> tuple[bytes, str]:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key)
            return answer["Body"].read(), answer["ETag"]

        try:
            return self._ask(read)
        except _KeyMissing:
            return None

    def _put(self, key: str, content: bytes, *, if_absent: bool = False, if_version: str | None = None) -> str:
        """Write one object under a condition and return its ETag."""
        condition = {"IfNoneMatch": "*"} if if_absent else {"IfMatch": if_version or ""}
        answer = self._client.put_object(
            Bucket=self._bucket,
            Key=self._prefix + key,
            Body=content,
            **condition,  # type: ignore[arg-type]
        )
        return answer["ETag"]

    def _prove_conditions(self) -> None:
        """Prove once that the server refuses to overwrite under either condition."""
        with self._proof:
            if self._proven:
                return
            self._probe(lambda: self._put(_PROBE, _PROBE_CONTENT, if_absent=True))
            honoured = not self._probe(lambda: self._put(_PROBE, _PROBE_CONTENT + b"2", if_absent=True))
            honoured = (
                not self._probe(lambda: self._put(_PROBE, _PROBE_CONTENT + b"3", if_version='"' + "0" * 32 + '"'))
                and honoured
            )
            if not honoured:
                raise UnreachableError(
                    f"The S3 server {self._address()} ignores conditional writes, so two writers could both "
                    "win. Nothing was written "
                    "but a probe. Use a server that honours If-None-Match and If-Match on PutObject."
                )
            self._proven = True

    def _probe(self, put: Callable[[], str]) -> bool:
        try:
            self._ask(put)
        except (_ConditionFailed, _KeyMissing):
            return False
        return True

    def _ask(self, request: Callable[[], Answer]) -> Answer:
        """Send a request, again after answers and failures that may pass, and translate the others."""
        reason = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                time.sleep(FIRST_PAUSE_S * 2**attempt * random.uniform(0.5, 1))  # noqa: S311 -- spreads writers, guards nothing
            try:
                return request()
            except ClientError as error:
                status = _status(error)
                if status == 412:
                    raise _ConditionFailed from error
                if _code(error) in {"NoSuchKey", "404"}:
                    raise _KeyMissing from error
                if status == 501:
                    raise self._unreachable(
                        f"{error}. It needs conditional writes by If-None-Match and If-Match"
                    ) from error
                if status not in _ASK_AGAIN:
                    raise self._unreachable(str(error)) from error
                reason = str(error)
            except (BotoConnectionError, HTTPClientError, IncompleteReadError) as error:
                reason = str(error)
            except BotoCoreError as error:
                raise self._unreachable(str(error)) from error
        raise self._unreachable(f"{ATTEMPTS} attempts failed; the last with: {reason}")

    def _unreachable(self, reason: str) -> UnreachableError:
        return UnreachableError(
            f"The store {self.url} at {self._address()} cannot be used: {reason.rstrip('.')}. Check "
            "SEQUENCE_STORE, SEQUENCE_S3_ENDPOINT, "
            "the bucket's name and the credentials (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), then run the "
            "command again."
        )

    def _address(self) -> str:
        return self._endpoint or "Amazon S3"


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
