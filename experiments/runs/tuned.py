"""Fine-tunes that another trainer made: Hugging Face folders and peft adapters."""

from __future__ import annotations

import logging
from dataclasses import asdict
from pathlib import Path

from experiments.base_model import Base, model_folder
from experiments.config import Tuned
from jaxft.data.tokenizer import load_tokenizer
from jaxft.errors import UserError
from jaxft.io import expanded
from jaxft.llama import checkpoint
from jaxft.llama.config import LlamaConfig
from jaxft.llama.hf_json import read_json
from jaxft.llama.locate import locate
from jaxft.llama.model import Adapters, Llama
from jaxft.methods.peft import SETTINGS, adapter_hash, is_adapter, load_adapter, read_adapter

log = logging.getLogger("jaxft")

#: Fields of a LlamaConfig in which a fine-tune may differ from its base: they change no state of the same tokens.
MAY_DIFFER = {"bos_token", "end_tokens", "max_positions"}


def tuned_folder(settings: Tuned) -> Path:
    """The local folder of a fine-tune; an adapter is not merged."""
    folder = locate(expanded(settings.folder))
    return folder if is_adapter(folder) else model_folder(settings.folder)


def tuned_hash(settings: Tuned) -> str:
    """SHA-256 (hex) of the weights of a fine-tune, and of the settings of an adapter."""
    folder = tuned_folder(settings)
    return adapter_hash(folder) if is_adapter(folder) else checkpoint.content_hash(folder)


def check_tuned(key: str, settings: Tuned, base: Base, config: LlamaConfig) -> None:
    """UserError unless the fine-tune has the base's architecture and vocabulary. key: its place in a config."""
    folder, where = tuned_folder(settings), f"{key}.folder: {settings.folder}"
    if is_adapter(folder):
        read_adapter(folder, config)
        named = read_json(folder / SETTINGS).get("base_model_name_or_path")
        if named not in (base.settings.folder, base.address):
            log.info(
                f"{key}: the adapter names {named!r} as its base, and is measured on {base.settings.folder!r}; "
                "the numbers mean something only if both are the same model"
            )
    else:
        its, expected = asdict(checkpoint.read_config(folder)), asdict(config)
        differing = [name for name in expected if its[name] != expected[name] and name not in MAY_DIFFER]
        if differing:
            raise UserError(
                f"{where} is no fine-tune of model.folder, {base.settings.folder}: "
                + "; ".join(f"{name}: found {its[name]}, expected {expected[name]}" for name in differing)
            )
    if not (folder / "tokenizer.json").is_file():
        return
    tokenizer = load_tokenizer(folder)
    ours, theirs = ({index: token for token, index in one.get_vocab().items()} for one in (base.tokenizer, tokenizer))
    for index in range(config.vocab_size):
        if ours.get(index) != theirs.get(index):
            raise UserError(
                f"{where} has another vocabulary than model.folder, {base.settings.folder}: "
                f"token {index}: found {theirs.get(index)!r}, expected {ours.get(index)!r}"
            )
    if tokenizer.chat_template != base.tokenizer.chat_template:
        log.info(f"{key}: carries another chat template than the base; base and fine-tune are measured with the base's")


def load_tuned(settings: Tuned, base: Base) -> tuple[Llama, Adapters | None]:
    """The fine-tuned model: parameters and adapters. An adapter is one of this base."""
    folder = tuned_folder(settings)
    return (base.model, load_adapter(folder, base.model)) if is_adapter(folder) else (base.reload(folder), None)
