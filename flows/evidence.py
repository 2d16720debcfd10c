"""What a bundle's stage asks for on a day's data: from the replay up, by the kind of bundle."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypedDict

from prefect.client.schemas.objects import State

from bundles.evidence import Dataset
from flows.judging import Judged
from flows.live_review import live_review
from flows.policies import policy_evaluation
from flows.replay import replay_evaluation
from flows.shadow import shadow_evaluation
from tasks.data import DayOfData
from tasks.promotion import Standing


class Where(TypedDict):
    """The seed, and where tapes and record are; as the flows of evaluations take them."""

    seed: int
    data: str
    store: str


@dataclass(frozen=True)
class Wanted:
    """One evaluation, or why there can be none."""

    kind: str
    run: Callable[[], State[Judged]] | None
    without: str = ""


UPPER: Final = 2
"""The rung of shadow and sandbox, counted from research = 0."""
LIVE: Final = 3


def wanted_evaluations(bundle: str, standing: Standing, day: DayOfData, where: Where) -> list[Wanted]:
    """Return the evaluations of all rungs up to the one where a bundle stands."""
    wanted = _of_algo(bundle, day, where) if standing.target == "edge" else _of_policy(bundle, standing, day, where)
    wanted = wanted[: min(standing.rung, UPPER)]
    if standing.rung >= LIVE:
        wanted.append(_review(bundle, standing, day, where))
    return wanted


def _of_algo(bundle: str, day: DayOfData, where: Where) -> list[Wanted]:
    home = day.home.dataset_id
    return [
        Wanted("replay", lambda: replay_evaluation(bundle, home, return_state=True, **where)),
        Wanted("shadow", lambda: shadow_evaluation(bundle, home, return_state=True, **where)),
    ]


def _of_policy(bundle: str, standing: Standing, day: DayOfData, where: Where) -> list[Wanted]:
    orders = day.parents
    if orders is None:
        without = f"no parent orders of {day.told} below the data root"
        return [Wanted(kind, None, without) for kind in ("replay", "sandbox")]
    # The day may have tapes of venues that the policy does not know; of those that it misses, the evaluation tells.
    known = [each for each in _tapes(standing, day) if each.venue in standing.needs.venues or not standing.needs.venues]
    common = {"bundle": bundle, "datasets": [each.dataset_id for each in known], "parents": str(orders)}
    return [
        Wanted("replay", lambda: policy_evaluation(kind="replay", return_state=True, **common, **where)),
        Wanted("sandbox", lambda: policy_evaluation(kind="sandbox", return_state=True, **common, **where)),
    ]


def _review(bundle: str, standing: Standing, day: DayOfData, where: Where) -> Wanted:
    recorded = day.recordings.get(bundle)
    if recorded is None:
        return Wanted("live-review", None, f"no recording of its deployment of {day.told} below the data root")
    held = {each.venue: each.dataset_id for each in _tapes(standing, day)}
    market = [held[venue] for venue in recorded.venues if venue in held]
    return Wanted("live-review", lambda: live_review(bundle, market, str(recorded.folder), return_state=True, **where))


def _tapes(standing: Standing, day: DayOfData) -> tuple[Dataset, ...]:
    return day.history if standing.needs.learns_volume else day.venues
