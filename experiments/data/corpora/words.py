"""The people and the word pools of the general corpus."""

from __future__ import annotations

PEOPLE = tuple(
    (name, "f") for name in "Anna Clara Emily Grace Helen Julia Laura Maria Nora Rosa Sarah Tina".split()
) + tuple((name, "m") for name in "Adam Ben Carl David Frank George Henry Jack Leo Martin Paul Tom".split())


def _words(text: str) -> tuple[str, ...]:
    """Parse "word, word with space, word"."""
    return tuple(item.strip() for item in text.replace("\n", " ").split(","))


POOLS: dict[str, tuple[str, ...]] = {
    "other": tuple(name for name, _ in PEOPLE),
    "day": _words("Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday"),
    "n": _words("two, three, four, five, six, seven, eight, nine"),
    "n1": _words("one, two, three, four, five, six, seven, eight, nine"),
    "tens": _words("thirty, forty, fifty, sixty, seventy, eighty, ninety"),
    "room": _words("single, double, twin, family, garden, corner, attic, terrace"),
    "part": _words("garden, corner, attic, terrace, kitchen, cellar, hall, yard"),
    "kin": _words("sister, brother, mother, father, aunt, uncle, cousin, grandmother, grandfather, neighbour"),
    "job": _words("baker, nurse, teacher, farmer, driver, painter, cook, gardener, clerk, doctor, carpenter, tailor"),
    "food": _words("soup, bread, rice, fish, cheese, salad, honey, pasta, stew, cake, porridge, jam"),
    "fruit": _words("apples, pears, plums, cherries, grapes, lemons, berries, peaches"),
    "thing": _words("table, chair, lamp, clock, ladder, basket, blanket, mirror, bucket, kettle, drawer, bottle"),
    "small": _words("key, letter, ticket, coat, hat, book, map, ring, bag, scarf, pencil, coin"),
    "place": _words("market, station, library, harbour, school, museum, bridge, park, forest, beach, mill, village"),
    "animal": _words("dog, cat, horse, goat, hen, duck, rabbit, cow, donkey, chicken"),
    "weather": _words("cold, warm, windy, foggy, sunny, wet, stormy, mild, dry, cloudy"),
    "season": _words("spring, summer, autumn, winter"),
    "time": _words("morning, evening, afternoon, night"),
    "adj": _words("tall, new, small, large, heavy, red, blue, green, wooden, broken, clean, narrow, yellow, soft"),
    "colour": _words("red, blue, green, yellow, white, brown, grey"),
    "mood": _words("happy, tired, sorry, proud, calm, busy, hungry, glad, nervous, quiet"),
    "ride": _words("train, bus, boat, ferry, tram, bicycle, cart"),
    "tool": _words("hammer, brush, needle, spade, broom, saw, rope, knife"),
    "do": _words("sing, read, swim, paint, cook, dance, sew, climb, rest, work"),
    "did": _words("washed, carried, painted, repaired, found, cleaned, moved, sold, borrowed, dropped"),
    "speed": _words("slowly, quickly, quietly, carefully, gladly, suddenly"),
    "money": _words("pounds, coins, euros, cents"),
    "kind": _words("hotel, shop, school, bakery, farm, factory"),
}
