"""The tasks that an axis can have. To add one, write a `Task` and add it to this table."""

from experiments.evaluation.tasks import agent, answers, choice, judged, knowledge, likelihood, safety
from experiments.evaluation.tasks.task import Task

TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        *agent.TASKS,
        knowledge.TASK,
        safety.TASK,
        *answers.TASKS,
        *judged.TASKS,
        choice.TASK,
        likelihood.TASK,
    )
}
