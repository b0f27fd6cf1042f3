"""The forms of one record: OpenAI messages, prompt and response, ShareGPT, Alpaca, plain text.

A field that is null or empty counts as absent. A field that a form does not know is refused by name, in a record and in
each of its messages, unless it is in METADATA: those say where a record is from, and change none of its words.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from jaxft.data.example import ROLES, Example, Message
from jaxft.errors import UserError
from jaxft.io import half_character, parse_json

METADATA = frozenset(
    "category conversation_id created_at dataset date id idx index lang language license meta metadata model "
    "parallel_tool_calls source split subset tags task timestamp topic uid url uuid version".split()
)
EXPECTED = (
    '{"messages": [{"role", "content"}, ...]}, {"conversations": [{"from", "value"}, ...]}, {"prompt", "response"}, '
    '{"prompt", "completion"}, {"instruction", "input", "output"} or {"text"}'
)
_SHAREGPT = {"human": "user", "gpt": "assistant"} | {role: role for role in ROLES}
_EXTRA = ("name", "tool_calls", "tool_call_id", "reasoning_content")  # they reach the template as they are
#: The prompts of Stanford Alpaca (github.com/tatsu-lab/stanford_alpaca, "Data Release"), with and without an input.
_ALPACA_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further context. Write a "
    "response that appropriately completes the request.\n\n### Instruction:\n{}\n\n### Input:\n{}\n\n### Response:"
)
_ALPACA = (
    "Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{}\n\n### Response:"
)


def example(record: Any, where: str) -> Example:
    """The example that a record holds. UserError, with the place `where`, for whatever has no exact meaning."""
    if not isinstance(record, dict):
        raise UserError(f"{where} is a JSON {type(record).__name__}; expected an object: {EXPECTED}.")
    given = _given(record)
    form = _form(given) or _form(record)
    if form is None:
        raise UserError(f"{where} has the fields {', '.join(sorted(record)) or '(none)'}; expected one of {EXPECTED}.")
    _check_known(given, (*form.fields, *form.optional), where)
    for name in given.keys() - METADATA:
        _check_unicode(given[name], name, where)
    if form.fields == ("text",):
        return Example((), _string(record["text"], "text", where), where=where)
    messages = form.messages(record, where)
    if "system" in given:
        messages.insert(0, Message("system", _string(given["system"], "system", where)))
    if len(messages) < 2 or messages[-1].role != "assistant":
        raise UserError(
            f"{where}: the messages must end with the assistant's response, after at least one other message; found "
            f"{', '.join(message.role for message in messages) or 'none'}.\nRemove what follows the last response."
        )
    return Example.of(messages, tools=_tools(given.get("tools", ()), where), where=where)


def _given(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if value not in (None, "", [], {})}


def _check_known(given: Collection[str], known: Collection[str], where: str) -> None:
    unknown = sorted(set(given) - METADATA - set(known))
    if unknown:
        raise UserError(
            f"{where} has the field {unknown[0]!r}, which has no place here; expected {', '.join(known)}.\n"
            'Remove the field, or move it into "metadata", which is not read.'
        )


def _check_unicode(value: Any, name: str, where: str) -> None:
    if half := half_character(value):
        raise UserError(
            f'{where}: "{name}" holds {half}, one half of a surrogate pair; expected whole characters.\n'
            "Write the character itself, or remove the half."
        )


def _string(value: Any, field: str, where: str) -> str:
    if not isinstance(value, str) or not value:
        hint = ' Put a list of messages, with its reply, into "messages".' * isinstance(value, list)
        raise UserError(f'{where}: "{field}" is {value!r:.40}; expected a string that is not empty.{hint}')
    return value


def _pair(prompt: str, response: Any, field: str, where: str) -> list[Message]:
    return [Message("user", prompt), Message("assistant", _string(response, field, where))]


def _prompt(reply: str) -> Callable[[dict[str, Any], str], list[Message]]:
    def read(record: dict[str, Any], where: str) -> list[Message]:
        return _pair(_string(record["prompt"], "prompt", where), record[reply], reply, where)

    return read


def _alpaca(record: dict[str, Any], where: str) -> list[Message]:
    """The published prompt as the user's message; `text`, a copy of the whole in the published data, is not read."""
    instruction = _string(record["instruction"], "instruction", where)
    added, text = record.get("input"), record.get("text")
    prompt = _ALPACA_INPUT.format(instruction, _string(added, "input", where)) if added else _ALPACA.format(instruction)
    messages = _pair(prompt, record["output"], "output", where)
    if text and text != f"{prompt}\n{messages[1].content}":
        raise UserError(f'{where}: "text" differs from the prompt and the output; keep "text" or the other fields.')
    return messages


