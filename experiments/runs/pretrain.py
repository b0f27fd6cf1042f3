"""`jaxft pretrain`: train a small base model from random weights and save it in Hugging Face layout."""

from __future__ import annotations

import logging
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from flax import nnx

from experiments.base_model import Base, compute_settings
from experiments.config import Experiment
from experiments.data.sources import load_examples
from experiments.evaluation.evaluate import measure_axes
from experiments.runs.checks import check_fit, check_settings
from jaxft.data.tokenizer import bos_id, eos_id, train_tokenizer
from jaxft.distributed import check_same
from jaxft.errors import UserError
from jaxft.io import write_json
from jaxft.llama.checkpoint import save
from jaxft.llama.config import LlamaConfig
from jaxft.llama.hf_config import config_json
from jaxft.llama.model import Llama
from jaxft.methods import Full
from jaxft.training.loop import train

log = logging.getLogger("jaxft")


def pretrain(experiment: Experiment, command: str) -> dict[str, float]:
    """Train and save a tokenizer and a model; the mean test score of every axis. UserError if the output exists."""
    shape = experiment.pretrain
    if shape is None:
        raise UserError("pretrain: this config sets no `pretrain`; see configs/tiny_base.py")
    check_settings(experiment)
    output = Path(shape.output)
    if output.exists():
        raise UserError(f"{output}: exists already; give another folder with --pretrain.output")
    began = time.perf_counter()
    examples = load_examples(experiment.domain)
    texts = [text for e in examples for text in (*(m.content for m in e.messages), e.response)]
    tokenizer = train_tokenizer(texts, shape.vocab_size)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_layers=shape.num_layers,
        num_heads=shape.num_heads,
        num_kv_heads=shape.num_kv_heads,
        head_dim=shape.hidden_size // shape.num_heads,
        max_positions=shape.max_positions,
        tied_head=True,
        bos_token=bos_id(tokenizer) or 0,
        end_tokens=(eos_id(tokenizer),),
    )
    check_fit(experiment, config)
    seed = experiment.seeds[0]
    model = Llama(config, rngs=nnx.Rngs(seed), compute=compute_settings(experiment.model, config))
    log.info(
        f"{config.parameter_count:,} parameters, {len(tokenizer)} tokens in the vocabulary, {len(examples)} examples"
    )
    with tempfile.TemporaryDirectory() as scratch:
        tokenizer.save_pretrained(scratch)
        (Path(scratch) / "config.json").write_text(config_json(config, "float32"), encoding="utf-8")
        base = Base(replace(experiment.model, folder=scratch))
        check_same({"tokenizer": base.tokenizer_sha256})  # every process has trained its own tokenizer
        rows = base.pack(examples, experiment.training.row_length, experiment.training.on_long)
        method = Full()
        trained = train(
            method, experiment.training, shape.learning_rate, model, None, rows, seed=seed, label="pretrain"
        )
        model = method.merge(model, trained.trainable)
        scores = measure_axes(base, model, None, experiment.evaluation, validation=False)
        save(model, output, like=Path(scratch))
    results = {name: axis.mean for name, axis in scores.items()}
    provenance = {
        "command": command,
        "seed": seed,
        "seconds": round(time.perf_counter() - began, 1),
        "parameters": config.parameter_count,
        "test": results,
    }
    write_json(output / "provenance.json", provenance)
    return results
