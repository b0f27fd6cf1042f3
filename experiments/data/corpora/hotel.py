"""Hotel booking: the customer books a room, the agent asks, confirms, books (`experiments/data/corpora/agent.py`)."""

from __future__ import annotations

from experiments.data.corpora.agent import NUMBERS, Agent

AGENT = Agent(
    name="hotel",
    sizes={"train": 9600, "validation": 200, "test": 300},
    values={
        "arrival": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
        "nights": NUMBERS,
        "guests": NUMBERS[:6],
        "room": ("single", "double", "twin", "family", "garden", "corner", "attic", "terrace"),
    },
    counted=("nights", "guests"),
    scarce="room",
    carry_out="book",
    gives={
        (): (
            "I would like to book a stay.",
            "I need a place to stay.",
            "we want to visit your town.",
            "do you have a room for us?",
            "I want to book a room, please.",
            "we are looking for a hotel.",
        ),
        ("arrival",): (
            "we arrive on {arrival}.",
            "I will come on {arrival}.",
            "we are coming on {arrival}.",
            "my arrival is on {arrival}.",
            "{arrival} would be best.",
            "I would like to arrive on {arrival}.",
            "our train comes in on {arrival}.",
        ),
        ("nights",): (
            "we will stay {nights}.",
            "I need it for {nights}.",
            "it will be {nights}.",
            "{nights} would be best.",
            "I would like to stay {nights}.",
            "we can stay for {nights}, please.",
        ),
        ("guests",): (
            "there will be {guests}.",
            "I count {guests}.",
            "it is for {guests}.",
            "I am booking for {guests}.",
            "please make it {guests}.",
            "we are coming with {guests}.",
        ),
        ("room",): (
            "I would like the {room} room, please.",
            "we want the {room} room.",
            "the {room} room would be best.",
            "could we have the {room} room?",
            "please give us the {room} room.",
            "I need the {room} room.",
        ),
    },
    phrases={"arrival": "arrival on {arrival}", "nights": "{nights}", "guests": "{guests}", "room": "the {room} room"},
    agrees=(
        "yes, that is right.",
        "that is right, please book it.",
        "yes, please.",
        "yes, that is all.",
        "please book it.",
        "yes, thank you.",
    ),
    asks_price=(
        "how much is it?",
        "what is the price, please?",
        "what does the room cost?",
        "how much does it cost?",
        "could you tell me the price?",
        "I would like to know the price.",
    ),
    replies={
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
    },
    required={
        "confirm": ("arrival", "nights", "guests", "room"),
        "book": ("room", "arrival", "nights"),
        "decline": ("room", "free"),
        "offer": ("room", "price"),
    },
)
examples = AGENT.examples
