"""Evaluation while training: the rule for the best step, and what a run makes of it. Kills: test_watch_resume.py."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.config import Evaluation, Watch
from experiments.config_loader import load_experiment
from experiments.evaluation.evaluate import measure_axes
from experiments.evaluation.scores import means
from experiments.runs import run as run_module
from experiments.runs.run import Run
from experiments.runs.watch import best, lost, rule, subset
from experiments.runs.workspace import Workspace
from jaxft.errors import UserError
from tests.experiments.runs.watched import BASE, LAST, WATCH, assert_same, watcher

SCORE = st.none() | st.integers(0, 4).map(lambda n: n / 4)
LINE = st.fixed_dictionaries({"proficiency": SCORE, "safety": SCORE, "story": SCORE})
FULL = {"proficiency": 0.25, "safety": 0.5, "story": 0.5}
LOWER = frozenset({"story"})


@pytest.mark.parametrize(
    ("found", "loss"),
    [
        ({"safety": 0.4, "story": 1.0}, 0.2),  # a fall of a fraction
        ({"safety": 0.5, "story": 1.3}, 0.3),  # a rise of a loss
        ({"safety": 0.6, "story": 1.1}, 0.1),  # one gained, the other lost
        ({"safety": 0.6, "story": 0.9}, -0.1),
        ({"safety": None, "story": 1.0}, math.inf),
    ],
)
def test_what_was_lost(found, loss) -> None:
    base = {"proficiency": 0.1, "safety": 0.5, "story": 1.0}
    assert lost({"proficiency": 0.0, **found}, base, LOWER) == pytest.approx(loss)


def test_a_base_of_zero_has_nothing_to_lose() -> None:
    base = {"proficiency": 0.0, "safety": 0.0}
    assert lost({"proficiency": 0.0, "safety": 0.3}, base, frozenset()) == 0
    assert lost({"proficiency": 0.0}, {"proficiency": 0.0}, frozenset()) == 0  # no other axis


@given(table=st.lists(LINE, min_size=1, max_size=6), budget=st.sampled_from([0.0, 0.5, 1.0]), falls=st.booleans())
def test_the_best_step_by_the_words_of_the_rule(table, budget, falls) -> None:
    lower = LOWER | {"proficiency"} if falls else LOWER
    chosen = best(table, FULL, lower, budget)
    loss = [lost(line, FULL, lower) for line in table]
    within = [i for i in range(len(table)) if loss[i] <= budget]
    if not within:
        assert chosen == loss.index(min(loss))
    else:
        known = [table[i]["proficiency"] for i in within if table[i]["proficiency"] is not None]
        wanted = (min(known) if falls else max(known)) if known else None
        assert chosen == next(i for i in within if table[i]["proficiency"] == wanted)


@given(table=st.lists(LINE, min_size=2, max_size=6), budget=st.sampled_from([0.0, 0.5]))
def test_one_kept_step_is_enough(table, budget) -> None:
    """Another line makes itself the best or leaves the best as it was: no older weights are ever wanted again."""
    assert best(table, FULL, LOWER, budget) in (best(table[:-1], FULL, LOWER, budget), len(table) - 1)


def test_the_part_that_is_evaluated(world) -> None:
    evaluation = load_experiment(world.config).evaluation
    limits = {
        examples: [axis.validation.limit for axis in subset(watched(evaluation, examples=examples)).axes.values()]
        for examples in (1, 3)
    }
    assert limits == {1: [1, 1, 1], 3: [3, 2, 3]}  # safety has 2 for validation
    assert [axis.source for axis in subset(watched(evaluation)).axes.values()] == [
        axis.source for axis in evaluation.axes.values()
    ]


def watched(evaluation: Evaluation, **changes: Any) -> Evaluation:
    return replace(evaluation, watch=replace(Watch(every=2, examples=2), **changes))


def test_what_cannot_be_gone_on_from(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no verdict on any of the base's replies of safety; raise evaluation.watch.ex"):
        replace(watcher(tmp_path), base={**BASE, "safety": None})
    (tmp_path / "watch.jsonl").write_text('{"step": 2\n')
    with pytest.raises(UserError, match=r"watch.jsonl, line \d is not JSON: .*; delete the folder to train anew"):
        watcher(tmp_path)


@pytest.fixture(scope="module")
def runs(world, tmp_path_factory) -> Any:
    """run(settings of the watch) -> LoRA in a world of two axes, in a folder of its own."""
    experiment = load_experiment(world.config, ["--training.steps", "3", "--methods.lora.targets", "('q', 'down')"])
    evaluation = experiment.evaluation
    axes = {name: evaluation.axes[name] for name in ("proficiency", "knowledge")}

    def run(watch: Watch | None) -> Run:
        changed = replace(experiment, reference=None, evaluation=replace(evaluation, axes=axes, watch=watch))
        return Run(Workspace(changed, tmp_path_factory.mktemp("out")), "lora", experiment.methods["lora"], 1e-2, 0)

    return run


def test_a_run_records_what_it_saw(runs, monkeypatch) -> None:
    plain, looking = runs(None), runs(Watch(every=2, examples=2))
    assert_same(looking.trained, plain.trained)
    result = looking.result()
    assert [line["step"] for line in result["watched"]] == [2, 3] and result["kept_step"] == 3
    work = looking.work
    scores = measure_axes(work.base, *looking.assembled, work.watched, work.judge, validation=True)
    assert {"step": 3, **means(scores)} == result["watched"][-1]
    assert len(scores["proficiency"].values) == len(scores["knowledge"].values) == 2
    assert work.watched_base.keys() == {"proficiency", "knowledge"}
    assert not plain.result().keys() & {"watched", "kept_step"}
    monkeypatch.setattr(run_module, "measure_axes", None)
    read_back = Run(Workspace(work.experiment, work.out), "lora", looking.method, 1e-2, 0)
    assert_same(read_back.trained, plain.trained)


def test_what_decides_the_weights_decides_the_identity(runs) -> None:
    looking = Watch(every=2, examples=2)
    assert runs(None).identity == runs(looking).identity == runs(replace(looking, examples=1)).identity
    deciding = replace(looking, keep="best")
    others = [replace(deciding, **{key: 1}) for key in ("every", "examples", "budget", "stop_after")]
    found = [runs(settings).identity["watch"] for settings in (deciding, *others, replace(looking, stop_after=1))]
    assert len(set(found)) == 6 and runs(deciding).identity["watch"] == found[0]


def test_the_rule_in_words() -> None:
    assert "lost at most 40 % of the base's score" in rule(WATCH) and "stops" not in rule(WATCH)
    assert "training stops after 3 in a row" in rule(replace(LAST, stop_after=3))
    assert rule(LAST).endswith("the weights of the last step are kept")
