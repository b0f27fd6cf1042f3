"""A sequence of two domains in the tiny world."""

from __future__ import annotations

import re
from pathlib import Path

from tests.experiments.world import DAYS, NUMBERS, World, write_lines

STAGES = """
sequence = Sequence(
    name="pair",
    experiment=experiment,
    first="rooms",
    stages=(
        Stage("tables", (file("tables"),), Axis("likelihood", file("tables_test"), file("tables_validation"))),
    ),
)
"""


def orders(what: str, numbers: tuple[str, ...], days: tuple[str, ...]) -> list[dict[str, str]]:
    return [
        {"prompt": f"A {what} for {number} on {day}.", "response": f"The {what} is kept for {number} on {day}."}
        for number in numbers
        for day in days
    ]


def write_sequence(world: World) -> str:
    """The path of a config in the world's folder: one seed, two methods at one rate, two domains and a text."""
    data = {
        "tables": orders("table", NUMBERS[:3], DAYS[:4]),
        "tables_validation": orders("table", NUMBERS[3:4], DAYS[:2]),
        "tables_test": orders("table", NUMBERS[4:6], DAYS[:2]),
    }
    for name, records in data.items():
        write_lines(world.folder / f"{name}.jsonl", records)
    text = Path(world.config).read_text()
    for pattern, new in (
        (r"Reference, Source, Sweep, Training", "Reference, Sequence, Source, Stage, Sweep, Training"),
        (r"seeds=\(0, 1\)", "seeds=(0,)"),
        (r'\n +"(full|safety)": .*', ""),
        (r"1e-3, 1e-2", "1e-2,"),
        (r"kfac_strength=0.1, kfac_outputs=True\)", 'kfac_strength=0.1, kfac_outputs=True, targets=("q", "down"))'),
    ):
        text, changed = re.subn(pattern, new, text)
        assert changed
    path = world.folder / "sequence.py"
    path.write_text(text + STAGES)
    return str(path)
