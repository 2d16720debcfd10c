"""What a promotion tells Prefect's event stream, for automations and for people who look later.

Names are ``sequence.promotion.requested``, ``approved``, ``denied``, ``promoted``, ``refused``, ``glass-broken`` and
``answer-refused``; the resource is ``sequence.bundle.<id>``. They report what the store says and decide nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal
from uuid import NAMESPACE_URL, uuid5

from prefect.events import emit_event

What = Literal["requested", "approved", "denied", "promoted", "refused", "glass-broken", "answer-refused"]

_OURS: Final = uuid5(NAMESPACE_URL, "sequence.promotion")


def announce(
    what: What,
    *,
    bundle: str,
    stage: str,
    request: str | None,
    unmet: Sequence[str] = (),
    occasion: str = "",
    person: str = "",
) -> None:
    """Emit an event; one of the same request and occasion is the same event, however often a rerun sends it."""
    emit_event(
        f"sequence.promotion.{what}",
        resource={"prefect.resource.id": f"sequence.bundle.{bundle}", "prefect.resource.name": bundle},
        payload={"request": request, "stage": stage, "unmet": list(unmet), **({"person": person} if person else {})},
        id=uuid5(_OURS, " ".join((what, bundle, stage, request or "", occasion))),
    )
