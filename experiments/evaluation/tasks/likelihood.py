"""The likelihood of texts: the mean loss of a model on their learnt tokens."""

import logging
from typing import ClassVar

import numpy as np

from experiments.data.sources import load_examples
from experiments.evaluation.judges.base import Judge
from experiments.evaluation.likelihood import continuation_scores
from experiments.evaluation.scores import Scores
from experiments.evaluation.tasks.task import Subject, Task
from jaxft.data.source import Source
from jaxft.errors import UserError

log = logging.getLogger("jaxft")


class Likelihood(Task):
    """Mean -log p (nat/token) over the tokens of each text that training would learn; no reply is generated."""

    by_reply: ClassVar[bool] = False

    def measure(self, subject: Subject, source: Source, judge: Judge | None = None) -> Scores:
        """Loss and number of learnt tokens of each text, read in windows of a row; UserError for a text without one.

        The number of texts with several windows is logged: a later window does not see what is before it.
        """
        base, model, adapters, evaluation = subject
        examples = load_examples([source])
        limit = min(evaluation.row_length, model.config.max_positions)
        pairs: list[tuple[np.ndarray, np.ndarray]] = []
        owners: list[int] = []
        encoded = [base.encode(example) for example in examples]
        if cut := sum(len(one.tokens) - 1 > limit for one in encoded):
            longer = limit < model.config.max_positions
            log.info(
                f"{source.name}: {cut} of {len(examples)} texts have more than {limit} tokens, "
                + ("evaluation.row_length" if longer else "the context of the model")
                + ", and are read in windows that do not see what is before them"
                + "; a larger evaluation.row_length cuts fewer" * longer
            )
        for index, one in enumerate(encoded):
            if not one.weights.any():
                raise UserError(f"Example {index} (from 0) has no token to predict: its text is empty.")
            for start in range(0, len(one.tokens) - 1, limit):
                window, learnt = (a[start : start + limit + 1] for a in (one.tokens, one.weights))
                edges = np.flatnonzero(np.diff([0, *learnt[1:], 0])) + 1
                for begin, end in edges.reshape(-1, 2):  # one learnt message
                    pairs.append((window[:begin], window[begin:end]))
                    owners.append(index)
        scored = continuation_scores(model, adapters, pairs, batch_size=evaluation.batch_size, limit=limit)
        sums = np.bincount(owners, -scored.sums, minlength=len(examples))
        counts = np.bincount(owners, scored.counts, minlength=len(examples))
        return Scores(sums / counts, counts)


TASK = Likelihood("likelihood", metric="loss", unit="nat/token", higher_is_better=False)
