"""Flow `nightly-replay`: every bundle that stands on the ladder, on the newest day of data."""

from __future__ import annotations

from prefect import flow

from bundles.errors import LadderError
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
    venue: str | None = None,
    symbol: str | None = None,
    seed: int = 42,
    runner: str = "nightly",
    data: str | None = None,
    store: str | None = None,
) -> list[Judged]:
    """Replay what is on the ladder.

    Args:
        venue: Only this venue's data. Empty: whichever has the newest day.
        symbol: Only this symbol's data. Empty: whichever has the newest day.
        seed: Seed of everything random in the simulation.
        runner: Who runs the evaluations, as the ledger shall say.
        data: Folder of the tapes. Empty: SEQUENCE_DATA of the worker.
        store: Address of the store (file:///… or s3://bucket/prefix). Empty: SEQUENCE_STORE of the worker.

    """
    judged: list[Judged] = []
    bundles = promoted_bundles(store=store)
    if not bundles:
        return completed(judged, "No edge bundle stands at stage replay or higher")
    dataset = newest_dataset(venue, symbol, data=data_root(data), store=store)
    rows: list[dict[str, str]] = []
    failures: list[str] = []
    for bundle in bundles:
        state = replay_evaluation(
            bundle, dataset.dataset_id, seed=seed, runner=runner, data=data, store=store, return_state=True
        )
        if state.is_completed():
            outcome = state.result()
            judged.append(outcome)
            rows.append(
                {
                    "bundle": bundle,
                    "verdict": outcome.verdict,
                    "evaluation": outcome.eval_id,
                    "why": "; ".join(outcome.unmet),
                }
            )
        else:
            failures.append(f"{bundle}: {state.message}")
            rows.append(
                {"bundle": bundle, "verdict": "could not be evaluated", "evaluation": "", "why": state.message or ""}
            )
    publish_table(rows, key="nightly-replay", description=f"Nightly replay on {dataset.dataset_id}")
    verdicts = [outcome.verdict for outcome in judged]
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in ("pass", "fail", "inconclusive"))
    if failures:
        message = "\n".join(
            [f"{len(failures)} of {len(bundles)} bundles could not be evaluated ({counts}):", *failures]
        )
        failure: list[Judged] = failed(NightlyReplayError(message))
        return failure
    return completed(judged, f"{len(bundles)} bundles on {dataset.dataset_id}: {counts}")
