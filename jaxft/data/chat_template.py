"""Dialogues in the chat template that a tokenizer carries (Jinja), with the places of what is learnt."""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from jinja2 import TemplateError, TemplateSyntaxError

from jaxft.data.control_tokens import MARK, ControlTokens
from jaxft.data.example import ROLES, Example, Message
from jaxft.data.tokenizer import PreTrainedTokenizerFast
from jaxft.errors import UserError

#: The date that templates read from the clock (`strftime_now`); Llama 3's own template falls back to it.
DATE = datetime.date(2024, 7, 26)
#: Defines the clock of a template: it writes DATE, so that a prompt does not change from day to day.
CLOCK = (
    "{%- macro strftime_now(format) -%}{{ format"
    + "".join(f"|replace('%{d}', '{DATE.strftime('%' + d)}')" for d in ("-d", "-m", *"aAbBdHIjmMpSyY"))
    + " }}{%- endmacro -%}"
)
#: Stands for the text of a message to find its place in a rendered dialogue.
_PLACE = "\U0010fffc"
#: Fields that only link a tool's result to its call; a template may leave them out, as the order says the same.
_LINKS = ("tool_call_id",)


class Rendered(NamedTuple):
    """A dialogue as text.

    begin: True if a BOS token comes first; a chat template writes its own, as in transformers.
    text: private characters stand for its control tokens.
    spans: where the learnt messages lie in the text, each with its end token if the template writes one.
    """

    begin: bool
    text: str
    spans: list[tuple[int, int]]


def reads_clock(tokenizer: PreTrainedTokenizerFast) -> bool:
    """True if the tokenizer's chat template writes the date."""
    return "strftime_now" in str(tokenizer.chat_template)


def source(tokenizer: PreTrainedTokenizerFast) -> str:
    """The chat template that a tokenizer carries, with its clock stopped at DATE.

    UserError if the tokenizer has none, or several and no default.
    """
    template = tokenizer.chat_template
    if isinstance(template, dict) and "default" not in template:
        names = ", ".join(sorted(template))
        raise UserError(f"The tokenizer {_name(tokenizer)} has several chat templates and no default: {names}.")
    if template is None:
        raise UserError(
            f"The tokenizer {_name(tokenizer)} has no chat template, and the data has messages (chat_template).\n"
            "Choose the template llama2 or plain, or add chat_template to its tokenizer_config.json."
        )
    text = template["default"] if isinstance(template, dict) else template
    return CLOCK + text if reads_clock(tokenizer) else text


def control_tokens(tokenizer: PreTrainedTokenizerFast) -> ControlTokens:
    """The tokenizer with its control tokens apart from text, as its chat template needs it."""
    return _control_tokens(tokenizer, json.dumps(tokenizer.chat_template or "", ensure_ascii=False))


@lru_cache(maxsize=8)
def _control_tokens(tokenizer: PreTrainedTokenizerFast, written: str) -> ControlTokens:
    for role in ROLES:
        try:
            written += _apply(tokenizer, [{"role": role, "content": "x"}], [], True)
        except (UserError, TemplateError, TypeError):
            continue  # no template, or not for this role alone
    return ControlTokens(tokenizer, written)


def _apply(tokenizer: PreTrainedTokenizerFast, turns: list[dict], tools: list[Any], prompt: bool) -> str:
    text = tokenizer.apply_chat_template(
        turns, tools=tools or None, chat_template=source(tokenizer), tokenize=False, add_generation_prompt=prompt
    )
    assert isinstance(text, str)
    return text


def render(
    example: Example, learnt: Sequence[int], tokenizer: PreTrainedTokenizerFast, ends: str, control: ControlTokens
) -> Rendered:
    """The dialogue up to the last learnt message, under the tokenizer's own chat template.

    learnt: numbers of the messages that are learnt, in order. ends: private characters of the tokens that end a reply.
    What the template puts between the generation prompt and a reply belongs to the prompt, except for spaces: most
    tokenizers join them to the reply's first word.
    UserError if the template cannot express the messages, leaves out a part of them, or renders a prompt differently
    once its reply is there.
    """
    return _Dialogue(example, learnt[-1] + 1, tokenizer, control).rendered(learnt, ends)


