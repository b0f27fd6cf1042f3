"""`jaxft assess`: what a fine-tune of any trainer forgot, without a config."""

from __future__ import annotations

import re
from pathlib import Path

from experiments.base_model import Base, model_folder
from experiments.config import Axis, Evaluation, Experiment, Model, Reference, Source, Tuned
from experiments.data.sources import load_examples
from jaxft.data.tokenizer import load_tokenizer
from jaxft.llama.checkpoint import read_config

#: Longest row of reference text in tokens: longer texts are split.
LENGTH = 256
#: Longest text in tokens that is read whole: attention over more may not fit the memory.
LONGEST = 4096


def assessment(base: str, tuned: str, text: str | None, domain: str | None) -> Experiment:
    """The comparison of a base with one fine-tune of it.

    The reference text is the quickstart's, plus the file `text`. The axes are answers to the shipped statements and
    questions, rated by rules that read the replies of any chat model, and the loss on `text` and on `domain`. Without a
    domain there is no axis "proficiency". Texts of a loss are read whole up to `LONGEST` and the model's context, in
    batches of as many tokens as without long texts.
    """
    folder = model_folder(base)
    model = Model(folder=base, template="tokenizer" if load_tokenizer(folder).chat_template else "plain")
    context = read_config(folder).max_positions
    length = min(LENGTH, context)
    domains, texts = (tuple(Source(file) for file in (one,) if file is not None) for one in (domain, text))
    losses = [*(("proficiency", source) for source in domains), *(("text", source) for source in texts)]
    axes = {name: Axis("likelihood", source, source) for name, source in losses}
    axes |= {
        "safety": Axis("judged_safety", Source("safety", "test"), Source("safety", "validation")),
        "knowledge": Axis.embedded("knowledge"),
    }
    shipped = (Source("knowledge"), *(Source(name, limit=800) for name in ("safety", "general", "reading")))
    reader = Base(model)
    read = [len(reader.encode(example).tokens) for example in load_examples(source for _, source in losses)]
    row_length = min(max([length, *read]), context, LONGEST)
    return Experiment(
        name="assess_" + re.sub(r"\W+", "_", Path(tuned).name)[-48:],
        model=model,
        domain=domains,
        reference=Reference(sources=shipped + texts, length=length, batch_rows=8),
        evaluation=Evaluation(
            axes=axes, target=0.0, row_length=row_length, batch_size=max(1, 64 * length // row_length)
        ),
        methods={"tuned": Tuned(tuned)},
    )
