"""The metrics of a deployment's recording against its replay twin."""

from __future__ import annotations

from typing import Final

from evals.labels import replay
from evals.labels.meaning import Meaning
from evals.recordings.twin_names import TWIN_NAMES


def _of_twin(name: str) -> Meaning:
    group, label, scale, unit, text = replay.METRICS[name]
    return Meaning("The twin", f"{label}, twin", scale, unit, f"{group}, in the replay: {text[:1].lower()}{text[1:]}")


METRICS: Final[dict[str, Meaning]] = {
    "recording_gaps": Meaning(
        "Recording", "Gaps", 0, "", "What is missing from the recording; with any, nothing that rests on it is told"
    ),
    "halts": Meaning("Recording", "Halts", 0, "", "Times the deployment was halted"),
    "halted_s": Meaning("Recording", "Halted", 0, "s", "How long, until each resume or the end"),
    "limit_breaches": Meaning(
        "Recording", "Limit breaches", 0, "", "Times the account met a limit, refused actions left aside"
    ),
    "config_changes": Meaning(
        "Recording", "Changes of configuration", 0, "", "With any, the replay is no twin and the two are not compared"
    ),
    "pnl_drift_1e9": Meaning("Live against replay", "P&L drift", 9, "ccy", "Realised profit less the twin's"),
    "pnl_drift_bps": Meaning("Live against replay", "P&L drift", 0, "bps", "The same, of the capital"),
    "detectable_drift_bps": Meaning(
        "Live against replay", "Detectable drift", 0, "bps", "A drift of this size is found 9 times in 10"
    ),
    "fill_match": Meaning(
        "Live against replay", "Fill match", 0, "", "Share of the quantity filled that both had, of both together"
    ),
    "unmatched_fills": Meaning(
        "Live against replay", "Fills the twin lacks", 0, "", "Realised fills without a counterpart, or not a whole one"
    ),
    "unmatched_twin_fills": Meaning(
        "Live against replay", "Fills that never came", 0, "", "The twin's fills without one, or not a whole one"
    ),
    "slippage_bps": Meaning(
        "Live against replay",
        "Slippage",
        0,
        "bps",
        "Realised price against the twin's, of matched fills; above 0 worse",
    ),
    "markout_drift_1s_bps": Meaning(
        "Live against replay", "Markout drift 1 s", 0, "bps", "Realised markout after 1 s less the twin's"
    ),
    "shortfall_drift_bps": Meaning(
        "Live against replay", "Shortfall drift", 0, "bps", "Realised shortfall less the replayed one; above 0 worse"
    ),
    "twin_implementation_shortfall_bps": Meaning(
        "The twin", "Implementation shortfall, twin", 0, "bps", "What the same parent orders cost in the replay"
    ),
    "twin_fill_ratio": Meaning("The twin", "Fill ratio, twin", 0, "", "What was filled of them, by notional"),
    **{f"twin_{name}": _of_twin(name) for name in TWIN_NAMES},
}
"""In the order in which a report shows them."""
