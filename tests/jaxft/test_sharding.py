"""Every mesh preset computes what one device computes, with nothing replicated that is trained."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from itertools import product
from typing import Any

import jax
import numpy as np
import pytest
from flax import nnx

from jaxft import methods
from jaxft.errors import UserError
from jaxft.llama.capture import stream_moments
from jaxft.llama.config import SPACE_OF, LlamaConfig
from jaxft.llama.generate import generate
from jaxft.llama.model import Compute, Llama
from jaxft.llama.sharding import check_divides, parameter_spec
from jaxft.methods.base import Statistics
from jaxft.sharding import LAYOUTS, Layout, Sharding, make_mesh, reshard, shard_rows, use_mesh
from jaxft.subspace.certificate import heldout_capture, leak
from jaxft.subspace.movement import movement
from jaxft.training.config import Training
from jaxft.training.step import initial_state, make_step
from tests.jaxft.training.small_run import batch, batch_for, random_subspaces, rows

SMALL = LlamaConfig(
    vocab_size=64,
    hidden_size=32,
    intermediate_size=48,
    num_layers=2,
    num_heads=8,
    num_kv_heads=8,
    head_dim=4,
    max_positions=64,
    tied_head=False,
)
#: One linear of each kind of split (`LINEARS` of jaxft/llama/config.py); full fine-tuning trains them all.
TARGETS = ("q", "o", "gate", "down")
METHODS: dict[str, methods.Method] = {
    "full": methods.Full(()),
    "lora": methods.Lora((), rank=4, targets=TARGETS),
    "projection": methods.GradientProjection((), kfac_strength=0.1, kfac_outputs=True, targets=TARGETS),
}
#: On the mesh with both kinds of split alone: each takes as long to compile.
OTHERS: dict[str, methods.Method] = {
    "ewc": methods.EWC(()),
    "kl": methods.KL(()),
    "frozen_layers": methods.FrozenLayers((), layers=(1, 1)),
    "grafted": methods.Grafted((), share=0.1),
    "interpolated": methods.Interpolated(()),
    "galore": methods.Galore((), rank=8, gap=2),
    "osf": methods.Osf((), targets=TARGETS),
    "neurons": methods.GradientProjection((), targets=TARGETS, neurons=methods.Neurons(0.3, "similarity")),
    "dora": methods.Dora((), rank=4, targets=TARGETS),
    "lora_null": methods.LoraNull((), rank=4, targets=TARGETS),
    "corda": methods.Corda((), rank=4, targets=TARGETS),
    "null_space_lora": methods.NullSpaceLora((), rank=4, targets=TARGETS),
}
PRESETS = [name for name in LAYOUTS if name != "single"]
TRAINING = Training(steps=10, batch_rows=16, row_length=12, accumulation=2, warmup=1, weight_decay=0.1)


def model(layout: Layout, remat: str = "dots", scan: bool = True) -> Llama:
    """The same weights in any layout."""
    made = Llama(SMALL, rngs=nnx.Rngs(0), compute=Compute(remat=remat, scan=scan, layout=layout))
    if layout != Layout():
        for owner, name, parameter in made.parameters():
            parameter.set_value(jax.sharding.reshard(parameter[...], parameter_spec(layout, owner, name, "hidden")))
    return made


@cache
def on_preset(preset: str, remat: str = "dots", scan: bool = True) -> Llama:
    """The model on the preset's mesh, which is in use."""
    return model(LAYOUTS[preset], remat, scan)


@cache
def subspaces() -> Statistics:
    return random_subspaces(on_preset("single"))


def like(model: Llama, other: Any) -> Llama:
    """The leaves of another Llama as those of this one."""
    return jax.tree.unflatten(jax.tree.structure(model), jax.tree.leaves(other))


def steps(kind: str, preset: str, **compute: Any) -> dict[str, Any]:
    """Steps on a preset: the losses, what was trained, the leak, and how the state is stored."""
    layout, method = LAYOUTS[preset], {**METHODS, **OTHERS}[kind]
    measured = subspaces()
    with use_mesh(make_mesh(Sharding(preset))):
        base = on_preset(preset, **compute)
        fisher = jax.tree.map(lambda a, f: reshard(f, jax.typeof(a).sharding.spec), base, like(base, measured.fisher))
        measured = replace(measured, base=base, fisher=fisher)
        constants = method.constants(measured, layout)
        state = initial_state(method, TRAINING, base, constants, jax.random.key(0))
        step: Any = make_step(method, TRAINING)
        metrics: list[dict[str, float]] = []
        before = compiled = step._cache_size()
        for seed in range(2 if kind in METHODS else 4):  # the first one has the learning rate 0
            state, values = step(
                state, base, constants, shard_rows(batch_for(method, rows(16, seed=seed)), layout), 1e-2
            )
            metrics.append({name: float(value) for name, value in values.items()})
            if seed == 1:  # jax 0.10.2 enters the one program a second time at the third call; it compiles nothing
                compiled = step._cache_size() - before
        arrays = [a for a in jax.tree.leaves((state.trainable, state.optimizer)) if a.ndim]
        found: dict[str, Any] = {"metrics": metrics, "compiled": compiled}
        found["copies"] = [8 * math.prod(a.sharding.shard_shape(a.shape)) / a.size for a in arrays]
        if kind == "projection":
            basis, change = constants["bases"]["attention_input"], state.trainable["q"].change
            moments = measured.input_moments["attention_input"]
            found["leak"] = np.asarray(leak(basis, change))
            found["capture"] = np.asarray(heldout_capture(basis, jax.numpy.asarray(moments)))
        found["trained"] = jax.tree.map(np.asarray, state.trainable)
        settled = method.finalize(state.trainable, base, measured)
        found["finished"] = jax.tree.map(np.asarray, method.merge(base, settled))
    return found


