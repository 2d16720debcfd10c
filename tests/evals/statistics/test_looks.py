"""Looks are counted by the ledger, the same question is no further look, and a wrong count is not returned again."""

from __future__ import annotations

from evals.statistics.looks import look_of
from tests.evals.statistics.conftest import Research


def test_each_further_question_is_a_further_look(research: Research) -> None:
    bundle = research.bundle(1, "art_left")
    for number in range(4):
        asked = look_of(research.catalog, research.inputs(bundle, number=number))
        assert asked.settings["look"] == number + 1
        research.record(asked)


def test_the_same_question_finds_the_same_record(research: Research) -> None:
    bundle = research.bundle(1, "art_left")
    first = research.record(look_of(research.catalog, research.inputs(bundle, trials=1, sharpe_variance=None)))
    research.record(look_of(research.catalog, research.inputs(bundle, number=5)))
    again = look_of(research.catalog, research.inputs(bundle, trials=7, sharpe_variance="0.5"))
    assert again.eval_id == first.eval_id
    assert again == first.inputs


def test_any_other_setting_is_another_question(research: Research) -> None:
    bundle = research.bundle(1, "art_left")
    research.record(look_of(research.catalog, research.inputs(bundle)))
    assert look_of(research.catalog, research.inputs(bundle, interval_ns="5")).settings["look"] == 2


def test_other_kinds_and_other_bundles_have_looks_of_their_own(research: Research) -> None:
    bundle, other = research.bundle(1, "art_left"), research.bundle(2, "art_left")
    research.record(research.inputs(bundle, "replay"))
    research.record(look_of(research.catalog, research.inputs(other)))
    assert look_of(research.catalog, research.inputs(bundle)).settings["look"] == 1


def test_a_record_with_too_early_a_look_is_made_anew(research: Research) -> None:
    bundle = research.bundle(1, "art_left")
    research.record(research.inputs(bundle, number=1, look=1))
    wrong = research.record(research.inputs(bundle, number=2, look=1))  # begun at the same time as the one before
    anew = look_of(research.catalog, research.inputs(bundle, number=2))
    assert anew.settings["look"] == 3
    assert research.record(anew).eval_id != wrong.eval_id
    assert look_of(research.catalog, research.inputs(bundle, number=2)) == anew


def test_a_record_without_a_look_is_not_taken_for_one(research: Research) -> None:
    bundle = research.bundle(1, "art_left")
    asked = research.inputs(bundle)
    without = {name: value for name, value in asked.settings.items() if name != "look"}
    asked = asked.model_copy(update={"settings": without})
    research.record(asked)
    assert look_of(research.catalog, asked).settings["look"] == 2


def test_running_the_first_again_leaves_it_the_first(research: Research) -> None:
    bundle = research.bundle(1, "art_left")
    first = look_of(research.catalog, research.inputs(bundle, number=1))
    research.record(first)
    research.record(look_of(research.catalog, research.inputs(bundle, number=2)))
    research.record(first, again=True)
    assert look_of(research.catalog, research.inputs(bundle, number=1)) == first
