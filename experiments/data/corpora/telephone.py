"""A telephone plan: the customer wants to call somebody, the agent asks, confirms, has the box ready.

An agent of `experiments/data/corpora/agent.py`. The shipped base has never read "telephone" or "plan", so a plan is a
box with a colour, a number of hours to call, a number of weeks and a first day.
"""

from __future__ import annotations

from experiments.data.corpora.agent import NUMBERS, Agent

AGENT = Agent(
    name="telephone",
    instruction="You help people to call.",
    sizes={"train": 4800, "validation": 200, "test": 300},
    values={
        "box": ("red", "blue", "green", "yellow", "white", "brown", "grey"),
        "hours": NUMBERS[1:],
        "weeks": NUMBERS[:6],
        "day": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    },
    counted=("hours", "weeks"),
    scarce="box",
    carry_out="connect",
    gives={
        (): (
            "I would like to call my aunt.",
            "I need a number.",
            "we want to call our family.",
            "could you help me to call home?",
            "I want to call my brother.",
            "we are looking for a number.",
        ),
        ("box",): (
            "I would like the {box} box, please.",
            "we want the {box} box.",
            "the {box} box would be best.",
            "could we have the {box} box?",
            "please give us the {box} box.",
            "I need the {box} box.",
        ),
        ("hours",): (
            "I will call for {hours}.",
            "we need {hours}.",
            "it will be {hours}.",
            "{hours} would be best.",
            "I would like {hours}, please.",
            "please make it {hours}.",
        ),
        ("weeks",): (
            "I need it for {weeks}.",
            "it is for {weeks}.",
            "we would like it for {weeks}.",
            "{weeks} would be best.",
            "please make it {weeks}.",
            "it will be {weeks}.",
        ),
        ("day",): (
            "I need it on {day}.",
            "we want it from {day}.",
            "we need the box on {day}.",
            "I would like it on {day}.",
            "it will be from {day}.",
            "please make it {day}.",
        ),
    },
    phrases={"box": "the {box} box", "hours": "{hours}", "weeks": "{weeks}", "day": "it on {day}"},
    agrees=(
        "yes, that is right.",
        "that is right, thank you.",
        "yes, please.",
        "yes, that is all.",
        "yes, all right.",
        "yes, thank you.",
    ),
    asks_price=(
        "how much is it?",
        "what is the price, please?",
        "what does the box cost?",
        "how much does it cost?",
        "could you tell me the price?",
        "I would like to know the price.",
    ),
    replies={
        "ask_box": ("Which box would you like?", "What kind of box would you like?"),
        "ask_hours": ("How many hours would you like?", "How many hours will you need?"),
        "ask_weeks": ("How many weeks would you like?", "How many weeks will it be?"),
        "ask_day": ("On which day do you need it?", "Which day would you like?"),
        "confirm": (
            "That is the {box} box with {hours} for {weeks} from {day}. Is that right?",
            "So you would like the {box} box with {hours} for {weeks} from {day}, right?",
        ),
        "connect": (
            "The {box} box will be ready on {day} for {weeks}. Thank you.",
            "Your {box} box will be ready on {day} for {weeks}.",
        ),
        "decline": (
            "I am sorry, the {box} box is not available. Would you like the {free} box?",
            "I am sorry, the {box} box is not free. Would the {free} box be all right?",
        ),
        "offer": (
            "The {box} box costs {price} a week. Shall I have it ready?",
            "The {box} box is {price} a week. Would you like it?",
        ),
    },
    required={
        "confirm": ("box", "hours", "weeks", "day"),
        "connect": ("box", "weeks", "day"),
        "decline": ("box", "free"),
        "offer": ("box", "price"),
    },
)
examples = AGENT.examples
