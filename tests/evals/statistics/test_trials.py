"""Trials are the evaluated bundles of the same lineage, and their Sharpe ratios those of the same kind."""

from __future__ import annotations

import pytest

from bundles.canonical import canonical_json, read_document
from bundles.evidence import EvaluationInputs
from evals.statistics.trials import Trials, trials_of
from tests.evals.statistics.conftest import Research


def test_a_bundle_is_a_trial_of_itself(research: Research) -> None:
    bundle = research.bundle(1, "art_left")
    assert trials_of(research.catalog, bundle.bundle_id) == Trials(1, None)
    research.record(research.inputs(bundle), 1.5)
    assert trials_of(research.catalog, bundle.bundle_id) == Trials(1, None)


def test_kin_count_by_any_common_ancestor_or_by_the_module_once_evaluated(research: Research) -> None:
    bundle = research.bundle(1, "art_left")
    kin = [research.bundle(2, "art_left"), research.bundle(3, "art_right"), research.bundle(4, "art_root")]
    same_module, stranger = research.bundle(5, "art_other", module=1), research.bundle(6, "art_other")
    count = 1
    for each in [*kin, same_module]:
        assert trials_of(research.catalog, bundle.bundle_id).count == count
        research.record(research.inputs(each, "replay"), 1.0)
        research.record(research.inputs(each, "replay", number=1), 1.0)
        count += 1
    research.record(research.inputs(stranger), 9.0)
    assert trials_of(research.catalog, bundle.bundle_id).count == count == 5


def test_the_variance_is_that_of_each_ones_latest_evaluation_of_the_kind(research: Research) -> None:
    bundle, second, third = (research.bundle(number, "art_left") for number in (1, 2, 3))
    research.record(research.inputs(second), 100.0)
    research.record(research.inputs(second, number=1), 1.0)
    research.record(research.inputs(second, "replay"), 50.0)
    assert trials_of(research.catalog, bundle.bundle_id) == Trials(2, None)
    research.record(research.inputs(third), 4.0)
    assert trials_of(research.catalog, bundle.bundle_id) == Trials(3, 4.5)
    research.record(research.inputs(bundle), None)
    assert trials_of(research.catalog, bundle.bundle_id) == Trials(3, 4.5)
    assert trials_of(research.catalog, bundle.bundle_id, "replay") == Trials(3, None)


@pytest.mark.parametrize("trials", [Trials(1, None), Trials(3, 2.0), Trials(12, 0.1 + 0.2)])
def test_an_evaluations_settings_keep_them(research: Research, trials: Trials) -> None:
    inputs = research.inputs(research.bundle(1, "art_left"), **trials.settings())
    kept = read_document(EvaluationInputs, canonical_json(inputs.model_dump(mode="json")), "inputs")
    assert Trials.of_settings(kept.settings) == trials
    assert kept.digest() == inputs.digest()
