"""Every figure of a shadow evaluation has a label, and a line in the documentation."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from bundles.catalog import Catalog
from bundles.runners import Runner
from evals.labels import meaning_of
from evals.labels.comparison import METRICS
from evals.labels.replay import METRICS as OF_REPLAY
from evals.shadow import evaluate_shadow
from tests.evals.shadow.conftest import NOW_NS

DOCUMENT = Path(__file__).parents[3] / "docs/shadow.md"


def test_every_figure_is_labelled_and_documented(
    catalog: Catalog, dataset: str, data_root: Path, register: Callable[..., str]
) -> None:
    found = evaluate_shadow(
        catalog,
        bundle=register(min_spread_bps=2),
        incumbent=register(),
        dataset=dataset,
        data_root=data_root,
        runner=Runner("ci"),
        now_ns=NOW_NS,
    ).metrics
    own = {name for name in found if not name.startswith(("tape_", "rejects_"))} - set(OF_REPLAY)
    bounds = {name for name in own if re.search(r"_(lower|upper)\d\d$", name)}
    assert {meaning_of(name).group for name in own} <= {"Against the incumbent", "Confidence"}
    assert own - bounds <= set(METRICS)
    rows = [line.split("|")[1] for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")]
    documented = {name for row in rows for name in re.findall(r"`([\w<>]+)`", row)}
    families = {re.sub("^incumbent_.*", "incumbent_<metric>", name) for name in own - bounds}
    assert families <= documented
    assert {"pnl_diff_bps_<bound>"} <= documented