def _messages(field: str) -> Callable[[dict[str, Any], str], list[Message]]:
    def read(record: dict[str, Any], where: str) -> list[Message]:
        value = record[field]
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            raise UserError(f'{where}: "{field}" is {value!r:.40}; it must be a list of objects: {EXPECTED}.')
        return [_message(one, f"{where}, message {number}") for number, one in enumerate(value, 1)]

    return read


def _message(fields: dict[str, Any], where: str) -> Message:
    """One message in OpenAI's spelling (role, content) or ShareGPT's (from, value)."""
    role, content, roles = ("from", "value", [*_SHAREGPT]) if "from" in fields else ("role", "content", ROLES)
    found: Any = fields.get(role)
    if found not in roles:
        hint = " Write system instead." * (found == "developer")
        raise UserError(f"{where} is of the role {found!r}; expected one of {', '.join(roles)}.{hint}")
    given = _given(fields)
    _check_known(given, (role, content, "weight", *_EXTRA), where)
    extra = {name: given[name] for name in _EXTRA if name in given}
    if "tool_calls" in extra:
        extra["tool_calls"] = _tool_calls(extra["tool_calls"], where)
    may_be_empty = found == "tool" or "tool_calls" in extra
    text = "" if may_be_empty and content not in given else _text(fields.get(content), content, where)
    weight = given.get("weight")
    if weight is not None and (isinstance(weight, bool) or weight not in (0, 1)):
        raise UserError(f'{where}: "weight" is {weight!r:.40}; expected 1 (learnt) or 0 (not learnt).')
    return Message(_SHAREGPT[found], text, extra, None if weight is None else bool(weight))


def _text(content: Any, field: str, where: str) -> str:
    """A content, of which parts of text are joined without anything between them."""
    if not isinstance(content, list):
        return _string(content, field, where)
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else part
        if kind != "text":
            raise UserError(f"{where}: \"{field}\" has a part {kind!r:.40}; expected parts of the type 'text'.")
        _check_known(_given(part), ("type", "text"), where)
    return _string("".join(_string(part.get("text"), "text", where) for part in content), field, where)


def _tool_calls(calls: Any, where: str) -> list[dict[str, Any]]:
    """Calls with their arguments as an object, which chat templates expect; OpenAI writes them as a string of JSON."""
    if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
        raise UserError(f'{where}: "tool_calls" is {calls!r:.40}; expected a list of objects.')
    found = []
    for call in calls:
        function = call.get("function")
        arguments = function.get("arguments") if isinstance(function, dict) else None
        if isinstance(arguments, str):
            arguments = parse_json(arguments, f'{where}: "arguments" of a tool call')
        if not isinstance(arguments, dict) or not isinstance(function.get("name"), str):
            raise UserError(
                f'{where} has the tool call {call!r:.60}; expected {{"type": "function", "function": {{"name", '
                '"arguments"}}}.'
            )
        found.append({**call, "function": {**function, "arguments": arguments}})
    return found


def _tools(value: Any, where: str) -> tuple[dict[str, Any], ...]:
    """The schemas of tools: a list, or the list as a string of JSON, as tables hold it."""
    tools = parse_json(value, f'{where}: "tools"') if isinstance(value, str) else value
    if not isinstance(tools, (list, tuple)) or not all(isinstance(tool, dict) for tool in tools):
        raise UserError(f'{where}: "tools" is {value!r:.40}; expected a list of objects, one a tool.')
    return tuple(tools)


class _Form(NamedTuple):
    fields: tuple[str, ...]
    optional: tuple[str, ...]
    messages: Callable[[dict[str, Any], str], list[Message]]


_FORMS = (
    _Form(("messages",), ("system", "tools"), _messages("messages")),
    _Form(("conversations",), ("system", "tools"), _messages("conversations")),
    _Form(("prompt", "response"), ("system", "tools"), _prompt("response")),
    _Form(("prompt", "completion"), ("system", "tools"), _prompt("completion")),
    _Form(("instruction", "output"), ("input", "system", "tools", "text"), _alpaca),
    _Form(("text",), (), lambda record, where: []),
)


def _form(record: Collection[str]) -> _Form | None:
    """The one form whose fields a record has; the published Alpaca data has a text in addition."""
    forms = [form for form in _FORMS if all(name in record for name in form.fields)]
    forms = [form for form in forms if not any(set(form.fields) <= set(other.optional) for other in forms)]
    return forms[0] if len(forms) == 1 else None
