"""What an axis can measure: generated replies under a deterministic rule, or the likelihood of a text."""

from experiments.tasks import hotel, knowledge, safety

#: Rules (example, reply) -> right or wrong, by task name.
RULES = {"hotel": hotel.score, "knowledge": knowledge.score, "safety": safety.score}
TASKS = (*RULES, "likelihood")
