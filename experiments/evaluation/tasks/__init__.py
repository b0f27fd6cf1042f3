"""What an axis can measure: replies under a deterministic rule, their likeness to right answers, a judge's verdicts on
them, a choice, or the likelihood of a text."""

from experiments.evaluation.tasks import hotel, knowledge, restaurant, safety, telephone
from experiments.evaluation.tasks.answers import LIKENESS
from experiments.evaluation.tasks.judged import RUBRICS

#: Rules (example, reply) -> right or wrong, by task name; each reads keys that its own corpus carries.
RULES = {
    "hotel": hotel.score,
    "restaurant": restaurant.score,
    "telephone": telephone.score,
    "knowledge": knowledge.score,
    "safety": safety.score,
}
#: Tasks whose score is right or wrong; the others' is a degree or a loss.
BINARY = (*RULES, "exact", "choice", *RUBRICS)
TASKS = (*RULES, *LIKENESS, *RUBRICS, "choice", "likelihood")
#: Tasks that a model known by its replies alone can be measured on.
BY_REPLY = (*RULES, *LIKENESS, *RUBRICS)
