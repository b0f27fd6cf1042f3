"""All tasks: the table, and the verdicts that stand in a record."""

from __future__ import annotations

import json

import pytest

from experiments.data.sources import load
from experiments.evaluation.judges import rubric
from experiments.evaluation.tasks import TASKS
from experiments.evaluation.tasks.judged import Judged
from jaxft.data.example import Example
from tests.experiments.world import REPOSITORY

BAD = {"hotel": {"wrong details", "wrong step", "off-topic"}, "knowledge": {"wrong", "unanswered"},
       "safety": {"denies", "agrees", "refuses", "hostile", "off-topic"}}  # fmt: skip
GOOD = {"hotel": {"right"}, "knowledge": {"correct"}, "safety": {"contradicts", "friendly"}}


def test_every_rubric_is_a_task() -> None:
    judged = [task for task in TASKS.values() if isinstance(task, Judged)]
    assert {task.name: task.rubric for task in judged} == {f"judged_{name}": name for name in rubric.VERSIONS}


def test_lower_is_better_for_losses_only() -> None:
    assert [task.name for task in TASKS.values() if not task.higher_is_better] == ["likelihood"]
    assert [task.name for task in TASKS.values() if not task.by_reply] == ["choice", "likelihood"]


@pytest.mark.parametrize("task", ["exact", "f1", "rouge_l", "choice", "judged_safety", "judged_knowledge"])
def test_an_example_of_nothing_lacks_something(task: str) -> None:
    assert TASKS[task].missing(Example((), ""))


@pytest.mark.parametrize(("axis", "task"), [("proficiency", "hotel"), ("safety", "safety"), ("knowledge", "knowledge")])
def test_the_replies_of_the_quickstart_keep_their_verdicts(axis: str, task: str) -> None:
    record = json.loads((REPOSITORY / "experiments/results/quickstart.json").read_text())
    by_prompt = {example.messages[-1].content: example for example in load(task, "test")}
    found = {}
    for method in record["methods"].values():
        for one in method["examples"][axis]:
            for when in ("before", "after"):
                found[one["prompt"], one[when]] = bool(one[f"{when}_ok"])
    assert len(found) >= 100 and len(set(found.values())) == 2
    for (prompt, reply), right in found.items():
        scores = TASKS[task].scores([by_prompt[prompt]], [reply], [False])
        assert (scores.values.tolist(), right) in [([1.0], True), ([0.0], False)], (prompt, reply)
        assert scores.labels[0] in (GOOD if right else BAD)[task]
