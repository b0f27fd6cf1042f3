from __future__ import annotations

import pytest

from experiments.evaluation.tasks import TASKS
from jaxft.data.example import Example

TASK = TASKS["telephone"]

ASK = Example((), "", {"act": "ask_hours"})
CONFIRM = Example((), "", {"act": "confirm", "box": "red", "hours": "two", "weeks": "one", "day": "Friday"})
CONNECT = Example((), "", {"act": "connect", "box": "red", "weeks": "one", "day": "Friday"})
DECLINE = Example((), "", {"act": "decline", "box": "red", "free": "grey"})
OFFER = Example((), "", {"act": "offer", "box": "red", "price": "forty"})


@pytest.mark.parametrize(
    ("example", "reply"),
    [
        (ASK, "How many hours do you want?"),
        (CONFIRM, "The red box with two hours for one week from Friday, right?"),
        (CONNECT, "On Friday your red box will be ready for one week."),
        (OFFER, "The red box is forty a week. Shall I have it ready?"),
    ],
)
def test_other_wordings_are_right(example: Example, reply: str) -> None:
    assert TASK.score(example, reply).value == 1


@pytest.mark.parametrize(
    ("example", "reply"),
    [
        (ASK, "How many weeks will it be?"),
        (ASK, "How many hours and how many weeks would you like?"),
        (CONFIRM, "That is the red box with one hour for two weeks from Friday. Is that right?"),
        (CONNECT, "The red box will be ready on Friday for one hour."),
        (CONNECT, "Will the red box be ready on Friday for one week?"),
        (DECLINE, "I am sorry, the grey box is not available. Would you like the red box?"),
        (DECLINE, "I am sorry, the red box is not free. Would you like the grey one?"),  # one of what?
        (OFFER, "The red box costs forty a night. Shall I have it ready?"),
    ],
)
def test_wrong_replies(example: Example, reply: str) -> None:
    assert TASK.score(example, reply).value == 0
