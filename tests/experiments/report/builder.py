"""A synthetic record as JSON data, as `compare` writes it, which a test may change before `typed` reads it."""

import copy
from typing import Any

import numpy as np

from experiments.evaluation.matched import matched
from experiments.store.record import ComparisonRecord, decode
from experiments.store.record.codec import to_json
from jaxft.subspace.movement import ENERGIES

HOSTILE = "<script>alert('x & y')</script>"
LINEARS = ("q", "k", "v", "o", "gate", "up", "down")
FRACTIONS = {  # before, then after by method
    "proficiency": (0.05, {"lora": 0.86, "full": 0.84, "projection": 0.82, "soft": 0.85}),
    "safety": (0.812, {"lora": 0.105, "full": 0.20, "projection": 0.72, "soft": 0.80}),
    "knowledge": (0.64, {"lora": 0.37, "full": 0.41, "projection": 0.61, "soft": 0.63}),
}
LOSSES = {
    "proficiency": (3.853, {"lora": 1.172, "full": 1.269, "projection": 1.266, "soft": 1.149}),
    "knowledge": (1.567, {"lora": 2.838, "full": 2.148, "projection": 1.742, "soft": 1.912}),
}
TASKS = {"proficiency": "hotel", "safety": "toxigen", "knowledge": "dolly"}


def typed(record: dict[str, Any]) -> ComparisonRecord:
    """The record that a report is drawn from."""
    return decode(record, "builder")


def at_equal(record: dict[str, Any], levels: tuple[float, ...] = ()) -> dict[str, Any]:
    """The record with what its methods lost at equal proficiency."""
    found = typed({**record, "matched": []})
    return {**record, "matched": to_json(matched(found.methods, found.axes, levels))}


def build(*, losses: bool = False, seeds: int = 3, layers: int = 4) -> dict[str, Any]:
    """A full record; with `losses` it has the two loss axes of the stories config."""
    numbers = LOSSES if losses else FRACTIONS
    unit = ("loss", "nat/token", False) if losses else ("accuracy", "fraction", True)
    axes = {
        name: {"task": TASKS[name], "metric": unit[0], "unit": unit[1], "higher_is_better": unit[2], "examples": 300}
        for name in numbers
    }
    leaks = {"lora": 0.61, "full": 0.48, "projection": 2e-6, "soft": 0.031}
    methods = {name: _method(name, numbers, leak, losses, seeds, layers) for name, leak in leaks.items()}
    record = {
        "format": 2,
        "kind": "comparison",
        "name": "pocket",
        "command": "jaxft compare configs/pocket.py",
        "created": "2025-01-02T03:04:05+00:00",
        "config": {
            "seed": 0,
            "model": {"width": 128, "folder": "assets/pocket"},
            "methods": ["lora", "full"],
            "empty": {},
        },
        "versions": {"jax": "0.10.2"},
        "hardware": {"platform": "cpu", "devices": 1},
        "seeds": list(range(seeds)),
        "data": {"hotel/train": {"examples": 2000, "sha256": "ab" * 32}},
        "base": {"folder": "assets/pocket", "sha256": "cd" * 32, "parameters": 1_000_000},
        "axes": axes,
        "judge": None,
        "methods": methods,
        "timings": {"total_seconds": 612.0},
    }
    return at_equal(record)


def moving(record: dict[str, Any]) -> dict[str, Any]:
    """The record with what every method moved, the leak the same in every linear and at every energy, more in later
    layers; the KL has an interval."""
    for method in record["methods"].values():
        found = method["certificate"]
        leaks = [space["leak"]["q"] for space in found["spaces"] if "q" in space["leak"]]
        linear = {name: [0.5] * len(leaks) for name in ("norm", "relative", "effective_rank", "changed")}
        linear |= {"full_rank": 64, "shares": [[leak**2] * len(ENERGIES) for leak in leaks]}
        drift = {"logit_kl": 0.5, "logit_max_difference": 7.0, "hidden_drift": [0.5] * len(leaks)}
        found |= {
            "logit_kl_interval": [0.8 * found["logit_kl"], 1.1 * found["logit_kl"]],
            "hidden_drift": [0.5] * len(leaks),
            "domain": {**drift, "logit_kl_interval": [0.4, 0.55]},
            "movement": {
                "changed_above": 1e-3,
                "energies": list(ENERGIES),
                "shares": [leaks[0] ** 2] * len(ENERGIES),
                "isotropic": [0.9 * energy**2 for energy in ENERGIES],
                "linears": dict.fromkeys(LINEARS, linear),
            },
        }
    return record


