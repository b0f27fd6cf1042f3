"""Examples: the form of all training, reference and evaluation data before tokenisation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, get_args

from annotated_types import MinLen

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[Role, ...] = get_args(Role)
#: The messages of a dialogue that are learnt: the last reply, all replies, or all messages of some roles.
Learn = Literal["last", "all"] | Annotated[tuple[Role, ...], MinLen(1)]


@dataclass(frozen=True)
class Message:
    """One turn of a conversation.

    content: "" only in a reply that is nothing but calls of tools.
    extra: fields that a chat template gets as they are, such as name, tool_calls, tool_call_id, reasoning_content.
    learn: True or False if the data says so of this message (OpenAI's `weight` 1 or 0); None: `Example.learn` decides.
    """

    role: str
    content: str
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)
    learn: bool | None = None

    def fields(self) -> dict[str, Any]:
        """The message as a chat template and an API read it: role, content and the extra fields."""
        return {"role": self.role, "content": self.content, **self.extra}


@dataclass(frozen=True)
class Example:
    """A dialogue with the reply that ends it, or a plain text.

    messages: the prompt, oldest turn first; empty for plain text, of which every token is learnt.
    response: the reply that the model should give (for plain text: the text).
    key: strings that a scorer needs to judge a reply; reports split scores by its entry "group".
    options: replies to choose from, one of them `response`; empty if there is no choice.
    control: True if names of special tokens in a plain text mean those tokens, as in text that a model wrote.
    tools: JSON schemas of the tools that the model may call.
    learn: the messages that are learnt; the `learn` of a message itself comes first.
    response_extra, response_learn: `extra` and `learn` of the reply that ends the dialogue.
    where: the file and line of the example, for errors.
    """

    messages: tuple[Message, ...]
    response: str
    key: Mapping[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    control: bool = False
    tools: tuple[Mapping[str, Any], ...] = ()
    learn: Learn = "last"
    response_extra: Mapping[str, Any] = field(default_factory=dict)
    response_learn: bool | None = None
    where: str = field(default="", compare=False)

    @classmethod
    def of(cls, dialogue: Sequence[Message], **fields: Any) -> Example:
        """The example of a dialogue; if its last message is no reply of the assistant, the response is empty."""
        *before, last = dialogue
        if last.role != "assistant":
            return cls(tuple(dialogue), "", **fields)
        return cls(tuple(before), last.content, response_extra=last.extra, response_learn=last.learn, **fields)

    @property
    def reply(self) -> Message:
        """The response as a message."""
        return Message("assistant", self.response, self.response_extra, self.response_learn)
