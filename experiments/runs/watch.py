"""Evaluation while training: score every axis on a few validation examples, find the best step, decide when to stop."""

import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from experiments import config
from experiments.config import Evaluation
from experiments.evaluation.tasks import TASKS
from experiments.store.record.method import Means
from jaxft.distributed import agreed
from jaxft.errors import UserError
from jaxft.io import read_json_lines, write_atomically
from jaxft.training.watch import Seen

log = logging.getLogger("jaxft")

TARGET = "proficiency"


def rule(settings: config.Watch) -> str:
    """The rule for choosing the best step, in words for a record."""
    stop = f"; training stops after {settings.stop_after} in a row that are no better" if settings.stop_after else ""
    return (
        f"evaluated every {settings.every} steps and after the last on up to {settings.examples} validation examples "
        f"an axis; the best is the step with the highest {TARGET} among those whose every other axis lost at most "
        f"{100 * settings.budget:.3g} % of the base's score on the same examples, where there are none the step that "
        f"lost least, of equals the earlier{stop}; the weights of the {settings.keep} step are kept"
    )


def subset(evaluation: Evaluation) -> Evaluation:
    """The evaluation with at most `watch.examples` validation examples for each axis, evenly spaced over all."""
    assert evaluation.watch is not None
    examples = evaluation.watch.examples
    axes = {
        name: replace(axis, validation=replace(axis.validation, limit=min(examples, axis.validation.limit or examples)))
        for name, axis in evaluation.axes.items()
    }
    return replace(evaluation, axes=axes)


def losses(evaluation: Evaluation) -> frozenset[str]:
    """The axes on which lower is better."""
    return frozenset(name for name, axis in evaluation.axes.items() if not TASKS[axis.task].higher_is_better)


def lost(found: Means, base: Means, lower: frozenset[str]) -> float:
    """The largest loss on any axis except proficiency, as a fraction of the base's score: a rise on the axes in
    `lower`, else a fall. Negative if all axes improved, 0 if there are no others, infinite if a score is unknown."""
    return max((_lost(found[name], base[name], name in lower) for name in base if name != TARGET), default=0.0)


def _lost(found: float | None, before: float | None, lower: bool) -> float:
    if found is None or before is None:
        return math.inf
    fall = found - before if lower else before - found
    if before == 0:
        return math.inf if fall > 0 else 0.0
    return fall / abs(before)


def best(lines: Sequence[Means], base: Means, lower: frozenset[str], budget: float) -> int:
    """Index of the line with the best proficiency among those that `lost` at most `budget`. If there is none, of the
    line that lost least. Of equal lines it is the first."""

    def merit(line: Means) -> tuple[bool, float]:
        loss, target = lost(line, base, lower), line[TARGET]
        if loss > budget:
            return False, -loss
        if target is None:
            return True, -math.inf
        return True, -target if TARGET in lower else target

    return max(range(len(lines)), key=lambda index: merit(lines[index]))


@dataclass
class Watcher:
    """The `jaxft.training.watch.Watch` of one run. Each line of the file `path` is a JSON object with one evaluation.

    base: the base's means on the same examples; UserError if one is None. lower: axes on which lower is better.
    measure: trained parameters -> means by axis. All processes call it and use the leader's numbers. None after
    training, when lines are only read.
    """

    settings: config.Watch
    steps: int
    path: Path
    label: str
    base: Means
    lower: frozenset[str]
    measure: Callable[[Any], Means] | None
    lines: list[dict[str, Any]] = field(default_factory=list)  # means by axis, and "step"

    def __post_init__(self) -> None:
        if unknown := [name for name, mean in self.base.items() if mean is None]:
            raise UserError(
                f"evaluation.watch: the judge gave no verdict on any of the base's replies of {', '.join(unknown)}; "
                "raise evaluation.watch.examples, or mend the judge"
            )
        if agreed(self.path.is_file()):
            self._read()

    @property
    def keeps(self) -> bool:
        return self.settings.keep == "best"

    @property
    def kept(self) -> int:
        """The step whose weights are kept. Valid only after training."""
        return self.lines[self._best() if self.keeps else -1]["step"]

    def due(self, step: int) -> bool:
        return step > 0 and (step == self.steps or step % self.settings.every == 0)

    def resume(self, step: int, trainable: Any) -> Seen:
        if self.lines and self.lines[-1]["step"] > step:
            self._write([line for line in self.lines if line["step"] <= step])
        if self.due(step) and (not self.lines or self.lines[-1]["step"] < step):
            return self.look(step, trainable)
        return self._seen()

    def look(self, step: int, trainable: Any) -> Seen:
        assert self.measure is not None
        self._write([*self.lines, {"step": step, **self.measure(trainable)}])
        seen, line = self._seen(), self.lines[-1]
        scores = "  ".join(f"{name} {'-' if line[name] is None else format(line[name], '.3f')}" for name in self.base)
        marks = ", best yet" * (seen.best == step) + ", training stops" * seen.stop
        loss = lost(line, self.base, self.lower)
        log.info(f"{self.label}  step {step}/{self.steps}  {scores}  lost {max(loss, 0):.2%}{marks}")
        return seen

    def _seen(self) -> Seen:
        if not self.lines:
            return Seen(None, False)
        index, patience = self._best(), self.settings.stop_after
        return Seen(self.lines[index]["step"], bool(patience) and len(self.lines) - 1 - index >= patience)

    def _best(self) -> int:
        return best(self.lines, self.base, self.lower, self.settings.budget)

    def _write(self, lines: Sequence[Mapping[str, Any]]) -> None:
        write_atomically(self.path, "".join(json.dumps(line) + "\n" for line in lines).encode())
        self._read()  # all processes decide by the leader's numbers

    def _read(self) -> None:
        try:
            self.lines = [line for _, line in read_json_lines(self.path)]
        except UserError as error:
            raise UserError(f"{error}; delete the folder to train anew") from error