class _Dialogue:
    """The first `count` messages of an example, ready to be rendered."""

    def __init__(self, example: Example, count: int, tokenizer: PreTrainedTokenizerFast, control: ControlTokens):
        self.messages = (*example.messages, example.reply)[:count]
        self.turns = [_turn(message) for message in self.messages]
        if not self.turns[-1]["content"] and not self.messages[-1].extra:
            self.turns[-1]["content"] = _PLACE  # a prompt alone: any reply will do
        self.tools, self.tokenizer, self.control = [dict(tool) for tool in example.tools], tokenizer, control
        self.named = control.names_in([self.turns, self.tools])

    def rendered(self, learnt: Sequence[int], ends: str) -> Rendered:
        whole = self.text(self.turns)
        spans = [self._span(number, whole, ends) for number in learnt]
        self._check(whole)
        return Rendered(False, whole[: spans[-1][1]], spans)

    def text(self, turns: list[dict[str, Any]], *, prompt: bool = False, tools: bool = True) -> str:
        given = self.tools if tools else []
        try:
            if not self.named:
                return self.control.spelled(_apply(self.tokenizer, turns, given, prompt))
            text = _apply(self.tokenizer, self.control.broken(turns), self.control.broken(given), prompt)
            plain = _apply(self.tokenizer, turns, given, prompt)
        except TemplateSyntaxError as error:
            raise UserError(
                f"The chat template of the tokenizer {_name(self.tokenizer)} is broken: line {error.lineno}: {error}\n"
                "Mend it, or take the template llama2 or plain."
            ) from error
        except (TemplateError, TypeError) as error:
            roles = ", ".join(turn["role"] for turn in turns)
            raise UserError(f"The tokenizer's chat template refuses the messages ({roles}): {error}") from error
        if text.replace(MARK, "") != plain:
            raise UserError(
                f"The text of a message contains {self.named[0]}, which the chat template reads as more than text.\n"
                "Remove it, or give what it means as a field of the message (reasoning_content, tool_calls)."
            )
        return self.control.spelled(text)

    def _span(self, number: int, whole: str, ends: str) -> tuple[int, int]:
        """The span of a learnt message in the text, with its end token."""
        content = self.turns[number]["content"].strip()
        if self.messages[number].role == "assistant":
            until = self.text(self.turns[: number + 1]) if number + 1 < len(self.turns) else whole
            begin = self._border(number, until)
            end = next((i + 1 for i in range(begin, len(until)) if until[i] in ends), len(until))
            if until is not whole and until[end - 1] not in ends:
                raise UserError("The tokenizer's chat template writes no end token after a reply of the dialogue.")
        else:
            begin, end = self._place(number, whole)
            until, content = whole, ""
            if tail := re.match(rf"\s*[{ends}]", whole[end:]) if ends else None:
                end += tail.end()
        if content not in until[begin:end]:
            raise UserError(f"The tokenizer's chat template leaves out or changes the reply {content[:60]!r}.")
        if whole[:end] != until[:end]:
            raise UserError(
                "The tokenizer's chat template renders a reply differently once later messages are there, so that only "
                "the last reply of a dialogue can be learnt."
            )
        return begin, end

    def _border(self, number: int, until: str) -> int:
        """The start of a reply: after the generation prompt and all that the template writes before any reply."""
        before = self.turns[:number]
        prompt = self.text(before, prompt=True)
        if not until.startswith(prompt):
            raise UserError("The tokenizer's chat template writes a prompt differently once the reply is there.")
        probe = self.text([*before, {"role": "assistant", "content": _PLACE}])
        lead = probe[len(prompt) : probe.find(_PLACE)].rstrip(" ") if probe.startswith(prompt) else ""
        return len(prompt) + (len(lead) if until.startswith(prompt + lead) else 0)

    def _place(self, number: int, whole: str) -> tuple[int, int]:
        """The span of a message's own text, found by marks around it."""
        turn, content = self.turns[number], self.turns[number]["content"].strip()
        marked = turn["content"].replace(content, f"{_PLACE}{content}{_PLACE}") if content else ""
        text = self.text([*self.turns[:number], {**turn, "content": marked}, *self.turns[number + 1 :]])
        if text.count(_PLACE) != 2 or text.replace(_PLACE, "") != whole:
            raise UserError(
                f"The tokenizer's chat template changes the text of the {turn['role']}'s message {number + 1}, so it "
                "cannot be learnt."
            )
        return text.index(_PLACE), text.rindex(_PLACE) - 1

    def _check(self, whole: str) -> None:
        """UserError if the template leaves out the text of a message, the tools or a field."""
        for number, message in enumerate(self.messages):
            if message.role in ("system", "user") and message.content.strip() not in whole:
                raise UserError(f"The chat template leaves out or changes the {message.role}'s message {number + 1}.")
            turns = self.turns[: number + 1]
            for field in message.extra:
                without = {name: value for name, value in turns[-1].items() if name != field}
                if not self._linked(number, field) and self.text([*turns[:-1], without]) == self.text(turns):
                    raise UserError(
                        f"The chat template has no place for the field {field} of the {message.role}'s message "
                        f"{number + 1}."
                    )
        if self.tools and self.text(self.turns, tools=False) == whole:
            raise UserError("The chat template has no place for tools.")

    def _linked(self, number: int, field: str) -> bool:
        """True for a field of a tool's result that only says which call it answers."""
        calls = [call for turn in self.turns[:number] for call in turn.get("tool_calls") or []]
        called = field == "name" and any(_function(call).get("name") == self.turns[number]["name"] for call in calls)
        return self.messages[number].role == "tool" and (field in _LINKS or called)


def _turn(message: Message) -> dict[str, Any]:
    """A message as a template reads it; arguments of calls, JSON text in OpenAI's form, become objects."""
    turn = message.fields()
    if calls := turn.get("tool_calls"):
        turn["tool_calls"] = [{**call, "function": _function(call)} if "function" in call else call for call in calls]
    return turn


def _function(call: Any) -> dict[str, Any]:
    function = dict(call.get("function", call))
    if isinstance(text := function.get("arguments"), str):
        try:
            function["arguments"] = json.loads(text)
        except ValueError:
            pass  # no JSON: the template gets the text as it is
    return function


def _name(tokenizer: PreTrainedTokenizerFast) -> str:
    return tokenizer.name_or_path or "given"
