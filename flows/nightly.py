"""Flow `nightly-evaluations`: what stands on the ladders, on the newest day, by the kinds of the stages climbed."""

from __future__ import annotations

from typing import Annotated

from prefect import flow

from bundles.errors import LadderError
from flows.evidence import Where, wanted_evaluations
from flows.forms import titled
from flows.judging import Judged
from flows.outcome import completed, failed
from tasks.data import newest_day
from tasks.places import data_root
from tasks.promotion import Standing, standing_bundles
from tasks.publish import publish_table


class NightlyError(LadderError):
    """Some bundles could not be evaluated; the message names each with its reason."""


@flow(
    name="nightly-evaluations",
    description="Evaluates whatever stands at replay or higher on the newest day, by the kinds of the stages climbed.",
)
def nightly_evaluations(
    venue: Annotated[str, titled("Venue")] = "",
    symbol: Annotated[str, titled("Symbol")] = "",
    seed: Annotated[int, titled("Seed")] = 42,
    data: Annotated[str, titled("Tapes")] = "",
    store: Annotated[str, titled("Store")] = "",
) -> list[Judged]:
    """Evaluate what is on the ladders; a bundle whose evaluation fails falls where the policy says so.

    Algos are replayed, policies execute the day's parent orders; what is live is also run in shadow or in the sandbox,
    and what is scaled is reviewed against its recording. A kind that a stage ahead asks for is left to people: each
    evaluation is one more look at a bundle, and every look makes the next bounds wider.

    Args:
        venue: Algos run on this venue's data only. Empty: whichever has the newest day.
        symbol: Only this symbol's data. Empty: whichever has the newest day.
        seed: Seed of everything random in the simulation.
        data: Folder of the tapes, the parent orders and the recordings. Empty: SEQUENCE_DATA of the worker.
        store: Address of the store (file:///… or s3://bucket/prefix). Empty: SEQUENCE_STORE of the worker.

    """
    judged: list[Judged] = []
    before = standing_bundles(store=store)
    if not before:
        return completed(judged, "No bundle stands at stage replay or higher")
    curves = any(standing.needs.learns_volume for standing in before.values())
    try:
        night = newest_day(venue or None, symbol or None, data=data_root(data), store=store, curves=curves)
    except LadderError as error:
        without: list[Judged] = failed(error)
        return without
    rows: list[dict[str, str]] = []
    failures: list[str] = []
    for bundle, standing in before.items():
        wanted = wanted_evaluations(bundle, standing, night, Where(seed=seed, data=data, store=store))
        for each in (each for each in wanted if each.kind not in standing.asked_ahead):
            row = {
                "bundle": bundle,
                "kind": each.kind,
                "verdict": "none",
                "evaluation": "",
                "why": each.without,
                "also": "",
            }
            if each.run is not None:
                state = each.run()
                if state.is_completed():
                    outcome = state.result()
                    judged.append(outcome)
                    why, also = "; ".join(outcome.unmet), ". ".join(outcome.also)
                    row |= {"verdict": outcome.told, "evaluation": outcome.eval_id, "why": why, "also": also}
                else:
                    failures.append(f"{bundle} ({each.kind}): {state.message}")
                    row |= {"verdict": "could not be evaluated", "why": state.message or ""}
            rows.append(row)
    moves = _moves(before, standing_bundles(store=store))
    publish_table(
        [{**row, "stage": moves.get(row["bundle"], before[row["bundle"]].stage)} for row in rows],
        key="nightly-evaluations",
        description=f"Nightly evaluations on {night.told}",
    )
    verdicts = [outcome.verdict for outcome in judged]
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in ("pass", "fail", "inconclusive"))
    if moves:
        counts += f"; moved: {', '.join(f'{bundle} {move}' for bundle, move in moves.items())}"
    if failures:
        message = "\n".join([f"{len(failures)} of {len(rows)} evaluations could not be made ({counts}):", *failures])
        failure: list[Judged] = failed(NightlyError(message))
        return failure
    return completed(judged, f"{len(before)} bundles on {night.told}: {counts}")


def _moves(before: dict[str, Standing], after: dict[str, Standing]) -> dict[str, str]:
    """Return, by bundle, where those went that do not stand where they stood."""
    now = {bundle: after[bundle].stage if bundle in after else "research" for bundle in before}
    return {bundle: f"{was.stage} → {now[bundle]}" for bundle, was in before.items() if now[bundle] != was.stage}
