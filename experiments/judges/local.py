"""A judge that jaxft runs itself: any Hugging Face folder of a Llama."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np

from experiments.judges import rubric
from experiments.judges.base import Question
from experiments.judges.remembering import Remembering
from experiments.setup import Base
from jaxft import config
from jaxft.data.batches import FIELDS
from jaxft.data.example import Example, Message
from jaxft.data.packing import pack
from jaxft.data.template import Encoded, encode
from jaxft.distributed import whole
from jaxft.errors import UserError
from jaxft.llama.model import forward
from jaxft.sharding import put_rows
from jaxft.training.step import token_losses

VERSION = 1
BUCKET = 128  # questions are padded to a multiple of this many tokens, so that few shapes are compiled
ROWS = 8  # rows of a batch

_losses = jax.jit(
    lambda model, batch: token_losses(
        forward(model, batch["tokens"], batch["positions"], batch["segments"]), batch["targets"], batch["weights"]
    )
)


class Local(Remembering):
    """Answers with the label y that gains most from the question: log p(y | question) - log p(y | empty question).

    Comparing likelihoods always gives one of the labels, also of a model too small to write JSON. The second term takes
    out what the label's words, their number and their place in the list are worth by themselves: PMI_DC of Holtzman et
    al. 2021 (arXiv:2104.08315). The empty question has the same rubric and kind, and no texts.
    """

    def __init__(self, settings: config.Judge, folder: Path, turned: bool = False) -> None:
        dtype = "float32" if jax.default_backend() == "cpu" else "bfloat16"
        self._base = Base(config.Model(folder=settings.folder, param_dtype=dtype, compute_dtype=dtype))
        self._template = "plain" if self._base.tokenizer.chat_template is None else "tokenizer"
        super().__init__(f"local {VERSION} {self._base.sha256}" + " turned" * turned, folder, self._answers)
        self._turned = turned
        self._empty: dict[tuple[str, str], np.ndarray] = {}

    def _answers(self, questions: Sequence[Question]) -> Iterator[tuple[int, str, str]]:
        for index, question in enumerate(questions):
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
        encoded = [
            encode(Example((Message("user", text),), label), self._base.tokenizer, self._template)
            for label in its.labels
        ]
        return -np.concatenate([self._sums(encoded[i : i + ROWS]) for i in range(0, len(encoded), ROWS)])

    def _sums(self, encoded: Sequence[Encoded]) -> np.ndarray:
        """The summed loss of each text's weighted tokens, in nat."""
        model, longest = self._base.model, max(len(one.tokens) for one in encoded)
        if longest > model.config.max_positions:
            raise UserError(
                f"judge.folder: a question has {longest} tokens, the context of {self._base.folder} is "
                f"{model.config.max_positions}; choose a judge with a longer context"
            )
        width = min(-(-longest // BUCKET) * BUCKET, model.config.max_positions)
        rows = [pack([one], width, "error") for one in encoded]
        fill = ((0, ROWS - len(rows)), (0, 0))
        batch = {f: np.pad(np.concatenate([getattr(row, f) for row in rows]), fill) for f in FIELDS}
        return whole(_losses(model, put_rows(batch, model.compute.layout))).sum(axis=1)[: len(rows)]
