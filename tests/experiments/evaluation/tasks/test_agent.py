"""The rule of every agent that takes orders, on its own corpus."""

from __future__ import annotations

import pytest

from experiments.data.corpora import SPLITS
from experiments.data.corpora.agent import AGENTS, Agent
from experiments.evaluation.tasks import TASKS
from jaxft.data.example import Example


@pytest.fixture(params=list(AGENTS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def corpus(name: str) -> Agent:
    return AGENTS[name]


@pytest.mark.parametrize("split", SPLITS)
def test_every_reference_reply_is_right(name: str, corpus: Agent, split: str) -> None:
    assert all(TASKS[name].score(example, example.response).value for example in corpus.examples(split))


def test_every_wording_of_every_act_is_right_only_for_its_act(name: str, corpus: Agent) -> None:
    references = {example.key["act"]: example for example in corpus.examples("test")}
    for act, example in references.items():
        for other, other_example in references.items():
            assert TASKS[name].score(example, other_example.response).value == (act == other)


def test_no_fixed_reply_scores_more_than_its_act(name: str, corpus: Agent) -> None:
    examples = corpus.examples("test")
    for reply in {example.response for example in examples[:150]}:
        assert sum(TASKS[name].score(example, reply).value for example in examples) <= 0.13 * len(examples)


def test_replies_of_another_domain_are_wrong(name: str, corpus: Agent) -> None:
    examples = corpus.examples("test")
    for other in AGENTS.keys() - {name}:
        replies = [example.response for example in AGENTS[other].examples("test")]
        assert not any(
            TASKS[name].score(example, reply).value for example, reply in zip(examples, replies, strict=True)
        )


HOTEL_CONFIRM = Example(
    (), "", {"act": "confirm", "arrival": "Monday", "nights": "three", "guests": "two", "room": "twin"}
)
HOTEL_BOOK = Example((), "", {"act": "book", "room": "twin", "arrival": "Monday", "nights": "one"})
HOTEL_DECLINE = Example((), "", {"act": "decline", "room": "twin", "free": "attic"})
HOTEL_OFFER = Example((), "", {"act": "offer", "room": "twin", "price": "ninety"})


def ask(slot: str) -> Example:
    return Example((), "", {"act": f"ask_{slot}"})


RESTAURANT_ASK = Example((), "", {"act": "ask_fruit"})
RESTAURANT_CONFIRM = Example(
    (), "", {"act": "confirm", "food": "rice", "bowls": "two", "fruit": "plums", "table": "hall"}
)
RESTAURANT_MAKE = Example((), "", {"act": "make", "food": "rice", "fruit": "plums", "table": "hall"})
RESTAURANT_DECLINE = Example((), "", {"act": "decline", "food": "rice", "free": "soup"})
RESTAURANT_OFFER = Example((), "", {"act": "offer", "food": "rice", "price": "forty"})
TELEPHONE_ASK = Example((), "", {"act": "ask_hours"})
TELEPHONE_CONFIRM = Example((), "", {"act": "confirm", "box": "red", "hours": "two", "weeks": "one", "day": "Friday"})
TELEPHONE_CONNECT = Example((), "", {"act": "connect", "box": "red", "weeks": "one", "day": "Friday"})
TELEPHONE_DECLINE = Example((), "", {"act": "decline", "box": "red", "free": "grey"})
TELEPHONE_OFFER = Example((), "", {"act": "offer", "box": "red", "price": "forty"})


@pytest.mark.parametrize(
    ("task", "example", "reply"),
    [
        ("hotel", HOTEL_CONFIRM, "So that is the twin room from Monday for three nights and two guests, correct?"),
        ("hotel", HOTEL_BOOK, "Thank you. Your twin room is booked from Monday for one night."),
        ("hotel", HOTEL_OFFER, "The twin room costs ninety a night. Would you like to take it?"),
        ("hotel", ask("room"), "What kind of room do you want?"),
        ("hotel", ask("guests"), "Thank you. How many guests will come?"),
        ("restaurant", RESTAURANT_ASK, "And which fruit do you want?"),
        ("restaurant", RESTAURANT_CONFIRM, "Two bowls of rice with plums at the hall table, is that correct?"),
        ("restaurant", RESTAURANT_MAKE, "Thank you. The rice with plums will be ready at the hall table."),
        ("restaurant", RESTAURANT_DECLINE, "I am sorry, the rice is not free. Would the soup be all right?"),
        ("restaurant", RESTAURANT_OFFER, "The rice costs forty a bowl. Would you like to have it?"),
        ("telephone", TELEPHONE_ASK, "How many hours do you want?"),
        ("telephone", TELEPHONE_CONFIRM, "The red box with two hours for one week from Friday, right?"),
        ("telephone", TELEPHONE_CONNECT, "On Friday your red box will be ready for one week."),
        ("telephone", TELEPHONE_OFFER, "The red box is forty a week. Shall I have it ready?"),
    ],
)
def test_other_wordings_are_right(task: str, example: Example, reply: str) -> None:
    assert TASKS[task].score(example, reply).value == 1


@pytest.mark.parametrize(
    ("task", "example", "reply"),
    [
        ("hotel", ask("nights"), ""),
        ("hotel", ask("nights"), "?"),
        ("hotel", ask("nights"), "How can I help you?"),
        ("hotel", ask("nights"), "I am sorry, I cannot help with that."),
        ("hotel", ask("nights"), "How many guests will there be?"),
        ("hotel", ask("nights"), "How many nights will you stay? How many guests will there be?"),
        ("hotel", ask("nights"), "How many nights and how many guests will there be?"),
        ("hotel", ask("nights"), "How many nights will you stay? How many nights will you stay?"),
        ("hotel", ask("nights"), "How many nights will you stay in the twin room?"),
        ("hotel", ask("nights"), "How many nights will you stay"),
        ("hotel", ask("arrival"), "Which day is it?"),
        ("hotel", ask("room"), "Which room would you like, the attic room?"),
        ("hotel", ask("room"), "Your room is booked. Which room would you like?"),
        ("hotel", HOTEL_CONFIRM, "That is the twin room from Monday for two nights and three guests. Is that right?"),
        ("hotel", HOTEL_CONFIRM, "That is the twin room from Monday for three nights. Is that right?"),
        ("hotel", HOTEL_CONFIRM, "That is the twin room from Sunday for three nights and two guests. Is that right?"),
        (
            "hotel",
            HOTEL_CONFIRM,
            "That is the twin room from Monday or Sunday for three nights and two guests. Is that right?",
        ),
        (
            "hotel",
            HOTEL_CONFIRM,
            "That is not the twin room from Monday for three nights and two guests. Is that right?",
        ),
        ("hotel", HOTEL_CONFIRM, "The twin room is booked from Monday for three nights and two guests."),
        ("hotel", HOTEL_BOOK, "The twin room is booked from Monday."),
        ("hotel", HOTEL_BOOK, "The twin room is not booked from Monday for one night."),
        (
            "hotel",
            HOTEL_BOOK,
            "The twin room is booked from Monday for one night. The twin room is booked from Monday for one night.",
        ),
        ("hotel", HOTEL_BOOK, "The twin room is booked from Monday for one one night."),
        ("hotel", HOTEL_BOOK, "Is the twin room booked from Monday for one night?"),
        ("hotel", HOTEL_DECLINE, "I am sorry, the attic room is not available. Would you like the attic room?"),
        ("hotel", HOTEL_DECLINE, "I am sorry, the attic room is not available. Would you like the twin room?"),
        ("hotel", HOTEL_DECLINE, "I am sorry, the twin room is not available."),
        ("hotel", HOTEL_DECLINE, "Would you like the attic room?"),
        ("hotel", HOTEL_OFFER, "The twin room costs eighty a night. Shall I book it?"),
        ("hotel", HOTEL_OFFER, "The attic room costs ninety a night. Shall I book it?"),
        ("hotel", HOTEL_OFFER, "It costs ninety a night. Shall I book it?"),
        ("hotel", HOTEL_OFFER, "The twin room does not cost ninety a night. Shall I book it?"),
        ("hotel", HOTEL_OFFER, "The twin room is ninety a night. " + "Shall I book it? " * 9),
        ("restaurant", RESTAURANT_ASK, "Which food would you like?"),
        ("restaurant", RESTAURANT_ASK, "Which fruit would you like with it, plums?"),
        ("restaurant", RESTAURANT_ASK, "How many bowls would you like? Which fruit would you like with it?"),
        ("restaurant", RESTAURANT_CONFIRM, "That is one bowl of rice with plums for the hall table. Is that right?"),
        ("restaurant", RESTAURANT_CONFIRM, "That is two bowls of rice with plums. Is that right?"),
        ("restaurant", RESTAURANT_MAKE, "The rice with pears will be ready at the hall table."),
        ("restaurant", RESTAURANT_MAKE, "The rice with plums will not be ready at the hall table."),
        ("restaurant", RESTAURANT_DECLINE, "I am sorry, the soup is not available. Would you like the rice?"),
        ("restaurant", RESTAURANT_DECLINE, "I am sorry, there is no rice left."),
        ("restaurant", RESTAURANT_OFFER, "The rice costs fifty a bowl. Shall I make it?"),
        ("restaurant", RESTAURANT_OFFER, "The rice costs forty. Shall I make it?"),
        ("telephone", TELEPHONE_ASK, "How many weeks will it be?"),
        ("telephone", TELEPHONE_ASK, "How many hours and how many weeks would you like?"),
        ("telephone", TELEPHONE_CONFIRM, "That is the red box with one hour for two weeks from Friday. Is that right?"),
        ("telephone", TELEPHONE_CONNECT, "The red box will be ready on Friday for one hour."),
        ("telephone", TELEPHONE_CONNECT, "Will the red box be ready on Friday for one week?"),
        ("telephone", TELEPHONE_DECLINE, "I am sorry, the grey box is not available. Would you like the red box?"),
        (
            "telephone",
            TELEPHONE_DECLINE,
            "I am sorry, the red box is not free. Would you like the grey one?",
        ),  # one of what?
        ("telephone", TELEPHONE_OFFER, "The red box costs forty a night. Shall I have it ready?"),
    ],
)
def test_wrong_replies(task: str, example: Example, reply: str) -> None:
    assert TASKS[task].score(example, reply).value == 0
