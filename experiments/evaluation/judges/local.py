"""A judge that runs locally: a Llama from any Hugging Face folder."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np

from experiments import config
from experiments.base_model import Base
from experiments.evaluation.judges import rubric
from experiments.evaluation.judges.base import Question
from experiments.evaluation.judges.remembering import Remembering
from experiments.evaluation.likelihood import continuation_scores
from jaxft.data.example import Example, Message
from jaxft.data.template import encode
from jaxft.errors import UserError
from jaxft.progress import tracked

VERSION = 1
ROWS = 8  # rows of a batch


class Local(Remembering):
    """Judge that answers with the label y that has the largest log p(y | question) - log p(y | empty question).

    Comparing likelihoods always gives a label, even for a model too small to write JSON. The second term removes the
    likelihood that a label has without the question (from its words, their number, its place in the list): PMI_DC,
    Holtzman et al. 2021 (arXiv:2104.08315). The empty question has the same rubric and kind, and no texts.
    """

    def __init__(self, settings: config.Judge, folder: Path, turned: bool = False) -> None:
        dtype = "float32" if jax.default_backend() == "cpu" else "bfloat16"
        self._base = Base(config.Model(folder=settings.folder, param_dtype=dtype, compute_dtype=dtype))
        self._template = "plain" if self._base.tokenizer.chat_template is None else "tokenizer"
        super().__init__(f"local {VERSION} {self._base.sha256}" + " turned" * turned, folder)
        self._turned = turned
        self._empty: dict[tuple[str, str], np.ndarray] = {}

    def ask(self, questions: Sequence[Question]) -> Iterator[tuple[int, str, str]]:
        for index, question in enumerate(tracked(questions, "verdicts", len(questions))):
            its = rubric.load(question.rubric)
            nothing = (its.name, its.kind(question))
            if nothing not in self._empty:
                empty = replace(question, prompt="", reference="", reply="")
                self._empty[nothing] = self._log_likelihoods(empty, its)
            gains = self._log_likelihoods(question, its) - self._empty[nothing]
            first, second = np.argsort(-gains)[:2]
            names = list(its.labels)
            lead = gains[first] - gains[second]
            yield index, names[first], f"{lead:.2f} nat before {names[second]}"

    def _log_likelihoods(self, question: Question, its: rubric.Rubric) -> np.ndarray:
        """log p of each label as the whole reply, end token included, in nat."""
        text = its.text(question, self._turned) + "\n\nAnswer with one label."
        examples = [Example((Message("user", text),), label) for label in its.labels]
        model, pairs = self._base.model, [self._pair(example) for example in examples]
        longest = max(len(asked) + len(label) for asked, label in pairs)
        if longest > model.config.max_positions:
            raise UserError(
                f"judge.folder: a question has {longest} tokens, the context of {self._base.folder} is "
                f"{model.config.max_positions}; choose a judge with a longer context"
            )
        return continuation_scores(model, None, pairs, batch_size=ROWS).sums

    def _pair(self, example: Example) -> tuple[np.ndarray, np.ndarray]:
        """The tokens of the question, and those of the label with the end token."""
        one = encode(example, self._base.tokenizer, self._template, self._base.config)
        return one.tokens[~one.weights.astype(bool)], one.tokens[one.weights.astype(bool)]
