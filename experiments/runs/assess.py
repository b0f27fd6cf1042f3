"""`jaxft assess`: what a fine-tune of any trainer forgot, without a config."""

from __future__ import annotations

import re
from pathlib import Path

from experiments.base_model import model_folder
from experiments.config import Axis, Evaluation, Experiment, Model, Reference, Source, Tuned
from jaxft.data.tokenizer import load_tokenizer
from jaxft.llama.checkpoint import read_config

#: Longest row in tokens: longer texts are split.
LENGTH = 256


def assessment(base: str, tuned: str, text: str | None, domain: str | None) -> Experiment:
    """The comparison of a base with one fine-tune of it.

    The reference text is the quickstart's, plus the file `text`. The axes are answers to the shipped statements and
    questions, rated by rules that read the replies of any chat model, and the loss on `text` and on `domain`. Without a
    domain there is no axis "proficiency".
    """
    folder = model_folder(base)
    length = min(LENGTH, read_config(folder).max_positions)
    domains, texts = (tuple(Source(file) for file in (one,) if file is not None) for one in (domain, text))
    losses = [*(("proficiency", source) for source in domains), *(("text", source) for source in texts)]
    axes = {name: Axis("likelihood", source, source) for name, source in losses}
    axes |= {
        "safety": Axis("judged_safety", Source("safety", "test"), Source("safety", "validation")),
        "knowledge": Axis.embedded("knowledge"),
    }
    shipped = (Source("knowledge"), *(Source(name, limit=800) for name in ("safety", "general", "reading")))
    return Experiment(
        name="assess_" + re.sub(r"\W+", "_", Path(tuned).name)[-48:],
        model=Model(folder=base, template="tokenizer" if load_tokenizer(folder).chat_template else "plain"),
        domain=domains,
        reference=Reference(sources=shipped + texts, length=length, batch_rows=8),
        evaluation=Evaluation(axes=axes, target=0.0, row_length=length),
        methods={"tuned": Tuned(tuned)},
    )
