"""Settings that no run can work with are refused by name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from experiments.config import Watch
from experiments.config_loader import load_experiment
from experiments.runs.checks import check, check_experiment
from jaxft import methods
from jaxft.errors import UserError

RATE = (1e-3,)


def test_the_world_passes(world) -> None:
    check(load_experiment(world.config))


def test_a_tracker_must_be_installed_where_training_runs(world, monkeypatch) -> None:
    monkeypatch.setattr("jaxft.training.trackers.find_spec", lambda name: None)
    experiment = load_experiment(world.config, ["--training.tracker", "wandb"])
    check_experiment(experiment)  # as for a plan
    with pytest.raises(UserError, match="training.tracker: the package wandb is not installed"):
        check(experiment)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("model.template", "chatml", "one of tokenizer, llama2, plain"),
        ("model.param_dtype", "float8", "one of float32, bfloat16, float16"),
        ("model.export_dtype", "int8", "'base' | one of float32"),
        ("model.compute_dtype", "fp32", "one of float32"),
        ("training.tracker", "neptune", "one of tensorboard, wandb, mlflow, trackio"),
        ("model.remat", "some", "one of nothing, dots, full"),
        ("training.on_long", "cut", "one of drop, split, error"),
        ("training.steps", "0", "at least 1"),
        ("training.batch_rows", "0", "at least 1"),
        ("training.batch_rows", "-4", "at least 1"),
        ("training.accumulation", "0", "at least 1"),
        ("training.accumulation", "3", "multiple of training.accumulation, 3"),
        ("training.row_length", "161", "at most 160 tokens, the context of the model"),
        ("training.checkpoint_every", "0", "at least 1"),
        ("training.log_every", "0", "at least 1"),
        ("training.warmup", "-1", "at least 0"),
        ("training.clip", "0", "above 0"),
        ("training.clip", "1e999", "above 0"),
        ("training.weight_decay", "-0.1", "0 or a number above it"),
        ("training.beta2", "1", "[0, 1)"),
        ("evaluation.batch_size", "0", "at least 1"),
        ("evaluation.max_new_tokens", "0", "at least 1"),
        ("reference.heldout", "0", "between 0 and 1"),
        ("reference.heldout", "1", "between 0 and 1"),
        ("reference.temperature", "0", "expected a number above 0"),
        ("reference.certificate_energy", "1.5", "(0, 1]"),
        ("reference.length", "161", "at most 160 tokens"),
        ("reference.batch_rows", "0", "at least 1"),
        ("methods.lora.rank", "0", "at least 1"),
        ("methods.lora.rank", "9", "at most 8, the width of linear 'k'"),
        ("methods.lora.alpha", "0", "above 0"),
        ("methods.lora.dropout", "1", "[0, 1)"),
        ("methods.lora.targets", "()", "some of ('q', 'k'"),
        ("methods.lora.targets", "q,z", "some of ('q', 'k'"),
        ("methods.lora.learning_rates", "()", "one or more different numbers"),
        ("methods.lora.learning_rates", "1e-3,1e-3", "one or more different numbers"),
        ("methods.lora.learning_rates", "1e-3,-1e-3", "above 0"),
        ("methods.projection.energy", "1.2", "(0, 1]"),
        ("methods.projection.gradients", "1.5", "[0, 1]"),
        ("methods.projection.energy", "-0.1", "(0, 1]"),
        ("methods.projection.kfac_strength", "-1", "0 or a number above it"),
        ("methods.projection.auto_capture", "0", "(0, 1]"),
        ("methods.projection.auto_plasticity", "1", "[0, 1)"),
        ("seeds", "()", "one or more different whole numbers"),
        ("seeds", "1,1", "one or more different whole numbers"),
        ("seeds", "-1", "a whole number in [0, 2**32)"),
        ("seeds", "4294967296", "a whole number in [0, 2**32)"),
        ("reference.seed", "-1", "a whole number in [0, 2**32)"),
        ("name", "a/b", "a name that can be a folder's"),
        ("evaluation.matched", "1e999", "a finite number"),
        ("evaluation.target", "1e999", "a finite number"),
        ("judge.attempts", "0", "at least 1"),
        ("model.sharding.tensor", "0", "at least 1"),
        ("evaluation.axes.safety.source.limit", "0", "at least 1"),
        ("domain", "()", "at least one Source"),
        ("pretrain.num_heads", "3", "a multiple of 2 * num_heads, 6"),
        ("pretrain.num_kv_heads", "4", "a multiple of num_kv_heads, 4"),
        ("pretrain.learning_rate", "0", "above 0"),
    ],
)
def test_impossible_values(world, key, value, expected) -> None:
    with pytest.raises(UserError) as caught:
        check(load_experiment(world.config, [f"--{key}", value]))
    named = {"training.accumulation": "training.batch_rows", "pretrain.num_heads": "pretrain.hidden_size"}
    message = str(caught.value).removeprefix("--").removeprefix(f"{world.config}: ")
    assert message.startswith((f"{key}: found ", f"{named.get(key)}: found ", "pretrain.num_heads: found ")), message
    assert expected in message


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (methods.L2SP(RATE, strength=0.0), "strength: found 0.0, expected a number above 0"),
        (methods.EWC(RATE, strength=-1.0), "strength: found -1.0, expected a number above 0"),
        (methods.KL(RATE, strength=float("inf")), "strength: found inf, expected a number above 0"),
        (methods.Interpolated(RATE, weight=1.5), "weight: found 1.5, expected a fraction in (0, 1]"),
        (methods.Grafted(RATE, share=0.0), "share: found 0.0, expected a fraction in (0, 1]"),
        (
            methods.FrozenLayers(RATE, layers=(1, 0)),
            "layers: found (1, 0), expected a first and a last layer, from 0",
        ),
        (methods.FrozenLayers(RATE, layers=(0,)), "layers: found (0,), expected a first"),  # pyright: ignore
        (
            methods.FrozenLayers(RATE, layers=(0, 2)),
            "layers: found (0, 2), expected a first and a last layer within",
        ),
        (methods.Galore(RATE, rank=0), "rank: found 0, expected at least 1"),
        (methods.Galore(RATE, rank=9), "rank: found 9, expected at most 8, the width of the narrowest linear"),
        (methods.Galore(RATE, gap=0), "gap: found 0, expected at least 1"),
        (methods.Galore(RATE, scale=0.0), "scale: found 0.0, expected a number above 0"),
        (methods.Osf(RATE, keep=1.0), "keep: found 1.0, expected a fraction between 0 and 1"),
        (methods.Osf(RATE, targets=("z",)), "targets: found ('z',), expected some of"),
        (
            methods.GradientProjection(RATE, neurons=methods.Neurons(0.0, "importance")),
            "neurons.share: found 0.0, expected a fraction in (0, 1]",
        ),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_impossible_methods(world, settings, message) -> None:
    experiment = replace(load_experiment(world.config), methods={"m": settings})
    with pytest.raises(UserError) as caught:
        check(experiment)
    assert str(caught.value).startswith(f"methods.m.{message}")


def test_methods_that_read_reference_text_need_some(world) -> None:
    experiment = replace(load_experiment(world.config), reference=None)
    for settings in (methods.EWC(RATE), methods.KL(RATE)):
        with pytest.raises(UserError, match=r"^methods\.m: works with reference text, and this config sets no"):
            check(replace(experiment, methods={"m": settings}))
    check(replace(experiment, methods={"m": methods.Osf(RATE)}))  # reads the base alone


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("every", 0, "at least 1"),
        ("examples", 0, "at least 1"),
        ("stop_after", -1, "at least 0"),
        ("budget", -0.1, "0 or a number above it"),
    ],
)
def test_impossible_evaluation_while_training(world, key, value, expected) -> None:
    experiment = load_experiment(world.config)
    watch = replace(Watch(every=1, examples=1), **{key: value})
    experiment = replace(experiment, evaluation=replace(experiment.evaluation, watch=watch))
    with pytest.raises(UserError, match=rf"^evaluation\.watch\.{key}: found {value}, expected {expected}$"):
        check(experiment)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        ".hidden",
        "a/b",
        "a\\b",
        "a..b",
        "a\n",
        "a\x00b",
        " a",
        "a ",
        "a.",
        "-a",
        "x" * 65,
        "calibration",
        "judge",
    ],
)
def test_names_that_no_folder_can_have(world, name) -> None:
    experiment = load_experiment(world.config)
    (axis, *_), evaluation = experiment.evaluation.axes.values(), experiment.evaluation
    for broken, key in (
        (replace(experiment, name=name), "name"),
        (replace(experiment, methods={name: experiment.methods["lora"]}), "methods"),
        (replace(experiment, evaluation=replace(evaluation, axes={**evaluation.axes, name: axis})), "evaluation.axes"),
    ):
        with pytest.raises(UserError) as caught:
            check(broken)
        assert str(caught.value).startswith(f"{key}: found {name!r}, expected a name that can be a folder's")


@pytest.mark.parametrize("name", ["L2-SP, strength 0.001", "instructions, 10 %", "Führung_2 (b)", "x" * 64, "7"])
def test_names_of_all_kinds(world, name) -> None:
    experiment = load_experiment(world.config)
    check(replace(experiment, name=name, methods={name: experiment.methods["lora"]}))


@pytest.mark.parametrize("energy", ["nan", "inf"])
def test_energies_that_are_no_numbers(world, energy) -> None:
    experiment = load_experiment(world.config)
    method = experiment.methods["projection"]
    object.__setattr__(method, "energy", float(energy))
    with pytest.raises(UserError, match=r"methods\.projection\.energy"):
        check(experiment)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--evaluation.axes.safety.task", "safty"], "unknown 'safty'; did you mean 'safety'?"),
        (["--evaluation.axes.safety.source.name", "hotel"], "safety.source: found 'hotel', expected 'safety'"),
        (["--evaluation.axes.knowledge.task", "knowledge"], "expected 'knowledge': replies of the task"),
        (
            ["--evaluation.axes.safety.task", "choice"],
            "axes.safety.source: example 0 (from 0) of 'safety' has 0 different options, and needs at least 2.\nName a",
        ),
        (
            ["--evaluation.axes.safety.task", "judged_safety", "--evaluation.axes.safety.source.name", "hotel"],
            "has the kind None, and needs 'hostile' or 'harmless'",
        ),
    ],
)
def test_tasks(world, words, message) -> None:
    with pytest.raises(UserError) as caught:
        check(load_experiment(world.config, words))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"proficiency": Axis', '"skill": Axis', "no axis named 'proficiency' among skill, safety"),
        ('"lora": Lora', '"calibration": Lora', "methods: found 'calibration', expected a name that can be a folder's"),
        ('"lora": Lora', '"a/b": Lora', "methods: found 'a/b'"),
        ('reference=Reference(sources=(file("reference"),), length=32, batch_rows=4)', "reference=None", "projection"),
        ("methods={", "methods={} if True else {", "methods: found {}, expected at least one method"),
    ],
)
def test_configs(own_world, old, new, message) -> None:
    path = own_world.folder / "world.py"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(UserError) as caught:
        check(load_experiment(own_world.config))
    assert message in str(caught.value)
