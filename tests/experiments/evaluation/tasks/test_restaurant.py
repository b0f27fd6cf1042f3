from __future__ import annotations

import pytest

from experiments.evaluation.tasks import TASKS
from jaxft.data.example import Example

TASK = TASKS["restaurant"]

ASK = Example((), "", {"act": "ask_fruit"})
CONFIRM = Example((), "", {"act": "confirm", "food": "rice", "bowls": "two", "fruit": "plums", "table": "hall"})
MAKE = Example((), "", {"act": "make", "food": "rice", "fruit": "plums", "table": "hall"})
DECLINE = Example((), "", {"act": "decline", "food": "rice", "free": "soup"})
OFFER = Example((), "", {"act": "offer", "food": "rice", "price": "forty"})


@pytest.mark.parametrize(
    ("example", "reply"),
    [
        (ASK, "And which fruit do you want?"),
        (CONFIRM, "Two bowls of rice with plums at the hall table, is that correct?"),
        (MAKE, "Thank you. The rice with plums will be ready at the hall table."),
        (DECLINE, "I am sorry, the rice is not free. Would the soup be all right?"),
        (OFFER, "The rice costs forty a bowl. Would you like to have it?"),
    ],
)
def test_other_wordings_are_right(example: Example, reply: str) -> None:
    assert TASK.score(example, reply).value == 1


@pytest.mark.parametrize(
    ("example", "reply"),
    [
        (ASK, "Which food would you like?"),
        (ASK, "Which fruit would you like with it, plums?"),
        (ASK, "How many bowls would you like? Which fruit would you like with it?"),
        (CONFIRM, "That is one bowl of rice with plums for the hall table. Is that right?"),
        (CONFIRM, "That is two bowls of rice with plums. Is that right?"),
        (MAKE, "The rice with pears will be ready at the hall table."),
        (MAKE, "The rice with plums will not be ready at the hall table."),
        (DECLINE, "I am sorry, the soup is not available. Would you like the rice?"),
        (DECLINE, "I am sorry, there is no rice left."),
        (OFFER, "The rice costs fifty a bowl. Shall I make it?"),
        (OFFER, "The rice costs forty. Shall I make it?"),
    ],
)
def test_wrong_replies(example: Example, reply: str) -> None:
    assert TASK.score(example, reply).value == 0
