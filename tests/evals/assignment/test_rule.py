"""The rule: every branch, every boundary one unit below, at and above, and what must be monotone."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundles.compile import compile_assignment
from bundles.errors import MalformedDocumentError
from evals.assigning.rule import Estimate, Reason, Situation, Thresholds, decide

EDGE, SOR = 1_000, 5_000
POLICY = Thresholds(EDGE, SOR, 3)
DEAR, CHEAP = Estimate(10, 901), Estimate(10, 900)


def at(notional: int, live: int = 3, edge: Estimate | None = DEAR, sor: Estimate = CHEAP, margin: int = 0) -> Situation:
    return Situation(notional, live, edge, sor, margin)


TABLE: list[tuple[Situation, Reason]] = [
    # The edge threshold: below it is the edge's, at it the band begins.
    (at(0), Reason.BELOW_EDGE_THRESHOLD),
    (at(EDGE - 1), Reason.BELOW_EDGE_THRESHOLD),
    (at(EDGE), Reason.BAND_SOR_CHEAPER),
    (at(EDGE + 1), Reason.BAND_SOR_CHEAPER),
    # The SOR threshold: at it the band has ended.
    (at(SOR - 1, edge=CHEAP, sor=DEAR), Reason.BAND_EDGE_CHEAPER),
    (at(SOR, edge=CHEAP, sor=DEAR), Reason.AT_OR_ABOVE_SOR_THRESHOLD),
    (at(SOR + 1, edge=CHEAP, sor=DEAR), Reason.AT_OR_ABOVE_SOR_THRESHOLD),
    # Live venues: one fewer than asked for, as many, one more; and none.
    (at(SOR, live=2), Reason.TOO_FEW_VENUES),
    (at(SOR, live=3), Reason.AT_OR_ABOVE_SOR_THRESHOLD),
    (at(SOR, live=4), Reason.AT_OR_ABOVE_SOR_THRESHOLD),
    (at(EDGE, live=2), Reason.TOO_FEW_VENUES),
    (at(EDGE - 1, live=2), Reason.BELOW_EDGE_THRESHOLD),
    (at(EDGE - 1, live=1), Reason.BELOW_EDGE_THRESHOLD),
    (at(0, live=0, edge=None), Reason.TOO_FEW_VENUES),
    # The band: who is cheaper, by one unit; the margin counts against SOR; a tie is the edge's.
    (at(EDGE, edge=Estimate(10, 899)), Reason.BAND_EDGE_CHEAPER),
    (at(EDGE, edge=Estimate(10, 900)), Reason.BAND_TIE),
    (at(EDGE, edge=Estimate(10, 901)), Reason.BAND_SOR_CHEAPER),
    (at(EDGE, margin=2), Reason.BAND_EDGE_CHEAPER),
    (at(EDGE, margin=1), Reason.BAND_TIE),
    # Who fills more comes before who is cheaper; a home venue that is not live has no estimate.
    (at(EDGE, edge=Estimate(9, 0)), Reason.BAND_SOR_DEEPER),
    (at(EDGE, edge=None), Reason.BAND_EDGE_NOT_LIVE),
    (at(SOR, edge=None), Reason.AT_OR_ABOVE_SOR_THRESHOLD),
    (at(EDGE - 1, edge=None), Reason.BELOW_EDGE_THRESHOLD),
    (at(EDGE, live=2, edge=None), Reason.TOO_FEW_VENUES),
]
TO_SOR = {
    Reason.BELOW_EDGE_THRESHOLD: False,
    Reason.TOO_FEW_VENUES: False,
    Reason.AT_OR_ABOVE_SOR_THRESHOLD: True,
    Reason.BAND_EDGE_CHEAPER: False,
    Reason.BAND_TIE: False,
    Reason.BAND_SOR_CHEAPER: True,
    Reason.BAND_SOR_DEEPER: True,
    Reason.BAND_EDGE_NOT_LIVE: True,
}


@pytest.mark.parametrize(("situation", "reason"), TABLE)
def test_every_branch_and_boundary(situation: Situation, reason: Reason) -> None:
    assert decide(situation, POLICY) is reason


def test_the_table_shows_every_reason_and_where_it_leads() -> None:
    assert {reason for _, reason in TABLE} == set(Reason) == set(TO_SOR)
    assert {reason: reason.to_sor for reason in Reason} == TO_SOR


def test_equal_thresholds_leave_no_band() -> None:
    for notional in (EDGE - 1, EDGE, EDGE + 1):
        assert decide(at(notional), Thresholds(EDGE, EDGE, 3)) is (
            Reason.BELOW_EDGE_THRESHOLD if notional < EDGE else Reason.AT_OR_ABOVE_SOR_THRESHOLD
        )


def test_thresholds_out_of_order_are_refused_before_there_is_a_bundle() -> None:
    with pytest.raises(MalformedDocumentError, match="edge threshold 2 lies above the SOR threshold 1"):
        compile_assignment(artifact="art_x", edge_threshold_1e9=2, sor_threshold_1e9=1)
    assert compile_assignment(artifact="art_x", edge_threshold_1e9=2, sor_threshold_1e9=2).sor_threshold_1e9 == 2


ESTIMATES = st.builds(Estimate, st.integers(0, 20), st.integers(-50, 50))
SITUATIONS = st.builds(
    Situation, st.integers(0, 100), st.integers(0, 6), st.none() | ESTIMATES, ESTIMATES, st.integers(0, 20)
)
POLICIES = st.builds(
    lambda low, width, venues: Thresholds(low, low + width, venues),
    st.integers(1, 80),
    st.integers(0, 40),
    st.integers(1, 5),
)


def to_sor(situation: Situation, policy: Thresholds) -> bool:
    return decide(situation, policy).to_sor


@given(SITUATIONS, POLICIES, st.integers(1, 50))
def test_a_larger_notional_never_leads_back_to_the_edge(known: Situation, policy: Thresholds, more: int) -> None:
    assert to_sor(known, policy) <= to_sor(replace(known, notional_1e9=known.notional_1e9 + more), policy)


@given(SITUATIONS, POLICIES, st.integers(1, 5))
def test_more_live_venues_never_lead_back_to_the_edge(known: Situation, policy: Thresholds, more: int) -> None:
    assert to_sor(known, policy) <= to_sor(replace(known, live_venues=known.live_venues + more), policy)


@given(SITUATIONS, POLICIES, st.integers(1, 5))
def test_asking_for_more_venues_never_leads_to_sor(known: Situation, policy: Thresholds, more: int) -> None:
    assert to_sor(known, replace(policy, min_venues=policy.min_venues + more)) <= to_sor(known, policy)


@given(SITUATIONS, POLICIES, st.integers(1, 50))
def test_a_higher_sor_threshold_or_margin_never_leads_to_sor(known: Situation, policy: Thresholds, more: int) -> None:
    assert to_sor(known, replace(policy, sor_1e9=policy.sor_1e9 + more)) <= to_sor(known, policy)
    assert to_sor(replace(known, margin_1e23=known.margin_1e23 + more), policy) <= to_sor(known, policy)


@given(SITUATIONS, POLICIES, st.integers(0, 80))
def test_a_lower_edge_threshold_never_leads_to_the_edge(known: Situation, policy: Thresholds, less: int) -> None:
    assert to_sor(known, policy) <= to_sor(known, replace(policy, edge_1e9=policy.edge_1e9 - less))


@given(SITUATIONS, POLICIES, st.integers(1, 50))
def test_a_dearer_edge_never_leads_back_to_the_edge(known: Situation, policy: Thresholds, more: int) -> None:
    if known.edge is not None:
        dearer = Estimate(known.edge.filled_1e8, known.edge.cost_1e23 + more)
        assert to_sor(known, policy) <= to_sor(replace(known, edge=dearer), policy)


@pytest.mark.parametrize(("cost", "rounded"), [(0, 0), (1, 1), (10**14, 1), (10**14 + 1, 2), (-1, 0), (-(10**14), -1)])
def test_estimates_are_shown_rounded_up(cost: int, rounded: int) -> None:
    assert Estimate(1, cost).cost_1e9 == rounded
