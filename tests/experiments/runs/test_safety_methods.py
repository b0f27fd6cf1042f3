"""Safe LoRA and SafeMERGE in a run: the unaligned model and the safe adapter are read, trained and answered for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from experiments.config_loader import load_experiment
from experiments.runs.checks import check
from experiments.runs.run import Run
from experiments.runs.workspace import Workspace
from jaxft.data.source import Source
from jaxft.errors import UserError
from jaxft.llama.checkpoint import load, read_config, save
from jaxft.llama.model import Llama
from jaxft.methods import Lora, SafeLora, SafeMerge
from jaxft.methods.safe_lora import align
from tests.experiments.world import World

RATE, RANK = 1e-2, 2


@pytest.fixture(scope="module")
def unaligned(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another random model of the base's shape."""
    folder = tmp_path_factory.mktemp("unaligned") / "model"
    save(Llama(read_config(world.folder / "model"), rngs=nnx.Rngs(5)), folder, like=world.folder / "model")
    return folder


def entries(world: World, unaligned: Path) -> dict[str, Any]:
    safe = (Source(f"{world.folder}/other.jsonl"),)
    return {
        "safe_lora": SafeLora((RATE,), rank=RANK, unaligned=str(unaligned), threshold=1.0),
        "safe_merge": SafeMerge((RATE,), rank=RANK, unaligned=str(unaligned), safe_sources=safe, threshold=1.0),
    }


@pytest.fixture(scope="module")
def work(world: World, unaligned: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    experiment = load_experiment(world.config)
    experiment = replace(experiment, methods=entries(world, unaligned), reference=None)
    check(experiment)
    return Workspace(experiment, tmp_path_factory.mktemp("runs") / "safety")


def run(work: Workspace, name: str) -> Run:
    return Run(work, name, work.experiment.methods[name], RATE, 0)


def plain(work: Workspace, domain: tuple[Source, ...], folder: Path) -> Any:
    """What a LoRA of the same settings learns of another domain."""
    settings = Lora((RATE,), rank=RANK)
    experiment = replace(work.experiment, domain=domain, methods={"lora": settings})
    return Run(Workspace(experiment, folder), "lora", settings, RATE, 0).trained


def test_safe_lora_edits_what_plain_lora_trained_and_needs_no_reference_text(work: Workspace, tmp_path: Path) -> None:
    one = run(work, "safe_lora")
    trained, before = one.trained, plain(work, work.experiment.domain, tmp_path)
    other = work.statistics(one.method).unaligned
    assert other is not None
    for name, adapter in trained.items():
        kernels = (getattr(model.layers, name)[...] for model in (work.base.model, other))
        np.testing.assert_array_equal(adapter.b, align(before[name], *kernels).b)
        np.testing.assert_array_equal(adapter.a, before[name].a)
    result = one.result()
    assert (result.reference, result.certificate) == ("none", None)
    assert result.trained_parameters == sum(leaf.size for leaf in jax.tree.leaves(before))
    exported = load(one.folder / "model")
    np.testing.assert_array_equal(exported.layers.q[...], one.method.merge(work.base.model, trained).layers.q[...])


def test_safe_merge_trains_a_safe_adapter_once_and_adds_it(
    work: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = run(work, "safe_merge")
    merged, weight = one.trained, one.method.safe_weight
    mine = plain(work, work.experiment.domain, tmp_path / "domain")
    safe = plain(work, one.method.safe_sources, tmp_path / "safe")
    for name, adapter in merged.items():
        np.testing.assert_array_equal(adapter.b[:, :RANK], (1 - jnp.float32(weight)) * mine[name].b)
        np.testing.assert_array_equal(adapter.b[:, RANK:], weight * safe[name].b)
        np.testing.assert_array_equal(adapter.a, jnp.concatenate([mine[name].a, safe[name].a], 2))
    assert np.abs(mine["q"].b - safe["q"].b).max() > 1e-4
    monkeypatch.setattr("jaxft.training.loop.check_memory", lambda *_: pytest.fail("trained twice"))
    again = run(work, "safe_merge").trained
    for leaf, wanted in zip(jax.tree.leaves(again), jax.tree.leaves(merged), strict=True):
        np.testing.assert_array_equal(leaf, wanted)
    one.forget_checkpoints()
    assert not (one.folder / "safe_adapter").exists()


def test_what_edits_the_weights_decides_the_identity(work: Workspace, world: World) -> None:
    merge, plain = run(work, "safe_merge"), run(work, "safe_lora")
    aligned = replace(plain, method=replace(plain.method, unaligned=str(world.folder / "model")))
    assert plain.identity["unaligned"] != aligned.identity["unaligned"]
    fewer = replace(merge.method, safe_sources=(Source(f"{world.folder}/other.jsonl", limit=2),))
    assert merge.identity["safe"] != replace(merge, method=fewer).identity["safe"]
    (name,) = (key for key in work.inputs if key.startswith("unaligned "))
    assert work.inputs[name] == plain.identity["unaligned"]
    assert any("other.jsonl" in source for source in work.inputs["data"])


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("safe_lora", {"threshold": 1.5}, r"threshold: found 1.5, expected a cosine in \[-1, 1\]"),
        ("safe_merge", {"safe_weight": 0.0}, r"safe_weight: found 0.0, expected a fraction in \(0, 1\]"),
        ("safe_merge", {"safe_sources": ()}, r"safe_sources: found \(\), expected at least one Source"),
        ("safe_lora", {"weight_decay": -1.0}, "weight_decay: found -1.0, expected 0 or a number above it, or None"),
        ("safe_lora", {"unaligned": "/nowhere"}, "/nowhere"),
        ("safe_lora", {"unaligned": "base"}, "unaligned: base has other layers than model.folder"),
    ],
)
def test_impossible_values(work: Workspace, kind: str, change: dict[str, Any], message: str) -> None:
    methods = {"one": replace(work.experiment.methods[kind], **change)}
    with pytest.raises(UserError, match=message):
        check(replace(work.experiment, methods=methods))
