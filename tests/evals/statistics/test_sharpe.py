"""The published examples to the last printed digit, and what the figures say of series without any merit."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

from evals.statistics.sharpe import (
    YEAR_NS,
    Moments,
    deflated_sharpe,
    expected_best_sharpe,
    minimum_track_length,
    moments_of,
    probabilistic_sharpe,
    sharpe_metrics,
)
from evals.statistics.trials import Trials
from tests.evals.statistics.series import NULLS, autocorrelated, differences, recursive

S_NS = 10**9
ALONE = Trials(1, None)


@pytest.mark.parametrize(
    ("trials", "skewness", "kurtosis", "expected"), [(100, -3, 10, 0.9004), (46, -3, 10, 0.9505), (88, 0, 3, 0.9505)]
)
def test_the_deflated_example_of_bailey_and_lopez_de_prado_2014(
    trials: int, skewness: float, kurtosis: float, expected: float
) -> None:
    # Five years of 250 days, a Sharpe ratio of 2.5 a year, trials whose annual ratios have the variance 1/2.
    moments = Moments(1250, 2.5 / math.sqrt(250), skewness, kurtosis)
    assert deflated_sharpe(moments, trials=trials, variance=0.5 / 250) == pytest.approx(expected, abs=5e-5)


def test_the_best_of_a_hundred_in_the_same_example() -> None:
    assert expected_best_sharpe(100, 0.5 / 250) == pytest.approx(0.1132, abs=5e-5)


@pytest.mark.parametrize(("skewness", "kurtosis", "expected"), [(0, 3, 0.982), (-2.448, 10.164, 0.913)])
def test_the_probabilistic_example_of_bailey_and_lopez_de_prado_2012(
    skewness: float, kurtosis: float, expected: float
) -> None:
    # Two years of months.
    assert probabilistic_sharpe(Moments(24, 0.458, skewness, kurtosis)) == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize(("per_year", "years"), [(252, 2.73), (52, 2.83), (12, 3.24)])
def test_the_track_record_example_of_bailey_and_lopez_de_prado_2012(per_year: int, years: float) -> None:
    # To tell a ratio of 2 a year from one of 1, returns being normal.
    moments = Moments(2, 2 / math.sqrt(per_year), 0, 3)
    length = minimum_track_length(moments, 1 / math.sqrt(per_year))
    assert length is not None
    assert length / per_year == pytest.approx(years, abs=5e-3)


def test_with_the_least_track_record_the_probability_is_the_confidence() -> None:
    moments = Moments(1000, 0.05, -1.0, 8.0)
    length = minimum_track_length(moments)
    assert length is not None
    # Not a whole number of observations; the formula takes any.
    assert probabilistic_sharpe(Moments(length, 0.05, -1.0, 8.0)) == pytest.approx(0.95)  # type: ignore[arg-type]


def test_no_track_record_proves_what_is_not_there() -> None:
    assert minimum_track_length(Moments(1000, 0.0, 0, 3)) is None
    assert minimum_track_length(Moments(1000, -0.1, 0, 3)) is None


def test_the_expected_best_is_that_of_normal_draws() -> None:
    random = np.random.default_rng(1)
    for trials in (5, 20, 100):
        best = random.normal(size=(20_000, trials)).max(axis=1).mean()
        assert expected_best_sharpe(trials, 1.0) == pytest.approx(
            best, rel=0.04
        )  # it is an approximation for many trials
    assert expected_best_sharpe(1, 1.0) == 0


def test_the_shape_by_hand() -> None:
    values = [1, 2, 3, 10]
    mean = Fraction(sum(values), 4)
    second, third, fourth = (sum((value - mean) ** power for value in values) / 4 for power in (2, 3, 4))
    found = moments_of(np.array(values, float))
    assert found
    assert found.observations == 4
    assert found.sharpe == pytest.approx(float(mean) / math.sqrt(second * 4 / 3))
    assert found.skewness == pytest.approx(float(third) / float(second) ** 1.5)
    assert found.kurtosis == pytest.approx(float(fourth / second**2))


@pytest.mark.parametrize("values", [[], [1.0], [3.0] * 50])
def test_without_variance_there_is_no_shape(values: list[float]) -> None:
    assert moments_of(np.array(values)) is None


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("independent", 0.05),
        ("autocorrelated", 0.05),
        ("moving_average", 0.05),
        ("making_up", 0.05),
        ("inventory", 0.05),
        ("market_makers", 0.05),
        # The published formula is one for many observations: rare differences with heavy tails pass more often.
        ("rare", 0.08),
        ("bursts", 0.08),
    ],
)
def test_without_merit_95_percent_are_reached_one_time_in_twenty(name: str, share: float) -> None:
    found = [sharpe_metrics(differences(NULLS[name], seed, 900), interval_ns=S_NS, trials=ALONE) for seed in range(300)]
    sure = sum((each["probabilistic_sharpe"] or 0) > 0.95 for each in found)
    assert sure / 300 <= share + 0.03  # of 300 draws, two standard errors more


def test_the_best_of_worthless_trials_is_deflated() -> None:
    plain = deflated = 0
    for family in range(150):
        trials = [differences(autocorrelated, 1000 * family + each, 600) for each in range(20)]
        alone = [sharpe_metrics(each, interval_ns=S_NS, trials=ALONE)["probabilistic_sharpe"] or 0 for each in trials]
        annual = [each.mean() / each.std() * math.sqrt(YEAR_NS / S_NS) for each in trials]
        family_of = Trials(20, float(np.var(annual, ddof=1)))
        best = sharpe_metrics(trials[int(np.argmax(annual))], interval_ns=S_NS, trials=family_of)
        plain += max(alone) > 0.95
        deflated += (best["deflated_sharpe"] or 0) > 0.95
    assert plain / 150 > 0.5
    assert deflated / 150 <= 0.05


def test_more_trials_make_less_sure_and_one_is_not_deflated() -> None:
    values = differences(autocorrelated, 3, 3600, 0.08)
    found = [sharpe_metrics(values, interval_ns=S_NS, trials=Trials(count, None)) for count in (1, 2, 10, 100)]
    sure = [each["deflated_sharpe"] for each in found]
    assert sure[0] == found[0]["probabilistic_sharpe"]
    assert sure == sorted(sure, reverse=True)  # type: ignore[type-var]
    assert len(set(sure)) == 4
    assert [each["trials"] for each in found] == [1, 2, 10, 100]


def test_the_least_track_record_does_not_depend_on_the_unit_of_money() -> None:
    values = differences(autocorrelated, 3, 3600, 0.2)
    first = sharpe_metrics(values, interval_ns=S_NS, trials=ALONE)
    assert first == sharpe_metrics(values * 7, interval_ns=S_NS, trials=ALONE) or first["min_track_s"] == pytest.approx(
        sharpe_metrics(values * 7, interval_ns=S_NS, trials=ALONE)["min_track_s"]
    )
    slower = sharpe_metrics(values, interval_ns=10 * S_NS, trials=ALONE)
    assert slower["min_track_s"] == pytest.approx(10 * first["min_track_s"])  # type: ignore[operator]


def test_an_incomplete_block_is_left_out_at_the_oldest_end() -> None:
    values = recursive(601)  # blocks of 10
    older, newer = values.copy(), values.copy()
    older[0] += 10**6
    newer[-1] += 10**6
    found = [sharpe_metrics(each, interval_ns=S_NS, trials=ALONE) for each in (values, older, newer)]
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("values", [[], [0] * 500, [5] * 500, [0] * 500 + [3] * 9, [1, -1] * 14])
def test_too_little_is_not_told(values: list[int]) -> None:
    found = sharpe_metrics(np.array(values, np.int64), interval_ns=S_NS, trials=Trials(3, 0.5))
    assert found == {"probabilistic_sharpe": None, "deflated_sharpe": None, "trials": 3, "min_track_s": None}