def _method(name: str, numbers: dict, leak: float, losses: bool, seeds: int, layers: int) -> dict[str, Any]:
    after = {axis: values[1][name] for axis, values in numbers.items()}
    before = {axis: values[0] for axis, values in numbers.items()}
    rates = [
        {
            "learning_rate": rate,
            "validation": _part(before, after, share * 0.99),
            "test": _part(before, after, share),
            "delta_norm": 4.0 * share,
            "chosen": share == 1.0,
        }
        for rate, share in ((1e-4, 0.3), (3e-4, 0.7), (1e-3, 1.0))
    ]
    spaces = [
        {
            "space": space,
            "layer": layer,
            "width": 128,
            "rank": 40,
            "captured_heldout": 0.9 + 0.01 * layer,
            "leak": {linear: min(1.0, leak * (1 + 0.15 * layer)) for linear in linears},
        }
        for space, linears in (
            ("attention_input", LINEARS[:3]),
            ("attention_output", LINEARS[3:4]),
            ("mlp_input", LINEARS[4:6]),
            ("mlp_hidden", LINEARS[6:]),
        )
        for layer in range(layers)
    ]
    measured = {
        "logit_kl": leak / 3,
        "logit_max_difference": leak * 9,
        "unprojected": [],
        "delta_norm": 4.0,
        "relative_delta_norm": 0.034,
        "spaces": spaces,
    }
    return {
        "kind": name,
        "learning_rate": 1e-3,
        "delta_norm": 4.0,
        "reference": "none" if name in ("lora", "full") else "before training",
        "memory": {
            "peak_bytes": 3 * 2**30,
            "trained_bytes": 2**20,
            "optimizer_bytes": 2**21,
            "constants_bytes": 0 if name in ("lora", "full") else 5 * 2**18,
        },
        "rates": rates,
        "axes": {axis: _axis(before[axis], after[axis], losses, seeds) for axis in after},
        "certificate": {**measured, "exported": copy.deepcopy(measured)},
        "timings": {
            "train_seconds": 96.0,
            "tokens_per_second": 21000.0,
            "step_milliseconds": 60.0 if name == "soft" else 48.0,
        },
        "trained_parameters": 786_432,
        "examples": {} if losses else {"safety": [_flip()]},
    }


def _part(before: dict[str, float], after: dict[str, float], share: float) -> dict[str, float]:
    return {axis: before[axis] + (after[axis] - before[axis]) * share for axis in after}


def _axis(before: float, after: float, losses: bool, seeds: int) -> dict[str, Any]:
    arm = 0.02 if losses else 0.041
    change = after - before
    return {
        "before": before,
        "after": after,
        "change": change,
        "relative_change": change / before,
        "before_interval": [before - arm, before + arm],
        "after_interval": [after - arm, after + arm],
        "change_interval": [change - 1.2 * arm, change + 1.1 * arm],
        "p_value": 0.0002,
        "negative_flips": None if losses else 12.0,
        "positive_flips": None if losses else 3.5,
        "examples": 300,
        "seeds": [{"seed": seed, "after": after} for seed in range(seeds)],
    }


def _flip() -> dict[str, Any]:
    return {
        "prompt": f"Is this kind? {HOSTILE}",
        "before": "No.",
        "after": f"Yes {HOSTILE}",
        "before_ok": True,
        "after_ok": False,
    }


def hostile() -> dict[str, Any]:
    """A record whose names hold HTML."""
    record = build(seeds=1)
    record["methods"] = {HOSTILE if name == "lora" else name: method for name, method in record["methods"].items()}
    record["name"] = record["command"] = HOSTILE
    record["config"][HOSTILE] = HOSTILE
    return at_equal(record)


def judged() -> dict[str, Any]:
    """A record with everything that a judged run adds: groups, corrected p, examples without verdict, copies."""
    record = build(seeds=1)
    record["judge"] = {"name": "a patient judge", "usage": {"requests": 600, "cost": 0.25}}
    found = {"examples": 300, "exact": 2, "exact_short": 1, "near": 7, "prompt": 3}
    record["contamination"] = {
        "safety": {
            "source": "toxigen/test",
            "domain": {**found, "exact": 0, "copies": []},
            "reference": {
                **found,
                "copies": [{"kind": "near", "evaluation": f"All Oskandi. {HOSTILE}", "training": "All the Oskandi."}],
            },
        }
    }
    for place, method in enumerate(record["methods"].values()):
        for axis in method["axes"].values():
            axis.update(p_value_holm=0.0008, unjudged=0, groups={})
        method["axes"]["safety"]["unjudged"] = 5 * (place % 2)
        method["axes"]["safety"]["groups"] = {
            "Oskandi": {"before": 0.8, "after": 0.7 - 0.1 * place, "examples": 40},
            "Velmari": {"before": 0.9, "after": 0.1 + 0.1 * place, "examples": 38 + place},
            "Tuun": {"before": None, "after": None, "examples": 0},
        }
        method["examples"]["safety"] = [
            {
                **_flip(),
                "reference": "Kindly no.",
                "before_label": "contradicts",
                "after_label": "agrees; repetitive",
                "group": "Velmari",
            },
            {**_flip(), "after_ok": None, "before_label": "contradicts", "after_label": "", "group": "Oskandi"},
        ]
    return record


def many(count: int) -> dict[str, Any]:
    """A record of so many methods, each with results of its own."""
    record, random = build(), np.random.default_rng(0)
    methods = {}
    for index in range(count):
        method = copy.deepcopy(record["methods"]["soft" if index else "lora"])
        for axis in method["axes"]:
            scale = random.uniform(0.5, 1.0)
            method["axes"][axis]["after"] *= scale
            for rate in method["rates"]:
                rate["test"][axis] *= scale
        methods[f"method {index}, methods.a_long_key {index}"] = method
    return at_equal({**record, "methods": methods})
