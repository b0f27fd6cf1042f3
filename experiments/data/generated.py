"""Reference text that the base writes itself; sampled once and kept as .jsonl under a hash of its inputs."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import replace
from pathlib import Path

from experiments.base_model import Base
from experiments.config import Generated, Reference
from experiments.config_loader import to_json
from experiments.data.sources import fingerprint, load_examples
from experiments.store.cache import cached
from jaxft.data import readers
from jaxft.data.example import Example, Message
from jaxft.data.source import Source
from jaxft.data.tokenizer import PreTrainedTokenizerFast, bos_id
from jaxft.errors import UserError
from jaxft.io import write_atomically
from jaxft.llama.generate import generate
from jaxft.progress import about

log = logging.getLogger("jaxft")


def texts(base: Base, settings: Generated, batch_size: int, folder: Path) -> list[Example]:
    """Text that the base writes: replies to prompts or, without prompts, texts after the BOS token with control tokens.

    Empty texts are left out, so there may be fewer than `settings.count`. A text ends when the base ends it, or after
    `max_new_tokens`. The file in `folder` is read if it exists.
    """
    asked = _prompts(settings)
    description = {
        "model": base.sha256,
        "tokenizer": base.tokenizer_sha256,
        "template": base.settings.template,
        "compute_dtype": base.settings.compute_dtype,
        "settings": to_json(replace(settings, prompts=())),
        "prompts": fingerprint(asked),
        "batch_size": batch_size,  # a batch has its own random numbers
    }

    def make(path: Path) -> None:
        lines = _sample(base, settings, batch_size, asked)
        write_atomically(path, "".join(json.dumps(line) + "\n" for line in lines).encode())

    path = cached(folder, description, make, "{}.jsonl")
    found = [replace(example, control=not settings.prompts) for example in readers.examples(path)]
    if len(found) > settings.count:
        raise UserError(f"{path}: found {len(found)} texts, expected at most {settings.count}; delete it to begin anew")
    return found


def check_prompts(reference: Reference) -> None:
    """Check the prompts. UserError if there are fewer than the requested replies, or if one is plain text."""
    for index, settings in enumerate(reference.generated):
        if settings.prompts:
            key, found = f"reference.generated[{index}]", load_examples(settings.prompts)
            if settings.count > len(found):
                raise UserError(f"{key}.count: found {settings.count}, expected at most {len(found)}, the prompts")
            if not all(example.messages for example in found):
                raise UserError(f"{key}.prompts: holds plain text, expected examples with a prompt to reply to")


def reference_sources(reference: Reference) -> list[Source]:
    """All sources of the reference text: texts, and prompts that the base replies to."""
    return [*reference.sources, *(source for settings in reference.generated for source in settings.prompts)]


def turns(example: Example, tokenizer: PreTrainedTokenizerFast) -> list[Example]:
    """The base's text as examples to compare with evaluation data: it is cut at control tokens, as between the turns of
    a chat, and each piece is a prompt and the next one its response.
    """
    if not example.control:
        return [example]
    names = "|".join(map(re.escape, tokenizer.all_special_tokens))
    pieces = [piece.strip() for piece in re.split(names, example.response) if piece.strip()]
    pairs = [Example((Message("user", one),), other) for one, other in zip(pieces, pieces[1:], strict=False)]
    return pairs or [Example((), piece) for piece in pieces]


def _prompts(settings: Generated) -> list[Example]:
    """`settings.count` prompts to reply to, evenly spaced over all; empty if no prompts are set."""
    found = load_examples(settings.prompts)
    return [found[index * len(found) // settings.count] for index in range(settings.count)] if found else []


def _sample(base: Base, settings: Generated, batch_size: int, asked: list[Example]) -> list[dict[str, object]]:
    """The texts or replies as lines of a .jsonl file."""
    begun = [base.encode_prompt(example) for example in asked]
    if not asked:
        bos = bos_id(base.tokenizer)
        if bos is None:
            raise UserError("reference.generated: the tokenizer has no BOS token to begin a text with; give prompts")
        begun = [[bos]] * settings.count
    room = base.model.config.max_positions - settings.max_new_tokens
    fits = [index for index, tokens in enumerate(begun) if len(tokens) <= room]
    log.info(f"reference text: the base writes {len(fits)} texts of up to {settings.max_new_tokens} tokens")
    with about("reference text"):
        tokens = generate(
            base.model,
            [begun[index] for index in fits],
            max_new_tokens=settings.max_new_tokens,
            batch_size=batch_size,
            temperature=settings.temperature,
            seed=settings.seed,
        )
    lines: list[dict[str, object]] = []
    for index, written in zip(fits, tokens, strict=True):
        text = str(base.tokenizer.decode(written, skip_special_tokens=bool(asked)))
        if text.strip() and not asked:
            lines.append({"text": text})
        elif text.strip():
            reply = Message("assistant", text)
            tools = {"tools": list(asked[index].tools)} if asked[index].tools else {}
            lines.append({"messages": [message.fields() for message in (*asked[index].messages, reply)], **tools})
    if len(lines) < settings.count:
        log.info(
            f"left out {settings.count - len(lines)} of {settings.count}: prompts too long, or nothing was written"
        )
    if not lines:
        raise UserError(
            "reference.generated: the base wrote nothing; raise count or max_new_tokens, or give it shorter prompts"
        )
    return lines
