from __future__ import annotations

import pytest

from experiments.evaluation.tasks import TASKS
from jaxft.data.example import Example

TASK = TASKS["hotel"]

CONFIRM = Example((), "", {"act": "confirm", "arrival": "Monday", "nights": "three", "guests": "two", "room": "twin"})
BOOK = Example((), "", {"act": "book", "room": "twin", "arrival": "Monday", "nights": "one"})
DECLINE = Example((), "", {"act": "decline", "room": "twin", "free": "attic"})
OFFER = Example((), "", {"act": "offer", "room": "twin", "price": "ninety"})


def ask(slot: str) -> Example:
    return Example((), "", {"act": f"ask_{slot}"})


@pytest.mark.parametrize(
    ("example", "reply"),
    [
        (CONFIRM, "So that is the twin room from Monday for three nights and two guests, correct?"),
        (BOOK, "Thank you. Your twin room is booked from Monday for one night."),
        (OFFER, "The twin room costs ninety a night. Would you like to take it?"),
        (ask("room"), "What kind of room do you want?"),
        (ask("guests"), "Thank you. How many guests will come?"),
    ],
)
def test_other_wordings_are_right(example: Example, reply: str) -> None:
    assert TASK.score(example, reply).value == 1


@pytest.mark.parametrize(
    ("example", "reply"),
    [
        (ask("nights"), ""),
        (ask("nights"), "?"),
        (ask("nights"), "How can I help you?"),
        (ask("nights"), "I am sorry, I cannot help with that."),
        (ask("nights"), "How many guests will there be?"),
        (ask("nights"), "How many nights will you stay? How many guests will there be?"),
        (ask("nights"), "How many nights and how many guests will there be?"),
        (ask("nights"), "How many nights will you stay? How many nights will you stay?"),
        (ask("nights"), "How many nights will you stay in the twin room?"),
        (ask("nights"), "How many nights will you stay"),
        (ask("arrival"), "Which day is it?"),
        (ask("room"), "Which room would you like, the attic room?"),
        (ask("room"), "Your room is booked. Which room would you like?"),
        (CONFIRM, "That is the twin room from Monday for two nights and three guests. Is that right?"),
        (CONFIRM, "That is the twin room from Monday for three nights. Is that right?"),
        (CONFIRM, "That is the twin room from Sunday for three nights and two guests. Is that right?"),
        (CONFIRM, "That is the twin room from Monday or Sunday for three nights and two guests. Is that right?"),
        (CONFIRM, "That is not the twin room from Monday for three nights and two guests. Is that right?"),
        (CONFIRM, "The twin room is booked from Monday for three nights and two guests."),
        (BOOK, "The twin room is booked from Monday."),
        (BOOK, "The twin room is not booked from Monday for one night."),
        (BOOK, "The twin room is booked from Monday for one night. The twin room is booked from Monday for one night."),
        (BOOK, "The twin room is booked from Monday for one one night."),
        (BOOK, "Is the twin room booked from Monday for one night?"),
        (DECLINE, "I am sorry, the attic room is not available. Would you like the attic room?"),
        (DECLINE, "I am sorry, the attic room is not available. Would you like the twin room?"),
        (DECLINE, "I am sorry, the twin room is not available."),
        (DECLINE, "Would you like the attic room?"),
        (OFFER, "The twin room costs eighty a night. Shall I book it?"),
        (OFFER, "The attic room costs ninety a night. Shall I book it?"),
        (OFFER, "It costs ninety a night. Shall I book it?"),
        (OFFER, "The twin room does not cost ninety a night. Shall I book it?"),
        (OFFER, "The twin room is ninety a night. " + "Shall I book it? " * 9),
    ],
)
def test_wrong_replies(example: Example, reply: str) -> None:
    assert TASK.score(example, reply).value == 0
