"""Imports go down the list of rooms, never up; the library imports nothing of the lab."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: The rooms of each tree from the ground up; those of one line may import each other.
ROOMS = {
    "jaxft": (
        "errors io sharding distributed preemption bounds progress",
        "optim",
        "subspace",
        "llama",
        "data",
        "methods",
        "training",
        "planning",
    ),
    "experiments": (
        "config config_loader",
        "base_model",
        "generate",
        "store",
        "data",
        "endpoints",
        "report",
        "evaluation",
        "hosted",
        "runs",
        "sweep",
        "benchmarks",
        "verbs",
        "cli",
        "start",
    ),
}
FLOOR = {tree: {room: n for n, line in enumerate(lines) for room in line.split()} for tree, lines in ROOMS.items()}


def imports(path: Path) -> Iterator[str]:
    """Modules that a file imports anywhere; `from a import b` counts as a.b, which may be a module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def files(tree: str) -> Iterator[tuple[Path, str]]:
    """(file, the room it lies in) of a tree, without the tree's own __init__.py."""
    for path in sorted((ROOT / tree).rglob("*.py")):
        parts = path.relative_to(ROOT / tree).with_suffix("").parts
        if parts != ("__init__",):
            yield path, parts[0]


@pytest.mark.parametrize("tree", ROOMS)
def test_every_file_lies_in_a_known_room(tree: str) -> None:
    assert {room for _, room in files(tree)} == set(FLOOR[tree])


@pytest.mark.parametrize("tree", ROOMS)
def test_imports_go_down(tree: str) -> None:
    floors, upward = FLOOR[tree], []
    for path, room in files(tree):
        for name in imports(path):
            other = name.removeprefix(f"{tree}.").split(".")[0] if name.startswith(f"{tree}.") else room
            if floors.get(other, -1) > floors[room]:
                upward.append(f"{path.relative_to(ROOT)} imports {name}")
    assert upward == []


def test_the_library_imports_nothing_of_the_lab() -> None:
    lab = {"experiments", "configs", "tests"}
    assert [str(path) for path, _ in files("jaxft") for name in imports(path) if name.split(".")[0] in lab] == []
