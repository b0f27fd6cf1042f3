"""Chat templates of other models' kinds: borders, ends, fields, tools, dates, several named ones."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from jaxft.data.chat_template import DATE
from jaxft.data.example import Example, Message
from jaxft.data.template import encode, encode_prompt
from jaxft.errors import UserError
from jaxft.llama.config import LlamaConfig

#: Thinks: writes an empty block before a reply without reasoning, and none in earlier turns. Without BOS.
THINKING = """
{%- set ns = namespace(last=-1) -%}
{%- for m in messages -%}{%- if m.role == 'user' -%}{%- set ns.last = loop.index0 -%}{%- endif -%}{%- endfor -%}
{%- if tools -%}{{ '<|im_start|>system\n' + (tools | tojson) + '<|im_end|>\n' }}{%- endif -%}
{%- for m in messages -%}
{%- set content = m.content.split('</think>')[-1] -%}
{{ '<|im_start|>' + m.role + '\n' }}
{%- if m.role == 'assistant' and loop.index0 > ns.last -%}
{{ '<think>\n' + (m.reasoning_content or '') + '\n</think>\n\n' }}
{%- endif -%}
{{ content }}
{%- for call in m.tool_calls or [] -%}
{{ '<tool_call>\n' + call.function.name + ' ' + (call.function.arguments | tojson) + '\n</tool_call>' }}
{%- endfor -%}
{{ '<|im_end|>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\n' }}{%- endif -%}
"""
#: Begins with BOS and the date; ends a turn with a token that is not the tokenizer's EOS.
DATED = (
    "{{ bos_token }}{% if strftime_now is defined %}{{ strftime_now('%d %b %Y, %-d %B, %A') }}{% endif %}"
    "{% for m in messages %}{{ '<|head|>' + m.role + '\n\n' + m.content | trim + '<|eot|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|head|>assistant\n\n' }}{% endif %}"
)
ASK = Message("user", "Which capital?")
WHERE = "mine.jsonl, line 3"
CALL = {"id": "c1", "type": "function", "function": {"name": "look_up", "arguments": {"town": "Paris"}}}
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}


@pytest.fixture(scope="module")
def thinking(small_tokenizer):
    changed = copy.deepcopy(small_tokenizer)
    changed.add_special_tokens({"extra_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    changed.add_tokens(["<think>", "</think>", "<tool_call>", "</tool_call>"])
    changed.eos_token, changed.bos_token, changed.chat_template = "<|im_end|>", None, THINKING
    return changed


@pytest.fixture(scope="module")
def dated(small_tokenizer):
    changed = copy.deepcopy(small_tokenizer)
    changed.add_special_tokens({"extra_special_tokens": ["<|head|>", "<|eot|>"]})
    changed.chat_template = DATED
    return changed


def parts(example: Example, tokenizer: Any, template: str = "tokenizer", model: LlamaConfig | None = None) -> list[str]:
    """The encoded example as the texts that are not learnt and learnt, in turn."""
    encoded = encode(example, tokenizer, template, model)
    edges = np.flatnonzero(np.diff(encoded.weights)) + 1
    return [tokenizer.decode(some) for some in np.split(encoded.tokens, edges)]


def test_what_stands_before_every_reply_belongs_to_the_prompt(thinking):
    example = Example((ASK,), "Paris.")
    prompt = "<|im_start|>user\nWhich capital?<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    assert parts(example, thinking) == [prompt, "Paris.<|im_end|>"]
    for response in ("", "Paris."):
        assert thinking.decode(encode_prompt(replace(example, response=response), thinking, "tokenizer")) == prompt


def test_reasoning_is_learnt_with_its_reply(thinking):
    example = Example((ASK,), "Paris.", response_extra={"reasoning_content": "Of France."})
    before, learnt = parts(example, thinking)
    assert before.endswith("<|im_start|>assistant\n")
    assert learnt == "<think>\nOf France.\n</think>\n\nParis.<|im_end|>"
    assert thinking.decode(encode_prompt(example, thinking, "tokenizer")) == before


def test_calls_of_tools_reach_the_template(thinking):
    text = {**CALL, "function": {**CALL["function"], "arguments": json.dumps({"town": "Paris"})}}
    for call in (CALL, text):
        example = Example((ASK,), "", tools=(TOOL,), response_extra={"tool_calls": [call]})
        before, learnt = parts(example, thinking)
        assert before.startswith("<|im_start|>system\n" + json.dumps([TOOL]))
        assert learnt == '<tool_call>\nlook_up {"town": "Paris"}\n</tool_call><|im_end|>'
    answer = Message("tool", "Of France.", {"tool_call_id": "c1", "name": "look_up"})
    turns = (ASK, Message("assistant", "", {"tool_calls": [CALL]}), answer)
    before, learnt = parts(Example(turns, "Paris."), thinking)
    assert "<|im_start|>tool\nOf France.<|im_end|>" in before and learnt == "Paris.<|im_end|>"


NO_PLACE = {
    "reasoning": (Example((ASK,), "4", response_extra={"reasoning_content": "two"}), "reasoning_content"),
    "tools": (Example((ASK,), "4", tools=(TOOL,)), "tools"),
    "tool calls": (Example((ASK,), "4", response_extra={"tool_calls": [CALL]}), "tool_calls"),
    "name": (Example((Message("user", "x", {"name": "Ann"}),), "4"), "name"),
    "name of no tool": (Example((ASK, Message("tool", "x", {"name": "other"})), "4"), "name"),
}


@pytest.mark.parametrize("template", ["tokenizer", "llama2", "plain"])
@pytest.mark.parametrize(("example", "field"), NO_PLACE.values(), ids=NO_PLACE)
def test_what_a_template_has_no_place_for_is_refused(small_tokenizer, example, field, template):
    with pytest.raises(UserError, match=f"^{WHERE}: .*has no place for .*{field}"):
        encode(replace(example, where=WHERE), small_tokenizer, template)


def altered(tokenizer: Any, template: str) -> Any:
    changed = copy.deepcopy(tokenizer)
    changed.chat_template = template
    return changed


TURN = "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content + eos_token }}{% endfor %}"
OPEN = "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
BAD = {
    "thinks in the prompt alone": (TURN + OPEN.replace("|>", "|><think>"), "writes a prompt differently"),
    "no system": (TURN.replace("m.content", "(m.content if m.role != 'system' else '')") + OPEN, "system's message 1"),
    "cuts the user": (
        TURN.replace("m.content", "(m.content[:9] if m.role == 'user' else m.content)") + OPEN,
        "the user's message 2",
    ),
    "cuts the reply": (TURN.replace("m.content", "(m.content | replace('is', ''))") + OPEN, "changes the reply 'It is"),
    "no strings": (TURN.replace("m.content", "m.content + 1") + OPEN, "refuses the messages"),
}


@pytest.mark.parametrize(("template", "said"), BAD.values(), ids=BAD)
def test_a_template_that_loses_something_is_refused(small_tokenizer, template, said):
    example = Example((Message("system", "Be kind."), Message("user", "What time?")), "It is noon.", where=WHERE)
    with pytest.raises(UserError, match=f"^{WHERE}: .*{said}"):
        encode(example, altered(small_tokenizer, template), "tokenizer")


def test_a_template_that_is_no_jinja_is_called_broken(small_tokenizer):
    with pytest.raises(UserError, match=f"^{WHERE}: The chat template of the tokenizer .* is broken: line 1: "):
        encode(Example((ASK,), "Paris.", where=WHERE), altered(small_tokenizer, TURN + "{% if"), "tokenizer")


@pytest.mark.parametrize("content", ["a</think>b", "<think>\nwhy\n</think>\n\nParis."])
def test_control_tokens_that_the_template_reads_in_text_are_refused(thinking, content):
    with pytest.raises(UserError, match="contains <?/?think>, which the chat template reads as more than text"):
        encode(Example((ASK,), content), thinking, "tokenizer")


@pytest.mark.parametrize("lead", ["\n", "<think></think>", "Answer: "])
def test_the_border_of_templates_that_open_a_reply_with_more(small_tokenizer, lead):
    tokenizer = altered(small_tokenizer, TURN.replace("m.content", f"{lead!r} + m.content") + OPEN)
    before, learnt = parts(Example((ASK,), "Paris."), tokenizer)
    assert before.endswith("<|assistant|>" + lead.rstrip(" "))
    assert learnt == " " * lead.endswith(" ") + "Paris.</s>"
    assert tokenizer.decode(encode_prompt(Example((ASK,), ""), tokenizer, "tokenizer")) == before


def test_a_reply_ends_with_the_end_token_that_the_template_writes(dated):
    eot = dated.convert_tokens_to_ids("<|eot|>")
    config = LlamaConfig(400, 8, 8, 1, 1, 1, 8, 64, end_tokens=(2, eot))
    assert parts(Example((ASK,), "Paris."), dated, model=config)[1] == "Paris.<|eot|>"
    assert parts(Example((ASK,), "Paris."), dated)[1] == "Paris.<|eot|></s>"  # it ends nothing in this model
    assert parts(Example((ASK,), "Paris."), dated, "plain", config)[1] == "Paris.</s>"


def test_a_template_that_reads_the_clock_gets_a_fixed_date(dated):
    assert str(DATE) == "2024-07-26"
    assert dated.decode(encode_prompt(Example((ASK,), ""), dated, "tokenizer")).startswith(
        "<s>26 Jul 2024, 26 July, Friday<|head|>user\n\nWhich capital?<|eot|>"
    )


def test_one_of_several_templates_is_the_default(thinking):
    several = altered(thinking, {"default": THINKING, "rag": "x"})  # pyright: ignore[reportArgumentType]
    assert parts(Example((ASK,), "Paris."), several) == parts(Example((ASK,), "Paris."), thinking)
    with pytest.raises(UserError, match="has several chat templates and no default: rag, tool_use"):
        encode(Example((ASK,), "x"), altered(thinking, {"tool_use": "", "rag": ""}), "tokenizer")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("template", ["tokenizer", "llama2", "plain"])
def test_a_tokenizer_without_bos_puts_nothing_in_front(small_tokenizer, template):
    without = copy.deepcopy(small_tokenizer)
    without.bos_token = None
    without.chat_template = small_tokenizer.chat_template.replace("{{ bos_token }}", "")
    example = Example((ASK,), "Paris.")
    whole, found = (encode(example, one, template) for one in (small_tokenizer, without))
    assert found.tokens.tolist() == whole.tokens.tolist()[1:]
    assert found.weights.tolist() == whole.weights.tolist()[1:]
    text = encode(Example((), "The capital"), without, template)
    assert text.weights.tolist() == [0] + [1] * (len(text.tokens) - 1)
    assert encode_prompt(Example((), "The capital"), without, template) == []


def test_a_token_without_a_row_is_named(dated):
    config = LlamaConfig(321, 8, 8, 1, 1, 1, 8, 64)
    head, eot = dated.convert_tokens_to_ids(["<|head|>", "<|eot|>"])
    assert (head, eot) == (320, 321)
    for run in (encode, encode_prompt):
        with pytest.raises(UserError, match=f"^{WHERE}: The token '<|eot|>' has the id 321, .* has 321 rows"):
            run(Example((ASK,), "x", where=WHERE), dated, "tokenizer", config)
        assert run(Example((ASK,), "x"), dated, "plain", config) is not None
        assert run(Example((), "<|eot|>"), dated, "plain", config) is not None  # text, not the token
