"""Encoding of examples as tokens and weights: chat templates, BOS, end tokens, the boundary of prompt and response."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float32, Int32

from jaxft.bounds import fit
from jaxft.data import chat_template
from jaxft.data.chat_template import Rendered, control_tokens
from jaxft.data.control_tokens import ControlTokens, check_text
from jaxft.data.example import Example, Message
from jaxft.data.tokenizer import PreTrainedTokenizerFast, bos_id, check_rows, eos_id
from jaxft.errors import UserError
from jaxft.llama.config import LlamaConfig


@dataclass(frozen=True, eq=False)
class Encoded:
    """One example as the model reads it: BOS, prompt, response, end token; a plain text is BOS and the text.

    weights[i] is 1 if token i is to be predicted (learnt messages, each with its end token; of a plain text all but
    BOS), else 0.
    """

    tokens: Int32[np.ndarray, " tokens"]
    weights: Float32[np.ndarray, " tokens"]


def encode(
    example: Example, tokenizer: PreTrainedTokenizerFast, template: str, model: LlamaConfig | None = None
) -> Encoded:
    """Tokens and weights of an example up to the last message that is learnt.

    If that is the response, they begin with `encode_prompt` of the same arguments. A learnt reply ends with the end
    token that the template writes after it; the last one gets the tokenizer's EOS if the template writes none.

    template: "tokenizer" is the chat template that the tokenizer carries, "llama2" the format of Meta's reference code,
    "plain" joins the contents with newlines; a plain text is the same under all. Names of control tokens inside the
    data never become those tokens, except for a plain text with `control`.
    model: its end tokens and its number of tokens are respected; None: only the tokenizer's EOS is known.

    UserError, naming `example.where`, for a template that is unknown or cannot express the messages, a tokenizer that
    cannot keep control tokens apart from text, a token that has no row in the model's embedding, and an example in
    which nothing is learnt.
    """
    with _naming(example):
        learnt = _learnt(example)
        control, rendered = _render(example, tokenizer, template, learnt, model)
        tokens, borders = _tokens(rendered, tokenizer, control)
        if example.messages and tokens[-1] not in _ends(tokenizer, model):
            tokens.append(eos_id(tokenizer))
            borders[-1] = (borders[-1][0], len(tokens))
        check_rows(tokens, tokenizer, model)
        weights = np.zeros(len(tokens), np.float32)
        for begin, end in borders:
            weights[max(begin, 1) : end] = 1  # nothing predicts the first token
        return Encoded(np.array(tokens, np.int32), weights)


def encode_prompt(
    example: Example, tokenizer: PreTrainedTokenizerFast, template: str, model: LlamaConfig | None = None
) -> list[int]:
    """The tokens of the prompt, which the response follows; BOS alone for a plain text. Errors as in `encode`."""
    with _naming(example):
        control, rendered = _render(example, tokenizer, template, [len(example.messages)], model)
        begin, _ = rendered.spans[-1]
        tokens, _ = _tokens(Rendered(rendered.begin, rendered.text[:begin], []), tokenizer, control)
        check_rows(tokens, tokenizer, model)
        return tokens


@contextmanager
def _naming(example: Example) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        if not example.where:
            raise
        raise UserError(f"{example.where}: {error}") from error


def _learnt(example: Example) -> list[int]:
    """The numbers of the learnt messages; the reply that ends the dialogue counts as the last message."""
    last = len(example.messages)
    if not last:
        return [0]
    dialogue = (*example.messages, example.reply) if example.response or example.response_extra else example.messages

    def learnt(number: int, message: Message) -> bool:
        if message.learn is not None:
            return message.learn
        if example.learn == "last":
            return number == last
        return message.role in (("assistant",) if example.learn == "all" else example.learn)

    found = [number for number, message in enumerate(dialogue) if learnt(number, message)]
    if not found:
        text = example.messages[-1].content
        if any(message.role == "assistant" and message.learn is False for message in dialogue):
            raise UserError(
                f"Every reply that could be learnt has weight 0: {text[:60]!r}.\n"
                "Give one the weight 1, or leave the example out."
            )
        raise UserError(f"An example has no response to learn: {text[:60]!r}.\nIts source is for evaluation alone.")
    return found


def _render(
    example: Example,
    tokenizer: PreTrainedTokenizerFast,
    template: str,
    learnt: Sequence[int],
    model: LlamaConfig | None,
) -> tuple[ControlTokens, Rendered]:
    render = TEMPLATES[fit(template, Template, "template")]
    control = control_tokens(tokenizer)
    dialogue = (*example.messages, example.reply)
    check_text([[message.fields() for message in dialogue], [dict(tool) for tool in example.tools]])
    if not example.messages:
        text = control.spelled(example.response) if example.control else example.response
        return control, Rendered(True, text, [(0, len(text))])
    if template != "tokenizer" and (example.tools or any(message.extra for message in dialogue)):
        fields = {field for message in dialogue for field in message.extra} or {"tools"}
        raise UserError(f"The template {template} has no place for {', '.join(sorted(fields))}.")
    return control, render(example, learnt, tokenizer, control.characters(_ends(tokenizer, model)), control)


def _ends(tokenizer: PreTrainedTokenizerFast, model: LlamaConfig | None) -> set[int]:
    return {eos_id(tokenizer), *(model.end_tokens if model else ())}


def _tokens(
    rendered: Rendered, tokenizer: PreTrainedTokenizerFast, control: ControlTokens
) -> tuple[list[int], list[tuple[int, int]]]:
    """The tokens of a text, and where its spans begin and end among them.

    A reply is tokenised in the context of its prompt: no space is put before its first word. Where a token spans the
    border, the only reply is tokenised alone, as the prompt is in generation.
    """
    text, spans = rendered.text, rendered.spans
    tokens, borders = control.tokens(text), []
    for begin, end in spans:
        edges = [control.tokens(text[:begin]), tokens if end == len(text) else control.tokens(text[:end])]
        if any(tokens[: len(edge)] != edge for edge in edges):
            if len(spans) > 1:
                raise UserError("A token spans the border of a reply; only one reply of a dialogue can be learnt.")
            tokens = edges[0] + control.tokens(text[begin:])
            edges[1] = tokens
        borders.append((len(edges[0]), len(edges[1])))
    bos = bos_id(tokenizer)
    if bos is None or not rendered.begin:
        return tokens, borders
    return [bos, *tokens], [(begin + 1, end + 1) for begin, end in borders]


def _plain(
    example: Example, learnt: Sequence[int], tokenizer: PreTrainedTokenizerFast, ends: str, control: ControlTokens
) -> Rendered:
    if len(learnt) > 1:
        raise UserError("The template plain writes no end token after a reply; only one reply of a dialogue is learnt.")
    messages = (*example.messages, example.reply)[: learnt[0] + 1]
    text = "".join(f"{message.content}\n" for message in messages[:-1])
    return Rendered(True, text + messages[-1].content, [(len(text), len(text) + len(messages[-1].content))])


def _llama2(
    example: Example, learnt: Sequence[int], tokenizer: PreTrainedTokenizerFast, ends: str, control: ControlTokens
) -> Rendered:
    """Llama-2 chat, as in `Llama.chat_completion` of github.com/meta-llama/llama.

    Each turn has its own BOS; a reply has a space on both sides; the system message is part of the first user message.
    """
    messages = [*example.messages, example.reply]
    places = list(range(len(messages)))
    if messages[0].role == "system" and len(messages) > 2:
        system = f"<<SYS>>\n{messages[0].content}\n<</SYS>>\n\n"
        messages[:2] = [Message(messages[1].role, system + messages[1].content)]
        places = places[1:]
    roles = [message.role for message in messages]
    if roles != ["user", "assistant"] * (len(messages) // 2) or not {*learnt} <= {*places[1::2]}:
        found = ", ".join(message.role for message in example.messages)
        raise UserError(
            f"The template llama2 cannot express the messages ({found}).\n"
            "They are: at most one system message, then user and assistant in turn, the last one from the user. Only "
            "replies are learnt."
        )
    bos, eos = control.character(tokenizer.bos_token), control.character(tokenizer.eos_token)
    text, spans = "", []
    for place, user, assistant in zip(places[1::2], messages[::2], messages[1::2], strict=True):
        if place > learnt[-1]:
            break
        text += f"{bos if text else ''}[INST] {user.content.strip()} [/INST]"
        begin = len(text)
        text += f" {assistant.content.strip()} {eos}"
        spans += [(begin, len(text))] if place in learnt else []
    return Rendered(True, text, spans)


Template = Literal["tokenizer", "llama2", "plain"]
TEMPLATES = {"tokenizer": chat_template.render, "llama2": _llama2, "plain": _plain}
