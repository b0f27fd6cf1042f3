"""What an axis can measure: generated replies under a deterministic rule, a choice, or the likelihood of a text."""

from experiments.tasks import exact, hotel, knowledge, safety

#: Rules (example, reply) -> right or wrong, by task name.
RULES = {"hotel": hotel.score, "knowledge": knowledge.score, "safety": safety.score, "exact": exact.score}
TASKS = (*RULES, "choice", "likelihood")
