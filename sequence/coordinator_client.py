"""Sends bundles to the coordinator, with the standard library alone."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any, Final

from bundles.errors import InvalidInputError, RefusedError, UnreachableError

TIMEOUT_S: Final = 5.0


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A bearer key goes to the configured address and nowhere else."""

    def redirect_request(self, *_args: Any, **_kwargs: Any) -> None:
        return None


_OPENER: Final = urllib.request.build_opener(_NoRedirect)


def put_bundle(url: str, bundle_id: str, manifest: dict[str, Any], *, api_key: str | None) -> None:
    """Send one manifest: ``PUT {url}/v1/bundles/{bundle_id}``. Sending the same bundle again changes nothing.

    Raises:
        InvalidInputError: when the address is not an http or https URL.
        UnreachableError: when the coordinator does not answer, or answers that it cannot now.
        RefusedError: when it answers that it will not.

    """
    if urllib.parse.urlsplit(url).scheme not in {"http", "https"}:
        raise InvalidInputError(
            f"The coordinator's address {url!r} is not an http or https URL. Set SEQUENCE_COORDINATOR_URL."
        )
    address = f"{url.rstrip('/')}/v1/bundles/{bundle_id}"
    headers = {"Content-Type": "application/json"}
    if api_key is not None:
        headers["Authorization"] = f"Bearer {api_key}"
    request = urllib.request.Request(  # noqa: S310 -- the scheme was checked above
        address, data=json.dumps(manifest).encode(), headers=headers, method="PUT"
    )
    try:
        with _OPENER.open(request, timeout=TIMEOUT_S):
            return
    except urllib.error.HTTPError as error:
        error.close()
        _raise_for(error.code, address)
    except (urllib.error.URLError, TimeoutError, http.client.HTTPException, ConnectionError) as error:
        reason = getattr(error, "reason", None) or type(error).__name__
        raise UnreachableError(f"The coordinator at {url} does not answer: {reason}.") from None
    except ValueError:
        # http.client refuses a header with a line break and quotes it, key and all.
        raise InvalidInputError("SEQUENCE_API_KEY holds characters that a header cannot carry. Set it again.") from None


def _raise_for(status: int, address: str) -> None:
    if status in {401, 403}:
        raise RefusedError(
            f"{address} refused the key (HTTP {status}). Set SEQUENCE_API_KEY to a key that may register bundles."
        )
    if status == http.HTTPStatus.CONFLICT:
        raise RefusedError(f"{address} already holds other content (HTTP 409). Compare both manifests; ids never move.")
    if status >= http.HTTPStatus.INTERNAL_SERVER_ERROR or status == http.HTTPStatus.TOO_MANY_REQUESTS:
        raise UnreachableError(f"{address} cannot take the bundle now (HTTP {status}).")
    raise RefusedError(f"{address} refused the bundle (HTTP {status}).")
