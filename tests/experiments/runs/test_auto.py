"""The search for a retention budget: on models of drift and proficiency, and once for real."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from experiments.config import Auto
from experiments.config_loader import load_experiment
from experiments.runs.auto import CLIMB, MOST, Trial, choose, search, within
from experiments.runs.compare import compare
from jaxft.errors import UserError
from tests.experiments.world import World


def model(best_rate: float, floor: float, power: float):
    """Drift falls with strength and rises with the rate; proficiency peaks at a rate and suffers from strength."""

    def measure(rate: float, strength: float) -> Trial:
        drift = floor + 0.5 * (rate / best_rate) / strength**power
        return Trial(rate, strength, drift, 1 - 0.1 * abs(math.log(rate / best_rate)) - 0.02 * math.log1p(strength))

    return measure


@example(0.002, 0.5, -3.0, 0.0, 12)  # the first rate is twenty times too high, and strength helps little
@given(st.floats(0.002, 0.1), st.floats(0.5, 1.5), st.floats(-3, 3), st.floats(0, 0.3), st.integers(12, 20))
def test_the_budget_is_kept_and_nearly_used(budget: float, power: float, away: float, floor: float, most: int) -> None:
    """Wherever the best rate lies within e^3 of the first and the budget is well above what no strength can hold."""
    measure = model(1e-3 * math.exp(away), floor * budget, power)
    trials = search(measure, budget, 1e-3, most)
    assert 1 <= len(trials) <= most
    chosen = choose(trials, budget)
    assert within(chosen, budget)
    assert chosen.proficiency == max(trial.proficiency for trial in trials if within(trial, budget))


def test_the_learning_rate_climbs_to_where_proficiency_is_best() -> None:
    for best in (1e-3, 3e-3, 1e-2, 3e-4):
        chosen = choose(search(model(best, 0, 1.0), 0.01, 1e-3, 40), 0.01)
        assert best / 1.01 <= chosen.learning_rate * CLIMB and chosen.learning_rate / CLIMB <= best * 1.01


def test_decay_is_no_stronger_than_the_budget_asks_for() -> None:
    chosen = choose(search(model(1e-3, 0, 1.0), 0.01, 1e-3, 40), 0.01)
    assert 0.3 * 0.01 <= chosen.drift <= MOST * 0.01


def test_a_budget_that_nothing_meets_gives_the_least_drift() -> None:
    trials = search(model(1e-3, 0.5, 1.0), 0.01, 1e-3, 8)
    assert len(trials) <= 8
    assert choose(trials, 0.01).drift == min(trial.drift for trial in trials)
    assert not within(choose(trials, 0.01), 0.01)


def test_where_steps_themselves_drift_a_smaller_rate_is_tried_before_a_crushing_decay() -> None:
    """With Adam, too high a strength shakes the weights by the learning rate, and nothing is learnt any more."""

    def measure(rate: float, strength: float) -> Trial:
        noise = 0.04 * (rate / 1e-3) ** 2 if strength < 1e4 else 0.0
        return Trial(
            rate, strength, noise + 0.2 * (rate / 1e-3) / strength, rate / (rate + 1e-3) / (1 + strength / 1e3)
        )

    trials = search(measure, 0.01, 1e-3, 16)
    chosen = choose(trials, 0.01)
    assert within(chosen, 0.01) and chosen.strength < 1e3
    largest = 1e-3 * math.sqrt(MOST * 0.01 / 0.04)  # rate whose noise alone fits the budget
    assert largest / CLIMB <= chosen.learning_rate <= largest
    assert len(trials) <= 10


def test_a_trial_reads_reference_text_before_training() -> None:
    assert Auto().at(1.0, 1e-3).reference == "before training"


def test_drift_that_is_not_finite_is_answered_by_more_decay() -> None:
    def measure(rate: float, strength: float) -> Trial:
        return Trial(rate, strength, math.inf if strength < 500 else 0.005, 1.0)

    trials = search(measure, 0.01, 1e-3, 16)
    assert within(choose(trials, 0.01), 0.01)


AUTO = """
import dataclasses
from experiments.config import Auto
experiment = dataclasses.replace(experiment, methods={"auto": Auto(budget=0.05, trials=3)}, seeds=(0,))
"""


@pytest.fixture
def automatic(own_world: World) -> World:
    path = own_world.folder / "world.py"
    path.write_text(path.read_text() + AUTO)
    return own_world


@pytest.mark.slow  # several training runs
def test_one_search_for_real(automatic: World, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    experiment = load_experiment(automatic.config)
    record = compare(experiment, tmp_path / "out", "test")
    method = record.methods["auto"]
    found, certificate = method.search, method.certificate
    assert found is not None and certificate is not None and certificate.relative_drift is not None
    assert 1 <= len(found.trials) <= 3
    (chosen,) = (trial for trial in found.trials if trial.chosen)
    assert method.learning_rate == chosen.learning_rate
    assert found.kept == (found.realised_drift <= 0.05)
    assert certificate.relative_drift > 0
    # Over all of the held-out text, drift lies between those of its halves.
    both = sorted((chosen.drift, found.realised_drift))
    assert both[0] * 0.999 <= certificate.relative_drift <= both[1] * 1.001
    again = compare(experiment, tmp_path / "out", "test")  # everything is read back
    assert again.methods["auto"].search == found
    assert automatic.run("train", tmp_path / "out", "--method", "auto") == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Auto(learning_rates=(1e-3,)), "methods.auto.learning_rates: found .* expected none"),
        (Auto(budget=0.0), "methods.auto.budget: found 0.0, expected a drift above 0"),
        (Auto(trials=0), "methods.auto.trials: found 0, expected at least 1"),
        (Auto(targets=("q", "x")), "methods.auto.targets: found"),
    ],
)
def test_what_no_search_can_use(world: World, settings: Auto, message: str) -> None:
    from dataclasses import replace

    from experiments.runs.checks import check

    with pytest.raises(UserError, match=message):
        check(replace(load_experiment(world.config), methods={"auto": settings}))
