"""Multiple choice: the model chooses the option with the highest log-likelihood per character."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np

from experiments.evaluation.likelihood import continuation_scores
from experiments.evaluation.tasks.task import Score, Subject, Task
from jaxft.data.example import Example
from jaxft.data.source import Source
from jaxft.data.template import encode, encode_prompt
from jaxft.data.tokenizer import PreTrainedTokenizerFast
from jaxft.llama.config import LlamaConfig
from jaxft.llama.model import Adapters, Llama


class Choice(Task):
    """The model's reply is the option that `choose` finds."""

    by_reply: ClassVar[bool] = False

    def ask(
        self, subject: Subject, source: Source, examples: Sequence[Example]
    ) -> tuple[Sequence[str], Sequence[bool]]:
        base, model, adapters, evaluation = subject
        chosen = choose(model, adapters, examples, base.tokenizer, base.settings.template, evaluation.batch_size)
        return chosen, [False] * len(chosen)


def choose(
    model: Llama,
    adapters: Adapters | None,
    examples: Sequence[Example],
    tokenizer: PreTrainedTokenizerFast,
    template: str,
    batch_size: int,
) -> list[str]:
    """The option of each example with the largest (log p of the option after the prompt) / (its characters).

    This is acc_norm of EleutherAI's lm-evaluation-harness. It counts characters, not tokens, so that models with
    different tokenizers are comparable. The end token is left out, and so is the space that the template llama2 puts
    before it. A prompt that leaves no room for an option in the model's context loses its first tokens. A hash of
    prompt and option decides between equal scores, so the order of the options has no effect, and a model that finds
    all options equally likely is right only by chance.
    """
    options = [sorted(set(example.options)) for example in examples]
    pairs = [
        _pair(example, option, tokenizer, template, model.config)
        for example, some in zip(examples, options, strict=True)
        for option in some
    ]
    sums = continuation_scores(model, adapters, pairs, batch_size=batch_size).sums
    ends = np.cumsum([len(some) for some in options])[:-1]
    return [
        max(zip(some, scores, strict=True), key=lambda pair: (pair[1] / len(pair[0]), _lot(example, pair[0])))[0]
        for example, some, scores in zip(examples, options, np.split(sums, ends), strict=True)
    ]


def missing(example: Example) -> str:
    """The defect of an example's options, as in "the example has {missing}"; "" if they are usable."""
    if len(set(example.options)) < 2:
        return f"{len(set(example.options))} different options, and needs at least 2"
    if not all(option.strip() for option in example.options):
        return "an empty option"
    if example.response not in example.options:
        return f"no option that is its response {example.response[:60]!r}"
    return ""


def _pair(
    example: Example, option: str, tokenizer: PreTrainedTokenizerFast, template: str, model: LlamaConfig
) -> tuple[list[int], list[int]]:
    """The tokens of the prompt and of the option after it, without the end token."""
    prompt = encode_prompt(example, tokenizer, template, model)
    whole = replace(example, response=option, learn="last", response_learn=True)
    reply = encode(whole, tokenizer, template, model).tokens[len(prompt) :].tolist()
    return prompt, reply[:-1] if example.messages else reply


def _lot(example: Example, option: str) -> bytes:
    text = json.dumps([[(message.role, message.content) for message in example.messages], option])
    return hashlib.sha256(text.encode()).digest()


TASK = Choice("choice", lambda example, option: Score(float(option == example.response)), missing)
