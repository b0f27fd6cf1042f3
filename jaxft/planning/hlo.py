"""Collectives of a compiled program, read from its text."""

import re
from collections.abc import Iterator

_KINDS = ("all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute")
_COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) \(.*\{$")
_COLLECTIVE = re.compile(rf"= (.+?) ({'|'.join(_KINDS)})(?:-start)?\(")
_ARRAY = re.compile(r"\b(pred|[suf]\d+|bf16|f8\w*)\[([\d,]*)\]")
_CALLED = re.compile(
    r"(?:calls|to_apply|body|condition|called_computations|branch_computations)=\{?%?([\w.\-]+(?:, *%[\w.\-]+)*)"
)
_WHILE = re.compile(r"condition=%?([\w.\-]+), body=%?([\w.\-]+)")
_TRIPS = re.compile(r'known_trip_count"?:\{"?n"?:"?(\d+)')
_CONSTANT = re.compile(r"= s32\[\]\S* constant\((\d+)\)")


def collective_bytes(text: str) -> tuple[dict[str, int], int]:
    """(bytes that one device receives in one run of the program, by kind of collective; the largest single result).

    A collective counts the size of its result times the runs of the loops around it; an all-reduce counts twice, as it
    scatters and gathers. The compiler may split one collective into several pieces: they share a channel and count
    once. A loop with an unknown number of iterations counts once.
    """
    computations = dict(_computations(text))
    runs = _runs(computations)
    found: dict[str, tuple[str, int, int]] = {}
    for name, lines in computations.items():
        for number, line in enumerate(lines):
            match = _COLLECTIVE.search(line)
            if match is None or name not in runs:
                continue
            channel = re.search(r"channel_id=(\d+)", line)
            key = f"channel {channel[1]}" if channel else f"{name} {number}"
            size = _result_bytes(match[1], "-start(" in line)
            known = found.get(key, (match[2], 0, 0))
            found[key] = (match[2], max(known[1], size), max(known[2], runs[name]))
    totals: dict[str, int] = {}
    for kind, size, times in found.values():
        totals[kind] = totals.get(kind, 0) + size * times * (2 if kind == "all-reduce" else 1)
    return totals, max((size for _, size, _ in found.values()), default=0)


def _computations(text: str) -> Iterator[tuple[str, list[str]]]:
    name, lines = "", []
    for line in text.splitlines():
        if match := _COMPUTATION.match(line):
            name, lines = match[1], []
            if line.startswith("ENTRY"):
                name = "ENTRY"
        elif line == "}" and name:
            yield name, lines
            name = ""
        elif name:
            lines.append(line)


def _runs(computations: dict[str, list[str]]) -> dict[str, int]:
    """Number of runs of each computation in one run of the entry."""
    runs: dict[str, int] = {}
    pending = [("ENTRY", 1)]
    while pending:
        name, times = pending.pop()
        if name not in computations or runs.get(name, 0) >= times:
            continue
        runs[name] = times
        for line in computations[name]:
            turns = 1
            if loop := _WHILE.search(line):
                trips = _TRIPS.search(line)
                bounds = [int(c) for row in computations.get(loop[1], []) for c in _CONSTANT.findall(row)]
                turns = int(trips[1]) if trips else max(bounds, default=1)
            for called in _CALLED.findall(line):
                pending += [(other.strip().lstrip("%"), times * turns) for other in called.split(",")]
    return runs


def _result_bytes(shape: str, started: bool) -> int:
    """Bytes of a result; a started collective lists its operands first, and the larger half is its result."""
    sizes = []
    for dtype, dims in _ARRAY.findall(shape):
        bits = 8 if dtype == "pred" or dtype.startswith("f8") else int(re.sub(r"\D", "", dtype) or 8)
        size = bits // 8
        for length in filter(None, dims.split(",")):
            size *= int(length)
        sizes.append(size)
    return max(sizes, default=0) if started else sum(sizes)
