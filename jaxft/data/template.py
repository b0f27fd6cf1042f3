"""Encoding of examples as tokens and weights: chat templates, BOS, EOS, the boundary between prompt and response."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float32, Int32
from jinja2 import TemplateError

from jaxft.bounds import fit
from jaxft.data.example import Example, Message
from jaxft.data.tokenizer import PreTrainedTokenizerFast, bos_id, eos_id
from jaxft.errors import UserError


@dataclass(frozen=True, eq=False)
class Encoded:
    """One example as the model reads it: BOS, prompt, response, EOS; a plain text is BOS and the text.

    weights[i] is 1 if token i is to be predicted (the response and EOS; of a plain text all but BOS), else 0.
    """

    tokens: Int32[np.ndarray, " tokens"]
    weights: Float32[np.ndarray, " tokens"]


class _Rendered(NamedTuple):
    """A prompt and its reply: the tokens of finished turns, then text that is tokenised as one piece."""

    history: list[int]
    prompt: str
    reply: str
    parse_special: bool  # True: names of special tokens in the text mean those tokens


def encode(example: Example, tokenizer: PreTrainedTokenizerFast, template: str) -> Encoded:
    """Tokens and weights of an example; they begin with `encode_prompt(example, tokenizer, template)`.

    template: "tokenizer" is the chat template that the tokenizer carries, "llama2" the format of Meta's reference code,
    "plain" joins the contents with newlines; a plain text is the same under all. Names of special tokens inside the
    data never become those tokens ("tokenizer" refuses them), except for a plain text with `control`. UserError for
    such a refusal, for a template that is unknown or cannot express the messages, and for an example without a
    response, which is for evaluation alone.
    """
    if example.messages and not example.response:
        text = example.messages[-1].content
        raise UserError(f"An example has no response to learn: {text[:60]!r}.\nIts source is for evaluation alone.")
    rendered = _render(example, tokenizer, template)
    prompt, response = _prompt_tokens(rendered, tokenizer), _response_tokens(rendered, tokenizer)
    if example.messages:
        response = _ended(response, eos_id(tokenizer))
    weights = np.zeros(len(prompt) + len(response), np.float32)
    weights[len(prompt) :] = 1
    return Encoded(np.array(prompt + response, np.int32), weights)


def encode_prompt(example: Example, tokenizer: PreTrainedTokenizerFast, template: str) -> list[int]:
    """The tokens of the prompt, which the response follows; BOS alone for a plain text. Errors as in `encode`."""
    return _prompt_tokens(_render(example, tokenizer, template), tokenizer)


def _prompt_tokens(rendered: _Rendered, tokenizer: PreTrainedTokenizerFast) -> list[int]:
    return rendered.history + _tokens(rendered.prompt, tokenizer, rendered.parse_special)


def _response_tokens(rendered: _Rendered, tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """The reply's tokens, tokenised in the context of the prompt (no space is put before its first word)."""
    prompt = _tokens(rendered.prompt, tokenizer, rendered.parse_special)
    whole = _tokens(rendered.prompt + rendered.reply, tokenizer, rendered.parse_special)
    if whole[: len(prompt)] == prompt:
        return whole[len(prompt) :]
    # A token spans the boundary. In generation the prompt is tokenised alone, so the reply is too.
    return _tokens(rendered.reply, tokenizer, rendered.parse_special)


def _ended(reply: list[int], eos: int) -> list[int]:
    """The reply up to its first EOS, added if missing; some chat templates write an EOS and then a newline."""
    return reply[: reply.index(eos) + 1] if eos in reply else [*reply, eos]


def _tokens(text: str, tokenizer: PreTrainedTokenizerFast, parse_special: bool = False) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False, split_special_tokens=not parse_special)


def _render(example: Example, tokenizer: PreTrainedTokenizerFast, template: str) -> _Rendered:
    render = TEMPLATES[fit(template, Template, "template")]
    if not example.messages:
        return _Rendered([bos_id(tokenizer)], "", example.response, parse_special=example.control)
    return render(example, tokenizer)


def _render_plain(example: Example, tokenizer: PreTrainedTokenizerFast) -> _Rendered:
    prompt = "".join(f"{message.content}\n" for message in example.messages)
    return _Rendered([bos_id(tokenizer)], prompt, example.response, parse_special=False)


def _render_tokenizer(example: Example, tokenizer: PreTrainedTokenizerFast) -> _Rendered:
    if tokenizer.chat_template is None:
        raise UserError(
            f"The tokenizer {tokenizer.name_or_path or 'given'} has no chat template, and the data has messages.\n"
            "Choose the template llama2 or plain, or add chat_template to its tokenizer_config.json."
        )
    turns = [{"role": message.role, "content": message.content} for message in example.messages]
    answer = {"role": "assistant", "content": example.response}
    for text in (turn["content"] for turn in [*turns, answer]):
        token = next((token for token in tokenizer.all_special_tokens if token in text), None)
        if token:
            raise UserError(f"A message contains {token}, a control token of the tokenizer: {text[:60]!r}.\nRemove it.")
    try:
        prompt = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        whole = tokenizer.apply_chat_template([*turns, answer], tokenize=False)
    except TemplateError as error:
        roles = _roles(example.messages)
        raise UserError(f"The tokenizer's chat template refuses the messages ({roles}): {error}") from error
    assert isinstance(prompt, str) and isinstance(whole, str)
    if not whole.startswith(prompt):
        raise UserError("The tokenizer's chat template writes a prompt differently once the reply is there.")
    history = [] if prompt.startswith(str(tokenizer.bos_token)) else [bos_id(tokenizer)]
    return _Rendered(history, prompt, whole[len(prompt) :], parse_special=True)


def _render_llama2(example: Example, tokenizer: PreTrainedTokenizerFast) -> _Rendered:
    """Llama-2 chat, as in `Llama.chat_completion` of github.com/meta-llama/llama.

    Each turn has its own BOS; a reply has a space on both sides; the system message is part of the first user message.
    """
    messages = list(example.messages)
    if messages[0].role == "system" and len(messages) > 1:
        system = f"<<SYS>>\n{messages[0].content}\n<</SYS>>\n\n"
        messages[:2] = [Message(messages[1].role, system + messages[1].content)]
    if [m.role for m in messages] != ["user", "assistant"] * (len(messages) // 2) + ["user"]:
        raise UserError(
            f"The template llama2 cannot express the messages ({_roles(example.messages)}).\n"
            "They are: at most one system message, then user and assistant in turn, the last one from the user."
        )
    history = []
    for user, assistant in zip(messages[0:-1:2], messages[1::2], strict=True):
        turn = f"[INST] {user.content.strip()} [/INST] {assistant.content.strip()} "
        history += [bos_id(tokenizer), *_tokens(turn, tokenizer), eos_id(tokenizer)]
    prompt = f"[INST] {messages[-1].content.strip()} [/INST]"
    return _Rendered([*history, bos_id(tokenizer)], prompt, f" {example.response.strip()} ", parse_special=False)


def _roles(messages: Sequence[Message]) -> str:
    return ", ".join(message.role for message in messages)


Template = Literal["tokenizer", "llama2", "plain"]
TEMPLATES = {"tokenizer": _render_tokenizer, "llama2": _render_llama2, "plain": _render_plain}
