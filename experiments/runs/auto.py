"""The method `Auto`: a search for the gradient projection with the best proficiency within a budget of drift.

At each learning rate, trials look for the weakest K-FAC strength whose drift is within the budget. The first rate suits
the model's width. Rates double as long as validation proficiency rises, or halve until some strength is within budget.
Trials measure drift on one half of the held-out reference text. The realised drift is that of the chosen trial on the
other half, which no decision used.
"""

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

#: The first learning rate times the width: Adam's best rate falls as 1 / width (Yang et al. 2022, arXiv:2203.03466).
FIRST_RATE = 1.0
FIRST_STRENGTH = 10.0
CLIMB = 2.0
#: Shares of the budget: a trial's maximum, the aim, and the least drift at which the search at a rate ends.
MOST, AIM, LEAST = 0.9, 0.7, 0.5
WEAKEST, STRONGEST = 1e-2, 1e5
PER_RATE = 5  # trials at one learning rate
#: If a strength at least JUMP times as high lowers drift by less than the factor (their ratio)^SHALLOW, the rest is
#: noise of the steps, which only a lower learning rate reduces.
SHALLOW, JUMP = 0.25, 5.0


class Trial(NamedTuple):
    """One training run of the search. proficiency: on validation data, with a sign that makes higher better."""

    learning_rate: float
    strength: float
    drift: float
    proficiency: float


def search(measure: Callable[[float, float], Trial], budget: float, rate: float, most: int) -> list[Trial]:
    """At most `most` trials, in order, starting at learning rate `rate`. measure(learning rate, strength) runs one."""
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
            step = 1 / CLIMB  # no strength is within the budget at this rate
            if at_rate[-1].strength >= STRONGEST:  # so start at the strongest at the next rate
                strength = STRONGEST
        elif step > 1 and best.learning_rate == trials[0].learning_rate:
            step, rate = 1 / CLIMB, best.learning_rate  # a higher rate was no better than the first: try lower
        else:
            break
        rate *= step
    return trials


def _at_rate(
    measure: Callable[[float, float], Trial], budget: float, rate: float, strength: float, most: int
) -> list[Trial]:
    """At most `most` trials at one learning rate, in search of the weakest strength within the budget."""
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
    """True if a much higher strength hardly lowered the drift, see SHALLOW."""
    if stronger.strength < JUMP * weaker.strength or not math.isfinite(weaker.drift):
        return False
    return stronger.drift > weaker.drift * (weaker.strength / stronger.strength) ** SHALLOW


def _next_strength(trials: list[Trial], budget: float) -> float:
    """The strength whose drift is the aim, by inter- or extrapolation of log drift as linear in log strength."""
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
    """True if the drift is at most MOST of the budget; the rest is a margin for other text."""
    return trial.drift <= MOST * budget


def choose(trials: list[Trial], budget: float) -> Trial:
    """The most proficient trial within the budget; if no trial is within it, the one with the least drift."""
    kept = [trial for trial in trials if within(trial, budget)]
    return max(kept, key=lambda t: (t.proficiency, -t.drift)) if kept else min(trials, key=lambda t: t.drift)


@dataclass(frozen=True)
class AutoSearch:
    """The search of one `Auto` method. Its trials are ordinary runs and are resumed like them."""

    work: Workspace
    name: str
    settings: Auto

    @property
    def _sign(self) -> int:
        """1, or -1 if lower proficiency scores are better."""
        return 1 if TASKS[self.work.experiment.evaluation.axes["proficiency"].task].higher_is_better else -1

    def run(self, learning_rate: float, strength: float, seed: int) -> Run:
        """The training run of one trial."""
        method = self.settings.at(strength, learning_rate)
        return Run(self.work, f"{self.name}/strength_{strength:.6g}", method, learning_rate, seed)

    def measure(self, learning_rate: float, strength: float) -> Trial:
        """Train; measure drift on the first half of the held-out reference text and proficiency on validation data."""
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
        """(the run of the chosen trial at the first seed, the search for the record)."""
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
