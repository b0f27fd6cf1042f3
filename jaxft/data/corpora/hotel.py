"""Hotel booking: what is known and what the customer just said; the reply is the next step of a fixed policy.

Policy: ask for the first missing slot in the order of SLOTS; when all are known, confirm them; when the customer
agrees, book if the room is available and otherwise offer the free one; when the customer asks for the price, name it.
"""

from __future__ import annotations

import itertools
import random

from jaxft.data.corpora import capitalise, check_split, join_opener, turn
from jaxft.data.example import Example

SLOTS: tuple[str, ...] = ("arrival", "nights", "guests", "room")
ACTS = ("ask_arrival", "ask_nights", "ask_guests", "ask_room", "confirm", "book", "decline", "offer")
NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
VALUES: dict[str, tuple[str, ...]] = {
    "arrival": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "nights": NUMBERS,
    "guests": NUMBERS[:6],
    "room": ("single", "double", "twin", "family", "garden", "corner", "attic", "terrace"),
}
PRICES = ("thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
SIZES = {"train": 9600, "validation": 200, "test": 300}

OPENERS = (
    "", "Hello,", "Good morning,", "Good evening,", "Thank you,", "Well,", "Sure,", "All right,", "Hi there,",
    "It is a nice day.", "Let me see,", "I am so happy.",
)  # fmt: skip
CLOSERS = (
    "",
    "",
    "",
    "Thanks.",
    "My sister told me about you.",
    "It has been a long week.",
    "The weather is cold here.",
)
# What the customer says, by the slots it gives; {arrival} etc. are filled by _spoken.
GIVES = {
    (): (
        "I would like to book a stay.", "I need a place to stay.", "we want to visit your town.",
        "do you have a room for us?",
        "I want to book a room, please.", "we are looking for a hotel.",
    ),
    ("arrival",): (
        "we arrive on {arrival}.", "I will come on {arrival}.", "we are coming on {arrival}.",
        "my arrival is on {arrival}.",
        "{arrival} would be best.", "I would like to arrive on {arrival}.", "our train comes in on {arrival}.",
    ),
    ("nights",): (
        "we will stay {nights}.", "I need it for {nights}.", "it will be {nights}.", "{nights} would be best.",
        "I would like to stay {nights}.", "we can stay for {nights}, please.",
    ),
    ("guests",): (
        "there will be {guests}.", "I count {guests}.", "it is for {guests}.", "I am booking for {guests}.",
        "please make it {guests}.", "we are coming with {guests}.",
    ),
    ("room",): (
        "I would like the {room} room, please.", "we want the {room} room.", "the {room} room would be best.",
        "could we have the {room} room?", "please give us the {room} room.", "I need the {room} room.",
    ),
}  # fmt: skip
PHRASES = {"arrival": "arrival on {arrival}", "nights": "{nights}", "guests": "{guests}", "room": "the {room} room"}
PAIRS = (
    "we want {p} and {q}.", "it will be {p} and {q}.", "please make it {p}, {q}.", "I would like {p} and {q}, please.",
    "I need {p}, and {q}.", "{p} and {q} would be best.",
)  # fmt: skip
AGREES = (
    "yes, that is right.", "that is right, please book it.", "yes, please.", "yes, that is all.", "please book it.",
    "yes, thank you.",
)  # fmt: skip
ASKS_PRICE = (
    "how much is it?", "what is the price, please?", "what does the room cost?", "how much does it cost?",
    "could you tell me the price?", "I would like to know the price.",
)  # fmt: skip
REPLIES = {
    "ask_arrival": ("On which day will you arrive?", "Which day would you like to arrive?"),
    "ask_nights": ("How many nights will you stay?", "How many nights would you like to stay?"),
    "ask_guests": ("How many guests will there be?", "How many guests are coming?"),
    "ask_room": ("Which room would you like?", "What kind of room would you like?"),
    "confirm": (
        "That is the {room} room from {arrival} for {nights} and {guests}. Is that right?",
        "So you would like the {room} room from {arrival} for {nights} and {guests}, right?",
    ),
    "book": (
        "The {room} room is booked from {arrival} for {nights}. Thank you.",
        "Your {room} room is booked from {arrival} for {nights}.",
    ),
    "decline": (
        "I am sorry, the {room} room is not available. Would you like the {free} room?",
        "I am sorry, the {room} room is not free. Would the {free} room be all right?",
    ),
    "offer": (
        "The {room} room costs {price} a night. Shall I book it?",
        "The {room} room is {price} a night. Would you like it?",
    ),
}
REQUIRED = {
    "confirm": SLOTS,
    "book": ("room", "arrival", "nights"),
    "decline": ("room", "free"),
    "offer": ("room", "price"),
}


def examples(split: str) -> list[Example]:
    """SIZES[split] examples, the acts in turn. No (arrival, nights, guests, room) tuple is in two splits, nor any pair
    of customer opener and sentence. key: "act" and the values that the reply must name."""
    check_split(split)
    rng = random.Random(f"hotel {split}")
    stays = _stays(split)
    seen: set[str] = set()
    result = []
    while len(result) < SIZES[split]:
        example = _example(rng, ACTS[len(result) % len(ACTS)], rng.choice(stays), split)
        prompt = example.messages[0].content
        if prompt not in seen:
            seen.add(prompt)
            result.append(example)
    return result


def _stays(split: str) -> list[dict[str, str]]:
    """The full tuples of a split: 75 % train, 10 % validation, 15 % test."""
    stays = [dict(zip(SLOTS, values, strict=True)) for values in itertools.product(*(VALUES[slot] for slot in SLOTS))]
    random.Random("hotel stays").shuffle(stays)
    first, second = int(0.75 * len(stays)), int(0.85 * len(stays))
    return {"train": stays[:first], "validation": stays[first:second], "test": stays[second:]}[split]


def _example(rng: random.Random, act: str, stay: dict[str, str], split: str) -> Example:
    facts = dict(stay)
    said: tuple[str, ...] = ()
    sentences = {"book": AGREES, "decline": AGREES, "offer": ASKS_PRICE}.get(act)
    if sentences is None:
        given = _given(rng, act)
        said = _said(rng, given, act)
        sentences = GIVES[said] if len(said) < 2 else PAIRS
        facts = {slot: stay[slot] for slot in given}
    else:
        facts |= _offers(rng, act, stay)
    key = {"act": act} | {name: facts[name] for name in REQUIRED.get(act, ())}
    known = [f"{name} {value}" for name, value in facts.items() if name not in said]
    rng.shuffle(known)
    customer = _customer(rng, sentences, said, _spoken(stay), split)
    reply = rng.choice(REPLIES[act]).format(**{name: _spoken(key).get(name, value) for name, value in key.items()})
    return turn(f"Known: {'; '.join(known) or 'nothing'}. Customer: {customer}", reply, key)


def _given(rng: random.Random, act: str) -> list[str]:
    """The slots known after the customer's turn: all before the one to ask for, and any after it."""
    if act == "confirm":
        return list(SLOTS)
    asked = SLOTS.index(act.removeprefix("ask_"))
    return [slot for i, slot in enumerate(SLOTS) if i < asked or (i > asked and rng.random() < 0.5)]


def _said(rng: random.Random, given: list[str], act: str) -> tuple[str, ...]:
    """Which of the given slots (none, one or two) the customer gives in this turn."""
    least = 1 if act == "confirm" else 0
    count = min(len(given), max(least, rng.choice((0, 1, 1, 2))))
    return tuple(rng.sample(given, count))


def _offers(rng: random.Random, act: str, stay: dict[str, str]) -> dict[str, str]:
    """What the hotel knows besides the stay; a price (or the availability) may be known without being asked for."""
    offers = {}
    if act == "offer" or rng.random() < 0.5:
        offers["price"] = rng.choice(PRICES)
    if act == "decline":
        offers |= {"available": "no", "free": rng.choice([room for room in VALUES["room"] if room != stay["room"]])}
    elif act == "book" or rng.random() < 0.5:
        offers["available"] = "yes"
    return offers


def _customer(
    rng: random.Random, sentences: tuple[str, ...], said: tuple[str, ...], spoken: dict[str, str], split: str
) -> str:
    """Opener, sentence and perhaps small talk. (opener + sentence) modulo 6 decides the split of a pair."""
    classes = {"train": (2, 3, 4, 5), "validation": (1,), "test": (0,)}[split]
    pairs = itertools.product(range(len(OPENERS)), range(len(sentences)))
    i, j = rng.choice([(i, j) for i, j in pairs if (i + j) % 6 in classes])
    sentence = sentences[j]
    if len(said) == 2:
        sentence = sentence.format(p=PHRASES[said[0]], q=PHRASES[said[1]])
    text = join_opener(OPENERS[i], sentence.format(**spoken))
    return capitalise(f"{text} {rng.choice(CLOSERS)}".rstrip())


def _spoken(values: dict[str, str]) -> dict[str, str]:
    """The slot values as said in a sentence: "one night", "two guests"."""
    spoken = dict(values)
    for slot in ("nights", "guests"):
        if slot in values:
            spoken[slot] = f"{values[slot]} {slot[:-1] if values[slot] == 'one' else slot}"
    return spoken
