"""The tokenizer of a GGUF file, as a Hugging Face tokenizer.

Source: llama.cpp's `src/llama-vocab.cpp`, whose names for pre-tokenizers and token types these are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from jaxft.errors import UserError

#: Values of tokenizer.ggml.token_type. Control tokens are special; user-defined ones are found in text before merging.
CONTROL, USER_DEFINED = 3, 4
_KEY = "tokenizer.ggml"
_SPECIAL = {"bos_token": "bos", "eos_token": "eos", "unk_token": "unknown", "pad_token": "padding"}
_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def _split(numbers: str) -> pre_tokenizers.PreTokenizer:
    pattern = pre_tokenizers.Split(Regex(_CONTRACTIONS + numbers + _REST), "isolated")
    return pre_tokenizers.Sequence([pattern, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


#: Byte-level pre-tokenizers by their name in tokenizer.ggml.pre.
PRE_TOKENIZERS = {
    "llama-bpe": _split(r"|\p{N}{1,3}"),
    "qwen2": _split(r"|\p{N}"),
    "smollm": pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    ),
}


def read_tokenizer(path: Path, values: Mapping[str, Any], architecture: str) -> PreTrainedTokenizerFast:
    """The tokenizer described by the metadata `values` of the GGUF file `path`; UserError for an unknown kind."""
    kind, pre = values.get(f"{_KEY}.model"), values.get(f"{_KEY}.pre", "default")
    tokens = list(_value(path, values, "tokens"))
    if kind == "gpt2" and pre in PRE_TOKENIZERS:
        backend = _byte_level(tokens, _value(path, values, "merges"), pre)
    elif kind == "llama" and pre == "default":
        gemma = architecture.startswith("gemma")
        if gemma:  # llama.cpp spells a run of spaces as spaces
            tokens = ["\u2581" * len(token) if not token.strip(" ") else token for token in tokens]
        backend = _sentencepiece(path, tokens, values, gemma)
    else:
        known = ", ".join(f'"gpt2" with "{name}"' for name in PRE_TOKENIZERS)
        raise UserError(
            f'{path}: tokenizer "{kind}" with pre-tokenizer "{pre}" is not supported. Supported: {known}, and "llama".'
        )
    for index, (token, type_) in enumerate(zip(tokens, _value(path, values, "token_type"), strict=True)):
        if type_ in (CONTROL, USER_DEFINED) and token.strip("\u2581"):
            backend.add_tokens([AddedToken(token, normalized=False, special=type_ == CONTROL)])
            if backend.token_to_id(token) != index:
                raise UserError(f"{path}: token {token!r} is there twice, as {backend.token_to_id(token)} and {index}.")
    return _finished(path, backend, tokens, values, kind, pre)


def _byte_level(tokens: Sequence[str], merges: Sequence[str], pre: str) -> Tokenizer:
    pairs = [(left, right) for left, _, right in (merge.partition(" ") for merge in merges)]
    vocab = {token: index for index, token in enumerate(tokens)}
    backend = Tokenizer(models.BPE(vocab, pairs, ignore_merges=pre == "llama-bpe"))
    if pre == "qwen2":
        backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = PRE_TOKENIZERS[pre]
    backend.decoder = decoders.ByteLevel()
    return backend


def _sentencepiece(path: Path, tokens: Sequence[str], values: Mapping[str, Any], gemma: bool) -> Tokenizer:
    """Merges are derived: every split of a token into two tokens, best token first.

    The best token has the highest score; Gemma's scores do not follow the order of its merges, but the tokens do.
    """
    for key in (f"{_KEY}.precompiled_charsmap", f"{_KEY}.remove_extra_whitespaces"):
        if values.get(key):
            raise UserError(f"{path}: key {key} is set; this way of changing a text first is not supported.")
    vocab = {token: index for index, token in enumerate(tokens)}
    scores = range(0, -len(tokens), -1) if gemma else _value(path, values, "scores")
    merges = []
    for token, score in zip(tokens, scores, strict=True):
        splits = [(token[:cut], token[cut:]) for cut in range(1, len(token))]
        found = [(left, right) for left, right in splits if left in vocab and right in vocab]
        merges += [(-score, pair) for pair in sorted(found, key=lambda pair: (vocab[pair[0]], vocab[pair[1]]))]
    merges.sort(key=lambda merge: merge[0])
    unknown = tokens[values.get(f"{_KEY}.unknown_token_id", 0)]
    backend = Tokenizer(
        models.BPE(vocab, [pair for _, pair in merges], unk_token=unknown, fuse_unk=True, byte_fallback=True)
    )
    space, prefix = normalizers.Replace(" ", "\u2581"), values.get(f"{_KEY}.add_space_prefix", True)
    backend.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), space]) if prefix else space
    parts = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    backend.decoder = decoders.Sequence([*parts, decoders.Strip(" ", 1, 0)] if prefix else parts)
    return backend


def _finished(
    path: Path, backend: Tokenizer, tokens: Sequence[str], values: Mapping[str, Any], kind: str, pre: str
) -> PreTrainedTokenizerFast:
    """With special tokens, chat templates, and BOS before a text if the file asks for it."""
    named = {role: values.get(f"{_KEY}.{name}_token_id") for role, name in _SPECIAL.items()}
    for role, index in named.items():
        if index is not None and not 0 <= index < len(tokens):
            raise UserError(f"{path}: {role} is token {index}, but there are only {len(tokens)} tokens.")
    special: dict[str, Any] = {role: tokens[index] for role, index in named.items() if index is not None}
    add_bos = values.get(f"{_KEY}.add_bos_token", kind == "llama" or pre == "llama-bpe")
    if add_bos and "bos_token" in special:
        bos = special["bos_token"]
        backend.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, named["bos_token"])]
        )
    elif pre == "qwen2":
        special.pop("bos_token", None)  # Qwen's tokenizers have none; llama.cpp takes one from config.json
    template = values.get("tokenizer.chat_template")
    others = {name: values[f"tokenizer.chat_template.{name}"] for name in values.get("tokenizer.chat_templates", ())}
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        **special,
        add_bos_token=add_bos,
        chat_template={**({"default": template} if template else {}), **others} if others else template,
        clean_up_tokenization_spaces=False,
    )


def _value(path: Path, values: Mapping[str, Any], name: str) -> Any:
    if f"{_KEY}.{name}" not in values:
        raise UserError(f"{path}: key {_KEY}.{name} is missing.")
    return values[f"{_KEY}.{name}"]
