"""The shipped policy, with all the data that it asks for: climbed from the foot to the top, and past an incumbent."""

from __future__ import annotations

from pathlib import Path

import pytest

from bundles.audit import verify
from bundles.catalog import Catalog
from bundles.evidence import Evaluation
from bundles.governance import in_force
from bundles.policy import default_policy
from bundles.stages import STAGES
from bundles.store import open_store
from tests.ladders.firm import CONFIG, Climber, Firm
from tests.ladders.markets import DEPLOYED, FIRST, LATER, SHIPPED_S, Markets

pytestmark = pytest.mark.long


@pytest.fixture(scope="session")
def shipped_markets(tmp_path_factory: pytest.TempPathFactory) -> Markets:
    """Return tapes of an hour, of six hours and of a day, and orders spread over all of it."""
    root = tmp_path_factory.mktemp("shipped-markets")
    return Markets(root, (FIRST, LATER, DEPLOYED), durations_s=SHIPPED_S, orders=2_000).write()


@pytest.fixture
def firm(tmp_path: Path, shipped_markets: Markets) -> Firm:
    """Return a firm under the shipped policy."""
    firm = Firm(Catalog(open_store((tmp_path / "store").as_uri())), shipped_markets, tmp_path)
    return firm.govern(default_policy())


def test_the_shipped_policy_is_climbed_to_the_top(climber: Climber) -> None:
    assert in_force(climber.firm.catalog).policy == default_policy()
    for stage in STAGES[climber.target][1:]:
        wanted = climber.rule(stage).coverage
        if stage == "live":  # an hour will not do
            short = climber.evaluated(climber.rule(stage).evidence, FIRST, seed=1)
            told = climber.refused(stage, short)
            assert f"duration_s {short.coverage.duration_s:.6g} >= {wanted.min_duration_s}" in told
        evidence = climber.evidence(stage)
        assert evidence.coverage.duration_s >= wanted.min_duration_s
        assert evidence.coverage.events >= wanted.min_events
        climber.enter(stage, evidence)
    assert verify(climber.firm.catalog.store).problems == ()


def test_only_what_is_better_passes_an_incumbent_at_live(firm: Firm, maker: bytes) -> None:
    incumbent = firm.algo(maker, quote_size_1e8=20_000, max_position_1e8=200_000).climb("live")
    firm.wait(1)

    clone = firm.algo(maker, quote_size_1e8=20_000, max_position_1e8=200_000, num_levels=2)  # which it does not read
    clone.enter("replay", clone.evidence("replay"))
    for day in (FIRST, LATER):
        same = beside(clone, incumbent, clone.evaluated("shadow", day))
        assert [same.metrics[f"pnl_diff_bps{end}"] for end in ("", "_lower95", "_upper95")] == [0, 0, 0]
        assert (same.metrics["comparison"], same.metrics["action_agreement"]) == (0, 1)
        assert f"evaluation {same.eval_id} failed, this does not hold: pnl_diff_bps_lower95" in clone.refused(
            "shadow", same
        )

    smaller = firm.algo(maker, quote_size_1e8=10_000, max_position_1e8=100_000)
    smaller.enter("replay", smaller.evidence("replay"))
    for day in (FIRST, LATER):
        less = beside(smaller, incumbent, smaller.evaluated("shadow", day))
        assert less.metrics["comparison"] in (0, -1)
        assert "pnl_diff_bps_lower95" in smaller.refused("shadow", less)
    assert less.metrics["comparison"] == -1, "six hours tell half as much from as much"

    better = firm.algo(maker)
    assert better.bundle != incumbent.bundle
    assert CONFIG["max_position_1e8"] == 1_000_000, "five times as much"
    for stage in ("replay", "shadow", "live"):
        evidence = better.evidence(stage)
        if stage != "replay":
            more = beside(better, incumbent, evidence)
            assert more.metrics["comparison"] == 1
        better.enter(stage, evidence)
    assert verify(firm.catalog.store).problems == ()


def beside(climber: Climber, incumbent: Climber, evidence: Evaluation) -> Evaluation:
    """Assert that an algo was compared with the one at live because the ladder named it; return the evaluation."""
    assert incumbent.stage == "live"
    assert evidence.inputs.settings["incumbent"] == climber.firm.catalog.bundle(incumbent.bundle).digest()
    assert evidence.metrics["incumbent_by_ladder"] == 1
    assert evidence.metrics["incumbent_fills"]
    return evidence
