"""The method `Auto`: trials of gradient projection until held-out drift meets a budget at the best proficiency.

At each learning rate the weakest K-FAC strength is sought whose drift stays within the budget. The learning rate climbs
by factors of two from one that suits the model's width for as long as validation proficiency rises, or falls until some
strength holds the drift at all. Drift is measured on one half of the held-out reference text; the drift of the chosen
trial on the other half, which no decision has seen, is the realised drift.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from experiments.config import Auto
from experiments.evaluation.tasks import TASKS
from experiments.runs.certify import reference_drift
from experiments.runs.run import Run
from experiments.runs.workspace import Workspace
from experiments.store.cache import cached_json
from experiments.store.record import method as record
from experiments.store.record.method import Search

log = logging.getLogger("jaxft")

#: Times 1 / width, the first learning rate: Adam's best rate falls with the width (Yang et al. 2022, arXiv:2203.03466).
FIRST_RATE = 1.0
FIRST_STRENGTH = 10.0
CLIMB = 2.0
#: Shares of the budget: the most a trial may use, the aim, and the least it uses unless something else holds its drift.
MOST, AIM, LEAST = 0.9, 0.7, 0.5
WEAKEST, STRONGEST = 1e-2, 1e5
PER_RATE = 5  # trials at one learning rate
#: Where a strength JUMP times as high lowers drift by less than its power SHALLOW, the rest is the noise of the
#: steps, which only a lower learning rate makes smaller.
SHALLOW, JUMP = 0.25, 5.0


class Trial(NamedTuple):
    """One training run of the search. proficiency: higher is better, whatever the axis."""

    learning_rate: float
    strength: float
    drift: float
    proficiency: float


def search(measure: Callable[[float, float], Trial], budget: float, rate: float, most: int) -> list[Trial]:
    """Trials in the order of the search, at most `most`; measure(learning rate, strength) runs one."""
    trials: list[Trial] = []
    strength, step, best = FIRST_STRENGTH, CLIMB, None
    while len(trials) < most:
        at_rate = _at_rate(measure, budget, rate, strength, min(PER_RATE, most - len(trials)))
        trials += at_rate
        found = choose(at_rate, budget)
        better = within(found, budget) and (best is None or found.proficiency > best.proficiency)
        if better:
            best, strength = found, found.strength
        elif best is None:
            step = 1 / CLIMB  # no strength holds the drift at this rate
            if at_rate[-1].strength >= STRONGEST:  # nor will weaker ones at the next
                strength = STRONGEST
        elif step > 1 and best.learning_rate == trials[0].learning_rate:
            step, rate = 1 / CLIMB, best.learning_rate  # up was no better than the start: try down
        else:
            break
        rate *= step
    return trials


def _at_rate(
    measure: Callable[[float, float], Trial], budget: float, rate: float, strength: float, most: int
) -> list[Trial]:
    """Trials at one learning rate, toward the weakest strength within the budget."""
    trials: list[Trial] = []
    while len(trials) < most:
        trials.append(measure(rate, strength))
        last = trials[-1]
        if within(last, budget):
            ended = last.drift >= LEAST * budget or last.strength <= WEAKEST
        else:
            ended = last.strength >= STRONGEST or len(trials) > 1 and _is_noise(*trials[-2:])
        if ended:
            break
        strength = _next_strength(trials, budget)
        if any(math.isclose(strength, trial.strength, rel_tol=0.05) for trial in trials):
            break
    return trials


def _is_noise(weaker: Trial, stronger: Trial) -> bool:
    """Whether a much higher strength hardly lowered the drift."""
    if stronger.strength < JUMP * weaker.strength or not math.isfinite(weaker.drift):
        return False
    return stronger.drift > weaker.drift * (weaker.strength / stronger.strength) ** SHALLOW


def _next_strength(trials: list[Trial], budget: float) -> float:
    """Where log drift, linear in log strength, reaches the aim: between the trials around it, or beyond the last."""
    aim, last = AIM * budget, trials[-1]
    over = [trial for trial in trials if trial.drift > aim]
    under = [trial for trial in trials if trial.drift <= aim]
    if over and under:
        low, high = max(over, key=lambda t: t.strength), min(under, key=lambda t: t.strength)
        share = math.log(low.drift / aim) / max(math.log(low.drift / max(high.drift, 1e-12)), 1e-12)
        return low.strength * (high.strength / low.strength) ** min(max(share, 0.1), 0.9)
    if not math.isfinite(last.drift):
        return min(last.strength * 10, STRONGEST)
    slope = -1.0
    if len(trials) > 1 and math.isfinite(trials[-2].drift):
        slope = math.log(last.drift / trials[-2].drift) / math.log(last.strength / trials[-2].strength)
    factor = (last.drift / aim) ** (1 / max(-slope, 0.25))
    return min(max(last.strength * min(max(factor, 0.02), 50.0), WEAKEST), STRONGEST)


def within(trial: Trial, budget: float) -> bool:
    """Whether a trial leaves the margin that text which it was not measured on may need."""
    return trial.drift <= MOST * budget


def choose(trials: list[Trial], budget: float) -> Trial:
    """The most proficient trial within the budget; where there is none, the one that drifted least."""
    kept = [trial for trial in trials if within(trial, budget)]
    return max(kept, key=lambda t: (t.proficiency, -t.drift)) if kept else min(trials, key=lambda t: t.drift)


@dataclass(frozen=True)
class AutoSearch:
    """The search of one `Auto` entry of a config; its trials are runs like all others and are resumed like them."""

    work: Workspace
    name: str
    settings: Auto

    @property
    def _sign(self) -> int:
        """Turns the score of proficiency so that higher is better, and back."""
        return 1 if TASKS[self.work.experiment.evaluation.axes["proficiency"].task].higher_is_better else -1

    def run(self, learning_rate: float, strength: float, seed: int) -> Run:
        """The training run of one trial."""
        method = self.settings.at(strength, learning_rate)
        return Run(self.work, f"{self.name}/strength_{strength:.6g}", method, learning_rate, seed)

    def measure(self, learning_rate: float, strength: float) -> Trial:
        """Train, and measure drift on the first half of the held-out reference text and validation proficiency."""
        learning_rate, strength = float(f"{learning_rate:.3g}"), float(f"{strength:.3g}")
        run = self.run(learning_rate, strength, self.work.experiment.seeds[0])
        drift = self._drift(run, "first_half", slice(0, None, 2))
        scores = run.scores(validation=True)["proficiency"]
        trial = Trial(learning_rate, strength, drift, self._sign * scores.mean)
        log.info(
            f"{self.name}  lr {learning_rate:g} K-FAC strength {strength:g}: drift {drift:.2%} of at most "
            f"{self.settings.budget:.2%}, proficiency {scores.mean:.3f}"
        )
        return trial

    def _drift(self, run: Run, part: str, half: slice) -> float:
        def measure() -> dict[str, Any]:
            merged = run.method.merge(self.work.base.model, run.trained)
            return {"relative_drift": reference_drift(self.work, merged, half).relative_drift}

        return cached_json(run.folder / f"drift_{part}.json", measure)["relative_drift"]

    def found(self) -> tuple[Run, Search]:
        """(the chosen trial at the first seed, the search for the record)."""
        settings, work = self.settings, self.work
        rate = FIRST_RATE / work.base.model.config.hidden_size
        trials = search(self.measure, settings.budget, rate, settings.trials)
        chosen = choose(trials, settings.budget)
        run = self.run(chosen.learning_rate, chosen.strength, work.experiment.seeds[0])
        realised = self._drift(run, "second_half", slice(1, None, 2))
        where = f"lr {chosen.learning_rate:g} K-FAC strength {chosen.strength:g}"
        log.info(f"{self.name}  chosen {where}: drift {realised:.2%} on other text")
        return run, Search(
            budget=settings.budget,
            trials=tuple(
                record.Trial(
                    learning_rate=trial.learning_rate,
                    kfac_strength=trial.strength,
                    drift=trial.drift,
                    proficiency=self._sign * trial.proficiency,
                    chosen=trial == chosen,
                )
                for trial in trials
            ),
            realised_drift=realised,
            kept=realised <= settings.budget,
        )
