"""Tokenizers: read one from a Hugging Face folder, or train a small one.

No post-processor of a tokenizer is ever used: `jaxft.data.template` places BOS and EOS, so a model's input never
depends on `add_bos_token` or on the version of the tokenizer library.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

# Tokenizers need no PyTorch; without this line transformers prints on import that it is missing.
os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers  # noqa: E402
from transformers import PreTrainedTokenizerFast  # noqa: E402

from jaxft.errors import UserError  # noqa: E402
from jaxft.llama.config import LlamaConfig  # noqa: E402

ROLE_TOKENS = ("<|user|>", "<|assistant|>", "<|system|>")

SMALL_CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def load_tokenizer(folder: str | Path) -> PreTrainedTokenizerFast:
    """The tokenizer of a Hugging Face folder, exactly as its `tokenizer.json` defines it.

    `AutoTokenizer` is not used: transformers 5 rebuilds a Llama tokenizer from its vocabulary instead of reading the
    file and then loses leading spaces (" Hello" and "Hello" become the same token, unlike with Meta's own tokenizer).
    Nothing is downloaded and no code of the folder is run. Raises UserError if a file is missing or unreadable, or if
    the tokenizer has no EOS token.
    """
    folder = Path(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if not (folder / name).is_file():
            raise UserError(f"No tokenizer in {folder}: {name} is missing.\nGive a folder in Hugging Face layout.")
    try:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # tokenizers reports a malformed file as a bare Exception
        raise UserError(f"The tokenizer in {folder} cannot be read: {error}") from error
    eos_id(tokenizer)  # raises if the token is missing
    return tokenizer


def bos_id(tokenizer: PreTrainedTokenizerFast) -> int | None:
    """The token that begins every text; None if the tokenizer has none, as Qwen's."""
    return _id(tokenizer.bos_token, tokenizer)


def eos_id(tokenizer: PreTrainedTokenizerFast) -> int:
    """The token that ends a response if the chat template writes no other."""
    index = _id(tokenizer.eos_token, tokenizer)
    if index is None:
        raise UserError(
            f"The tokenizer {tokenizer.name_or_path or 'given'} has no EOS token.\n"
            "Name it in its tokenizer_config.json (eos_token)."
        )
    return index


def _id(token: object, tokenizer: PreTrainedTokenizerFast) -> int | None:
    index = tokenizer.convert_tokens_to_ids(token) if isinstance(token, str) else None
    return index if isinstance(index, int) else None


def check_rows(tokens: Sequence[int], tokenizer: PreTrainedTokenizerFast, model: LlamaConfig | None) -> None:
    """UserError for a token that has no row in the model's embedding."""
    if model and (index := max(tokens, default=0)) >= model.vocab_size:
        name = tokenizer.convert_ids_to_tokens(index)
        raise UserError(
            f"The token {name!r} has the id {index}, but the model's embedding has {model.vocab_size} rows. "
            "Tokenizer and model do not belong together."
        )


def train_tokenizer(
    texts: Iterable[str], vocab_size: int, chat_template: str = SMALL_CHAT_TEMPLATE
) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer of at most `vocab_size` tokens, special tokens included, on `texts`.

    Every string round-trips exactly, since all 256 bytes are tokens. Digits are always single tokens, and a word
    includes the space before it. The special tokens are <pad>, <s>, </s> and one token per chat role.
    Source of the method: Sennrich et al. 2016 (arXiv:1508.07909); on bytes: Radford et al. 2019 (GPT-2).
    """
    special = ["<pad>", "<s>", "</s>", *ROLE_TOKENS]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if vocab_size < len(special) + len(alphabet):
        least = len(special) + len(alphabet)
        raise UserError(f"vocab_size is {vocab_size}; bytes and special tokens alone need {least}.")
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        extra_special_tokens=list(ROLE_TOKENS),
        chat_template=chat_template,
        clean_up_tokenization_spaces=False,
    )
