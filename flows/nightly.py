"""Flow `nightly-replay`: every bundle that stands on the ladder, on the newest day of data."""

from __future__ import annotations

from typing import Annotated

from prefect import flow

from bundles.errors import LadderError
from flows.forms import titled
from flows.outcome import completed, failed
from flows.replay import Judged, replay_evaluation
from tasks.data import newest_dataset
from tasks.places import data_root
from tasks.promotion import promoted_bundles
from tasks.publish import publish_table


class NightlyReplayError(LadderError):
    """Some bundles could not be evaluated; the message names each with its reason."""


@flow(
    name="nightly-replay",
    description="Replays every bundle at stage replay or higher on the newest day of data.",
)
def nightly_replay(
    venue: Annotated[str, titled("Venue")] = "",
    symbol: Annotated[str, titled("Symbol")] = "",
    seed: Annotated[int, titled("Seed")] = 42,
    data: Annotated[str, titled("Tapes")] = "",
    store: Annotated[str, titled("Store")] = "",
) -> list[Judged]:
    """Replay what is on the ladder; a bundle whose evaluation fails falls where the policy says so.

    Args:
        venue: Only this venue's data. Empty: whichever has the newest day.
        symbol: Only this symbol's data. Empty: whichever has the newest day.
        seed: Seed of everything random in the simulation.
        data: Folder of the tapes. Empty: SEQUENCE_DATA of the worker.
        store: Address of the store (file:///… or s3://bucket/prefix). Empty: SEQUENCE_STORE of the worker.

    """
    judged: list[Judged] = []
    bundles = promoted_bundles(store=store)
    if not bundles:
        return completed(judged, "No edge bundle stands at stage replay or higher")
    dataset = newest_dataset(venue or None, symbol or None, data=data_root(data), store=store)
    rows: list[dict[str, str]] = []
    failures: list[str] = []
    for bundle in bundles:
        state = replay_evaluation(bundle, dataset.dataset_id, seed=seed, data=data, store=store, return_state=True)
        if state.is_completed():
            outcome = state.result()
            judged.append(outcome)
            row = {"verdict": outcome.verdict, "evaluation": outcome.eval_id, "why": "; ".join(outcome.unmet)}
        else:
            failures.append(f"{bundle}: {state.message}")
            row = {"verdict": "could not be evaluated", "evaluation": "", "why": state.message or ""}
        rows.append({"bundle": bundle, **row})
    moves = _moves(bundles, promoted_bundles(store=store))
    publish_table(
        [{**row, "stage": moves.get(row["bundle"], bundles[row["bundle"]])} for row in rows],
        key="nightly-replay",
        description=f"Nightly replay on {dataset.dataset_id}",
    )
    verdicts = [outcome.verdict for outcome in judged]
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in ("pass", "fail", "inconclusive"))
    if moves:
        counts += f"; moved: {', '.join(f'{bundle} {move}' for bundle, move in moves.items())}"
    if failures:
        message = "\n".join(
            [f"{len(failures)} of {len(bundles)} bundles could not be evaluated ({counts}):", *failures]
        )
        failure: list[Judged] = failed(NightlyReplayError(message))
        return failure
    return completed(judged, f"{len(bundles)} bundles on {dataset.dataset_id}: {counts}")


def _moves(before: dict[str, str], after: dict[str, str]) -> dict[str, str]:
    """Return, by bundle, where those went that do not stand where they stood."""
    now = {bundle: after.get(bundle, "research") for bundle in before}
    return {bundle: f"{stage} → {now[bundle]}" for bundle, stage in before.items() if now[bundle] != stage}
