"""The base model that every verb starts from, with its tokenizer."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
from jax.sharding import NamedSharding

from experiments.config import Model
from jaxft.data.chat_template import DATE, reads_clock
from jaxft.data.example import Example
from jaxft.data.packing import Rows, TooLong, pack
from jaxft.data.template import Encoded, encode, encode_prompt
from jaxft.data.tokenizer import PreTrainedTokenizerFast, eos_id, load_tokenizer
from jaxft.errors import require
from jaxft.io import expanded
from jaxft.llama import checkpoint
from jaxft.llama.attention import choose_attention
from jaxft.llama.config import LlamaConfig
from jaxft.llama.locate import locate, on_hub
from jaxft.llama.model import Compute, Llama
from jaxft.llama.sharding import parameter_spec
from jaxft.methods.merged import base_of, merged_folder
from jaxft.methods.peft import is_adapter
from jaxft.sharding import LAYOUTS, on_mesh

log = logging.getLogger("jaxft")


def model_folder(name: str) -> Path:
    """The Hugging Face folder that a config or a command names, with ~ and $VARIABLES expanded, as `locate` finds it.

    A peft adapter is merged into the base that it names.
    """
    folder = locate(expanded(name))
    return merged_folder(folder, model_folder(base_of(folder))) if is_adapter(folder) else folder


def compute_settings(model: Model, shape: LlamaConfig, platform: str | None = None) -> Compute:
    """The forward-pass settings of a model of this shape on "cpu", "gpu" or "tpu" (None: the attached platform)."""
    platform = platform or jax.default_backend()
    return Compute(
        dtype=model.compute_dtype,
        remat=model.remat,
        scan=model.scan,
        # XLA on CPU copies a layer's weights and cache at every turn of a scan; unrolled, weights are copied once.
        unroll_decoding=platform == "cpu",
        layout=LAYOUTS[model.sharding.preset],
        attention=choose_attention(model.attention, platform, shape),
    )


@dataclass(frozen=True)
class Base:
    """The base model of an experiment; costly parts are read at first use."""

    settings: Model

    @property
    def folder(self) -> Path:
        return model_folder(self.settings.folder)

    @property
    def address(self) -> str:
        """The base as other programs find it: the id on the Hub that the config names, else its absolute folder."""
        hub = on_hub(expanded(self.settings.folder))
        return hub["repo"] if hub and not hub["revision"] else os.path.abspath(self.folder)

    @cached_property
    def model(self) -> Llama:
        model = self.reload(self.folder)
        log.info(f"attention kernel: {model.compute.attention}")
        return model

    @cached_property
    def config(self) -> LlamaConfig:
        return checkpoint.read_config(self.folder)

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerFast:
        """The tokenizer, with the chat template that the settings choose if it carries several."""
        tokenizer, name = load_tokenizer(self.folder), self.settings.chat_template
        found: Any = tokenizer.chat_template
        known = found if isinstance(found, dict) else {"": found}
        wanted = name or ("default" if isinstance(found, dict) else "")
        if name or self.settings.template == "tokenizer":
            expected = f"one of {', '.join(map(repr, known))}, the chat templates of {self.folder}"
            require(wanted in known, "model.chat_template", name, expected)
        tokenizer.chat_template = known.get(wanted)
        return tokenizer

    @cached_property
    def sha256(self) -> str:
        return checkpoint.content_hash(self.folder)

    @cached_property
    def tokenizer_sha256(self) -> str:
        """SHA-256 of all that decides how a text becomes tokens and where a reply ends: vocabulary, special tokens,
        chat template with its date, end tokens."""
        tokenizer, ends = self.tokenizer, self.config.end_tokens
        parts = [tokenizer.backend_tokenizer.to_str(), tokenizer.special_tokens_map, tokenizer.chat_template]
        parts += [sorted(ends)] if ends != (eos_id(tokenizer),) else []
        parts += [str(DATE)] if reads_clock(tokenizer) else []
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()

    @property
    def description(self) -> dict[str, Any]:
        """The base model's entry in a record."""
        return {
            "folder": self.settings.folder,
            "sha256": self.sha256,
            "tokenizer_sha256": self.tokenizer_sha256,
            "parameters": self.model.config.parameter_count,
            "dtype": ", ".join(sorted(set(checkpoint.stored_dtypes(self.folder).values()))),
        }

    def reload(self, folder: Path) -> Llama:
        """Another checkpoint of the same architecture, under the same settings."""
        compute = compute_settings(self.settings, checkpoint.read_config(folder))

        def sharding(owner: str, name: str) -> NamedSharding:
            return NamedSharding(jax.sharding.get_mesh(), parameter_spec(compute.layout, owner, name, "hidden"))

        return checkpoint.load(
            folder, dtype=self.settings.param_dtype, compute=compute, sharding=sharding if on_mesh() else None
        )

    def encode(self, example: Example) -> Encoded:
        """Tokens and weights of an example under the experiment's template."""
        return encode(example, self.tokenizer, self.settings.template, self.config)

    def encode_prompt(self, example: Example) -> list[int]:
        """The tokens of an example's prompt under the experiment's template."""
        return encode_prompt(example, self.tokenizer, self.settings.template, self.config)

    def pack(self, examples: Sequence[Example], length: int, on_long: str, unlabelled: bool = False) -> Rows:
        """Encode under the experiment's template and pack as `jaxft.data.packing.pack`; log what was left out."""
        encoded = [self.encode(example) for example in examples]
        try:
            rows = pack(encoded, length, on_long, unlabelled)
        except TooLong as error:
            raise TooLong(f"training.row_length: {error}") from error
        if rows.dropped:
            log.info(f"left out {rows.dropped} of {len(examples)} examples that are longer than {length} tokens")
        if rows.unlabelled:
            log.info(f"left out {rows.unlabelled} examples or windows of {length} tokens in which nothing is learnt")
        return rows
