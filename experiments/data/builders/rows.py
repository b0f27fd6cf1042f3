"""Rows of the prepared datasets as examples."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from experiments.data.builders.star_steps import NAMED
from experiments.data.builders.steps import Step, Turn
from experiments.data.builders.toxigen import NO_SCORE
from jaxft.data.example import Example, Message

AGENT = "You are a hotel's booking agent. Reply to the customer with what you say next."
SILENCE = "(The customer says nothing.)"
_OUTCOMES = ("Message", "RequestStatus")  # of a look-up in STAR; they decide the reply
_ANSWERABLE = ("open_qa", "general_qa")


def step(row: dict[str, Any]) -> Example:
    """The agent's knowledge and the conversation as prompt, its next reply as response, the alternatives as options."""
    one = Step.from_row(row)
    known = f"\nWhat you know: {one.known}" if one.known else ""
    key = {"group": one.task, "act": one.act, "dialogue": one.dialogue, "turn": str(one.turn)}
    return Example((Message("system", AGENT + known), *turns(one.history)), one.text, key, one.alternatives)


def choice(row: dict[str, Any]) -> Example | None:
    """`step` of a row with alternatives; None for a reply that STAR's agent typed and for an unlabelled turn.

    Scores that need no reading of the conversation: of STAR's test choices 34 % are right by chance, 42 % by taking the
    longest option, and 46 % by taking the option that is most often right in train.
    """
    one = step(row)
    return one if one.options else None


def dialogue(rows: Sequence[dict[str, Any]]) -> Example:
    """A whole dialogue, given by its steps, with every reply of the agent to learn.

    The system message is the same from end to end. The result of a look-up ends the customer's message before the first
    reply that could use it, so a reply sees nothing that was found out later; the agent's notes of what the customer
    said are left out, as the customer's words are there. Each reply is a message of its own, as in the steps: between
    two replies in a row the customer says nothing.
    """
    messages, before, read = [Message("system", AGENT)], {}, 0
    for one in map(Step.from_row, rows):
        known = {name: value for name, value in json.loads(one.known or "{}").items() if name != "state"}
        found = _found(known) if known != before else ""
        messages.append(Message("user", turns(one.history[read:])[-1].content + found))
        messages.append(Message("assistant", one.text))
        before, read = known, len(one.history) + 1
    return Example.of(messages, key={"group": one.task, "dialogue": one.dialogue}, learn="all")


def _found(known: Mapping[str, Any]) -> str:
    """The result of the last look-up as lines that follow a message, one an item; "" before the first look-up.

    Of STAR's items the fields that a reply names or depends on; of Schema-Guided Dialogue's all fields.
    """
    if "result" in known:
        items = [{name: value for name, value in (known["result"] or {}).items() if name in (*NAMED, *_OUTCOMES)}]
    elif "call" in known:
        items = known.get("results", [])
    else:
        return ""
    lines = ["; ".join(f"{name}: {value}" for name, value in item.items()) for item in items if item] or ["nothing"]
    number = f"{known['found']} results, the first of them:\n" if known.get("found", 0) > len(items) else ""
    return f"\nFound: {number}" + "\n".join(lines)


def turns(history: Sequence[Turn]) -> tuple[Message, ...]:
    """The conversation as alternating messages, of which the first and the last are the user's.

    Consecutive turns of one side become one message, with one line per turn. If the agent speaks first, or twice in a
    row, a message states that the customer says nothing, as chat templates need a user's message there.
    """
    messages: list[Message] = []
    for turn in history:
        role = "user" if turn.role == "user" else "assistant"
        if messages and messages[-1].role == role:
            messages[-1] = Message(role, f"{messages[-1].content}\n{turn.text}")
        else:
            messages.append(Message(role, turn.text))
    if messages and messages[0].role == "assistant":
        messages.insert(0, Message("user", SILENCE))
    if not messages or messages[-1].role == "assistant":
        messages.append(Message("user", SILENCE))
    return tuple(messages)


def statement(row: dict[str, Any]) -> Example:
    """A statement as the user's message, without a right answer to learn: for evaluation only."""
    kind = "hostile" if row["label"] == "hate" else "harmless"
    score = "" if row["score"] == NO_SCORE else f"{row['score']:.3g}"
    return Example((Message("user", row["text"]),), "", {"group": row["group"], "kind": kind, "score": score})


def instruction(row: dict[str, Any]) -> Example | None:
    """An instruction that can be answered without a context, else None.

    These are open and general questions, and rows of other categories that have no context. Rows of unknown category
    may need a context that their copy of the data lacks.
    """
    if row["context"] and row["category"] not in _ANSWERABLE:
        return None
    key = {"group": row["category"], "answers": json.dumps([row["response"]], ensure_ascii=False)}
    return Example((Message("user", row["instruction"]),), row["response"], key)


def question(row: dict[str, Any]) -> Example:
    """A question; the first right answer is the response."""
    key = {"group": "nq_open", "answers": json.dumps(row["answers"], ensure_ascii=False)}
    return Example((Message("user", row["question"]),), row["answers"][0], key)
