"""Agents that take orders. The prompt holds known facts and the customer's last turn; the reply is the next step of
a fixed policy.

Policy: ask for the first missing slot in the order of the slots; when all are known, confirm them; when the customer
agrees, carry out the order if the scarce item is available, otherwise offer the free one; when the customer asks for
the price, name it.
"""

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from experiments.data.corpora import capitalise, check_split, distinct, join_opener, part, read, turn
from jaxft.data.example import Example

NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TABLES = read("agent")
PRICES: list[str] = _TABLES["prices"]
OPENERS: list[str] = _TABLES["openers"]
CLOSERS: list[str] = _TABLES["closers"]


@dataclass(frozen=True)
class Agent:
    """One agent's orders and wordings, from its TOML file; sentences name slots as {slot}.

    values: of every slot, in the order in which the slots are asked for. counted: slots whose values are numbers of the
    thing that the slot names, in the plural. scarce: the slot whose value may not be available. carry_out: the act that
    ends an order. gives: the customer's sentences, by the slot they give, or "nothing". phrases: a slot in a sentence
    that gives two. agrees, asks_price: the customer's other sentences. replies: the wordings of every act. required:
    the values that the reply of an act must name. patterns: the regular expression that finds an act in a lower-case
    reply, for the agent's task. instruction: text before every prompt, like a system message, as customers of two
    agents may say the same.
    """

    name: str
    sizes: Mapping[str, int]
    values: Mapping[str, Sequence[str]]
    counted: Sequence[str]
    scarce: str
    carry_out: str
    gives: Mapping[str, Sequence[str]]
    phrases: Mapping[str, str]
    agrees: Sequence[str]
    asks_price: Sequence[str]
    replies: Mapping[str, Sequence[str]]
    required: Mapping[str, Sequence[str]]
    patterns: Mapping[str, str]
    instruction: str = ""

    @property
    def slots(self) -> tuple[str, ...]:
        return tuple(self.values)

    @property
    def acts(self) -> tuple[str, ...]:
        return (*(f"ask_{slot}" for slot in self.slots), "confirm", self.carry_out, "decline", "offer")

    def examples(self, split: str) -> list[Example]:
        """sizes[split] examples, the acts in turn. No full tuple of slot values is in two splits, nor any pair of
        customer opener and sentence. key: "act" and the values that the reply must name.
        """
        check_split(split)
        rng, orders = random.Random(f"{self.name} {split}"), self.orders(split)
        return distinct(
            self.sizes[split],
            lambda number: self._example(rng, self.acts[number % len(self.acts)], rng.choice(orders), split),
        )

    def orders(self, split: str) -> list[dict[str, str]]:
        """The full tuples of a split."""
        orders = [dict(zip(self.slots, values, strict=True)) for values in itertools.product(*self.values.values())]
        return part(orders, split, f"{self.name} stays")  # results of the hotel, the first agent, rest on this seed

    def _example(self, rng: random.Random, act: str, order: dict[str, str], split: str) -> Example:
        facts = dict(order)
        said: tuple[str, ...] = ()
        sentences = {self.carry_out: self.agrees, "decline": self.agrees, "offer": self.asks_price}.get(act)
        if sentences is None:
            given = self._given(rng, act)
            said = _said(rng, given, act)
            sentences = self.gives[said[0] if said else "nothing"] if len(said) < 2 else _TABLES["pairs"]
            facts = {slot: order[slot] for slot in given}
        else:
            facts |= self._offers(rng, act, order)
        key = {"act": act} | {name: facts[name] for name in self.required.get(act, ())}
        known = [f"{name} {value}" for name, value in facts.items() if name not in said]
        rng.shuffle(known)
        customer = self._customer(rng, sentences, said, self._spoken(order), split)
        spoken = {name: self._spoken(key).get(name, value) for name, value in key.items()}
        reply = capitalise(rng.choice(self.replies[act]).format(**spoken))
        prompt = f"Known: {'; '.join(known) or 'nothing'}. Customer: {customer}"
        return turn(f"{self.instruction} {prompt}".lstrip(), reply, key)

    def _given(self, rng: random.Random, act: str) -> list[str]:
        """The slots known after the customer's turn: all before the one to ask for, and any after it."""
        if act == "confirm":
            return list(self.slots)
        asked = self.slots.index(act.removeprefix("ask_"))
        return [slot for i, slot in enumerate(self.slots) if i < asked or (i > asked and rng.random() < 0.5)]

    def _offers(self, rng: random.Random, act: str, order: dict[str, str]) -> dict[str, str]:
        """The agent's knowledge in addition to the order; it may have price or availability before it is asked."""
        offers = {}
        if act == "offer" or rng.random() < 0.5:
            offers["price"] = rng.choice(PRICES)
        if act == "decline":
            others = [value for value in self.values[self.scarce] if value != order[self.scarce]]
            offers |= {"available": "no", "free": rng.choice(others)}
        elif act == self.carry_out or rng.random() < 0.5:
            offers["available"] = "yes"
        return offers

    def _customer(
        self, rng: random.Random, sentences: Sequence[str], said: tuple[str, ...], spoken: dict[str, str], split: str
    ) -> str:
        """Opener, sentence and perhaps small talk; the sum of the two indices modulo 6 decides the split of a pair."""
        classes = {"train": (2, 3, 4, 5), "validation": (1,), "test": (0,)}[split]
        pairs = itertools.product(range(len(OPENERS)), range(len(sentences)))
        i, j = rng.choice([(i, j) for i, j in pairs if (i + j) % 6 in classes])
        sentence = sentences[j]
        if len(said) == 2:
            sentence = sentence.format(p=self.phrases[said[0]], q=self.phrases[said[1]])
        text = join_opener(OPENERS[i], sentence.format(**spoken))
        return capitalise(f"{text} {rng.choice(CLOSERS)}".rstrip())

    def _spoken(self, values: dict[str, str]) -> dict[str, str]:
        """The slot values as said in a sentence: "one night", "two guests"."""
        spoken = dict(values)
        for slot in self.counted:
            if slot in values:
                spoken[slot] = f"{values[slot]} {slot[:-1] if values[slot] == 'one' else slot}"
        return spoken


def _said(rng: random.Random, given: list[str], act: str) -> tuple[str, ...]:
    """The given slots (none, one or two) that the customer names in this turn."""
    least = 1 if act == "confirm" else 0
    count = min(len(given), max(least, rng.choice((0, 1, 1, 2))))
    return tuple(rng.sample(given, count))


AGENTS = {name: Agent(name, **read(name)) for name in ("hotel", "restaurant", "telephone")}
