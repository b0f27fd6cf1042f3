"""A restaurant: the customer orders food, the agent asks, confirms, makes it (`experiments/data/corpora/agent.py`).

The shipped base has read these words but not this behaviour.
"""

from __future__ import annotations

from experiments.data.corpora.agent import NUMBERS, Agent

AGENT = Agent(
    name="restaurant",
    instruction="You give people food.",
    sizes={"train": 4800, "validation": 200, "test": 300},
    values={
        "food": (
            "soup",
            "bread",
            "rice",
            "fish",
            "cheese",
            "salad",
            "honey",
            "pasta",
            "stew",
            "cake",
            "porridge",
            "jam",
        ),
        "bowls": NUMBERS[:6],
        "fruit": ("apples", "pears", "plums", "cherries", "grapes", "lemons", "berries", "peaches"),
        "table": ("garden", "corner", "terrace", "kitchen", "hall", "yard"),
    },
    counted=("bowls",),
    scarce="food",
    carry_out="make",
    gives={
        (): (
            "we are so hungry.",
            "I want some food, please.",
            "I am hungry, and my sister is hungry.",
            "do you have food for us?",
            "we would like some food.",
            "the children want some food.",
        ),
        ("food",): (
            "I would like some {food}.",
            "we want the {food}, please.",
            "could we have some {food}?",
            "please give us some {food}.",
            "the {food} would be best.",
            "I need some {food}.",
        ),
        ("bowls",): (
            "we need {bowls}.",
            "I would like {bowls}, please.",
            "it will be {bowls}.",
            "please make it {bowls}.",
            "{bowls} would be best.",
            "please give us {bowls}.",
        ),
        ("fruit",): (
            "I would like it with {fruit}.",
            "we like {fruit} with it.",
            "please make it with {fruit}.",
            "could we have {fruit} with it?",
            "the {fruit} would be nice.",
            "I want some {fruit} with that.",
        ),
        ("table",): (
            "we are at the {table} table.",
            "the {table} table, please.",
            "we would like the {table} table.",
            "could we have the {table} table?",
            "I want the {table} table.",
            "the {table} table would be best.",
        ),
    },
    phrases={"food": "the {food}", "bowls": "{bowls}", "fruit": "the {fruit} with it", "table": "the {table} table"},
    agrees=(
        "yes, that is right.",
        "that is right, please make it.",
        "yes, please.",
        "yes, that is all.",
        "please make it.",
        "yes, thank you.",
    ),
    asks_price=(
        "how much is it?",
        "what is the price, please?",
        "what does the food cost?",
        "how much does it cost?",
        "could you tell me the price?",
        "I would like to know the price.",
    ),
    replies={
        "ask_food": ("Which food would you like?", "What kind of food would you like?"),
        "ask_bowls": ("How many bowls would you like?", "How many bowls will it be?"),
        "ask_fruit": ("Which fruit would you like with it?", "What kind of fruit would you like with it?"),
        "ask_table": ("Which table would you like?", "What table would you like?"),
        "confirm": (
            "That is {bowls} of {food} with {fruit} for the {table} table. Is that right?",
            "So you would like {bowls} of {food} with {fruit} for the {table} table, right?",
        ),
        "make": (
            "The {food} with {fruit} will be ready at the {table} table. Thank you.",
            "Your {food} with {fruit} will be ready at the {table} table.",
        ),
        "decline": (
            "I am sorry, the {food} is not available. Would you like the {free}?",
            "I am sorry, there is no {food} left. Would the {free} be all right?",
        ),
        "offer": (
            "The {food} costs {price} a bowl. Shall I make it?",
            "The {food} is {price} a bowl. Would you like it?",
        ),
    },
    required={
        "confirm": ("food", "bowls", "fruit", "table"),
        "make": ("food", "fruit", "table"),
        "decline": ("food", "free"),
        "offer": ("food", "price"),
    },
)
examples = AGENT.examples
