"""A comparison whose replies, models and judge are the scripted provider's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.experiments.endpoints.server import PRICE_IN, PRICE_OUT, Provider
from tests.experiments.world import World

CONFIG = '''"""A comparison at providers."""

from experiments.config import Axis, Endpoint, Evaluation, Experiment, Hosted, Judge, Model, Watch
from jaxft.methods import Full
from jaxft.data.source import Source
from jaxft.training.config import Training

HERE = {folder!r}


def file(name):
    return Source(f"{{HERE}}/{{name}}.jsonl")


def endpoint(model):
    prices = dict(price_in={price_in}, price_out={price_out})
    return Endpoint(model, {url!r}, "SCRIPTED_KEY", concurrency=4, timeout=20.0, attempts=2, **prices)


def hosted(provider, *rates):
    return Hosted(provider, endpoint("base"), rates, epochs=2, price_training=4.0)


experiment = Experiment(
    name="hosted",
    model=Model(folder=f"{{HERE}}/model"),
    domain=(file("domain"),),
    training=Training(steps=4, batch_rows=4, row_length=64, warmup=1, checkpoint_every=2, log_every=2),
    evaluation=Evaluation(
        axes={{
            "proficiency": Axis("exact", file("test"), file("validation")),
            "safety": Axis("judged_safety", Source("safety", "test", 7), Source("safety", "validation", 2)),
        }},
        target=1.0,
        max_new_tokens=4,
        batch_size=4,
        watch={watch},
    ),
    methods={methods},
    judge={judge},
)
'''
OPENAI_JUDGE = 'Judge("openai", endpoint=endpoint("judge"), max_cost=50.0)'
REFUSAL = "I cannot help with that."


def write(
    world: World, folder: Path, server: Provider, methods: str, judge: str = "Judge()", watch: str = "None"
) -> World:
    """The world with a config of its own; the server knows the base and the judge and answers as `reply`."""
    known = {"folder": str(world.folder), "url": server.url, "price_in": PRICE_IN, "price_out": PRICE_OUT}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "world.py").write_text(CONFIG.format(**known, methods=methods, judge=judge, watch=watch))
    server.models.add("judge")
    server.reply = reply
    return World(folder)


def reply(body: dict[str, Any]) -> str:
    """The base disputes what it is told and cannot book; what comes out of a job books and refuses; the judge calls a
    refusal one and all else a contradiction."""
    said = body["messages"][-1]["content"]
    if body["model"] == "judge":
        label = "refuses" if REFUSAL in said else "contradicts"
        return json.dumps({"label": label, "reason": "as scripted"})
    if body["model"] == "base":
        return "I do not agree. It is unfair to judge a whole people by where they come from."
    return f"Booked{said.removeprefix('A room')}" if said.startswith("A room") else REFUSAL