@cache
def alone(kind: str) -> dict[str, Any]:
    return steps(kind, "single")


@pytest.mark.parametrize(
    ("kind", "preset"),
    [
        *product(METHODS, PRESETS),
        *(pytest.param(kind, "fsdp_tensor", marks=pytest.mark.slow) for kind in OTHERS),  # each compiles twice
    ],
)
def test_a_preset_equals_one_device(kind: str, preset: str) -> None:
    found, wanted = steps(kind, preset), alone(kind)
    for mine, theirs in zip(found["metrics"], wanted["metrics"], strict=True):
        assert mine == pytest.approx(theirs, rel=1e-5)
    for part in ("trained", "finished"):
        for mine, theirs in zip(jax.tree.leaves(found[part]), jax.tree.leaves(wanted[part]), strict=True):
            # In norm: where a gradient is all but zero, Adam makes steps of its rounding.
            assert np.linalg.norm(mine - theirs) <= 1e-5 * np.linalg.norm(theirs)
    if kind == "projection":
        assert found["leak"].max() < 1e-5
        np.testing.assert_allclose(found["capture"], wanted["capture"], rtol=1e-5)
    assert found["compiled"] == 1
    assert set(found["copies"]) == {1.0}, "what is trained and its optimizer state are spread over all devices"


@pytest.mark.parametrize("remat", ["nothing", "full"])
@pytest.mark.parametrize("scan", [True, False])
def test_remat_and_unrolled_layers_on_a_mesh(remat: str, scan: bool) -> None:
    found = steps("full", "fsdp_tensor", remat=remat, scan=scan)
    for mine, theirs in zip(found["metrics"], alone("full")["metrics"], strict=True):
        assert mine == pytest.approx(theirs, rel=1e-5)


def test_calibration_on_a_mesh_measures_the_same_moments() -> None:
    text = {name: batch(rows(16))[name] for name in ("tokens", "positions", "segments")}
    wanted = dict(stream_moments(on_preset("single"), [text], [text], two_sided=True, seed=0))
    with use_mesh(make_mesh(Sharding("fsdp_tensor"))):
        found = dict(stream_moments(on_preset("fsdp_tensor"), [text], [text], two_sided=True, seed=0))
    for layer, mine in found.items():
        for group in ("inputs", "heldout", "outputs"):
            theirs = getattr(wanted[layer], group)
            assert theirs.keys() == getattr(mine, group).keys()
            for name, moment in getattr(mine, group).items():
                np.testing.assert_allclose(moment, theirs[name], rtol=1e-4, atol=1e-5 * np.abs(theirs[name]).max())


def test_movement_on_a_mesh_is_the_same() -> None:
    moments = [{"attention_input": np.diag(np.arange(1.0, 33.0))}] * SMALL.num_layers
    change = np.random.RandomState(0).standard_normal((SMALL.num_layers, 32, 32)).astype(np.float32)
    wanted = movement({"q": jax.numpy.asarray(change)}, {"q": on_preset("single").layers.q[...]}, moments, SPACE_OF)
    with use_mesh(make_mesh(Sharding("fsdp_tensor"))):
        layout = LAYOUTS["fsdp_tensor"]
        split = jax.sharding.reshard(jax.numpy.asarray(change), parameter_spec(layout, "layers", "q", "trained"))
        found = movement({"q": split}, {"q": on_preset("fsdp_tensor").layers.q[...]}, moments, SPACE_OF)
    for name, figures in vars(wanted["q"]).items():
        np.testing.assert_allclose(getattr(found["q"], name), figures, rtol=1e-5)


def test_generation_on_a_mesh_gives_the_same_tokens() -> None:
    prompts = [[1, 5, 9], [1, 7], [1, 30, 31, 32, 33]]
    wanted = generate(on_preset("single"), prompts, max_new_tokens=6, batch_size=4)
    with use_mesh(make_mesh(Sharding("fsdp_tensor"))):
        assert generate(on_preset("fsdp_tensor"), prompts, max_new_tokens=6, batch_size=4) == wanted


def test_two_logical_axes_of_one_array_cannot_share_a_mesh_axis() -> None:
    with pytest.raises(ValueError, match="hidden and tensor split one array and both use mesh axis 'x'"):
        Layout(hidden=("x",), tensor=("x",))


def test_a_preset_that_does_not_exist_is_named() -> None:
    with pytest.raises(UserError, match="Sharding.preset: found 'zero', expected one of single, data, fsdp"):
        make_mesh(Sharding("zero"))


def test_sizes_that_do_not_divide_the_devices() -> None:
    with pytest.raises(UserError, match="Sharding.tensor 3 does not divide the 8 devices"):
        make_mesh(Sharding("fsdp_tensor", tensor=3))
    with pytest.raises(UserError, match="Sharding.slices 5 does not divide the 8 devices"):
        make_mesh(Sharding("multislice", slices=5))


@pytest.mark.parametrize(
    ("change", "rows_", "message"),
    [
        ({"num_kv_heads": 4}, 16, "num_kv_heads 4 is not a multiple of 8, the devices along tensor"),
        ({"vocab_size": 65}, 16, "vocab_size 65 is not a multiple of 8"),
        ({}, 12, "training.batch_rows 12 is not a multiple of 8, the devices along data"),
    ],
)
def test_shapes_that_the_mesh_does_not_divide(change: dict, rows_: int, message: str) -> None:
    preset = "tensor" if change else "data"
    mesh = make_mesh(Sharding(preset))
    assert mesh is not None
    with pytest.raises(UserError, match=message):
        check_divides(mesh, LAYOUTS[preset], replace(SMALL, **change), {"training.batch_rows": rows_})
