"""Configs and their overrides: what is accepted, and what every mistake is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from experiments.config import Experiment, Sweep
from experiments.config_loader import load_any, load_experiment, to_json
from jaxft.data.source import Source
from jaxft.errors import UserError

CONFIG = """
from experiments.config import *
from jaxft.methods import GradientProjection, Lora
experiment = Experiment(
    name="here",
    domain=(Source("hotel"),),
    evaluation=Evaluation(axes={"proficiency": Axis("hotel", Source("hotel", "test"), Source("hotel"))}, target=0.5),
    methods={"lora": Lora(learning_rates=(1e-3,)), "projection": GradientProjection(learning_rates=(1e-3,))},
)
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "here.py"
    path.write_text(CONFIG)
    return str(path)


@pytest.mark.parametrize(
    ("words", "get", "value"),
    [
        (["--training.steps", "7"], lambda e: e.training.steps, 7),
        (["--training.steps=7"], lambda e: e.training.steps, 7),
        (["--training.clip", "2"], lambda e: e.training.clip, 2.0),
        (["--name", "12"], lambda e: e.name, "12"),
        (["--model.scan", "False"], lambda e: e.model.scan, False),
        (["--model.folder", "/a/b c"], lambda e: e.model.folder, "/a/b c"),
        (["--seeds", "0,1,2"], lambda e: e.seeds, (0, 1, 2)),
        (["--seeds", "[3]"], lambda e: e.seeds, (3,)),
        (["--seeds", "4"], lambda e: e.seeds, (4,)),
        (["--methods.lora.rank", "4"], lambda e: e.methods["lora"].rank, 4),
        (["--methods.lora.learning_rates", "1e-3, 2"], lambda e: e.methods["lora"].learning_rates, (1e-3, 2.0)),
        (["--methods.lora.targets", "q"], lambda e: e.methods["lora"].targets, ("q",)),
        (["--methods.lora.targets", "('q','v')"], lambda e: e.methods["lora"].targets, ("q", "v")),
        (["--methods.projection.energy", "auto"], lambda e: e.methods["projection"].energy, "auto"),
        (["--methods.projection.energy", "0.5"], lambda e: e.methods["projection"].energy, 0.5),
        (
            ["--evaluation.axes.proficiency.source.limit", "3"],
            lambda e: e.evaluation.axes["proficiency"].source.limit,
            3,
        ),
        (
            ["--evaluation.axes.proficiency.source.limit=None"],
            lambda e: e.evaluation.axes["proficiency"].source.limit,
            None,
        ),
        (
            ["--training.beta1", "0.5", "--training.beta2=0.6"],
            lambda e: (e.training.beta1, e.training.beta2),
            (0.5, 0.6),
        ),
        (["--training.steps", "1", "--training.steps", "2"], lambda e: e.training.steps, 2),
        (["--domain", "a.jsonl"], lambda e: e.domain, (Source("a.jsonl"),)),
        (["--domain", "('hotel','a.jsonl')"], lambda e: e.domain, (Source("hotel"), Source("a.jsonl"))),
        (["--domain.0.limit", "7"], lambda e: e.domain, (Source("hotel", limit=7),)),
        (
            ["--evaluation.axes.proficiency.source", "a.jsonl"],
            lambda e: e.evaluation.axes["proficiency"].source,
            Source("a.jsonl"),
        ),
        (["--methods.lora.learning_rates.0", "2"], lambda e: e.methods["lora"].learning_rates, (2.0,)),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_overrides(config, words, get, value) -> None:
    found = get(load_experiment(config, words))
    assert found == value
    assert type(found) is type(value)


def test_an_override_changes_nothing_else(config) -> None:
    before, after = (to_json(load_experiment(config, words)) for words in ([], ["--methods.lora.rank", "4"]))
    after["methods"]["lora"]["rank"] = before["methods"]["lora"]["rank"]
    assert before == after


@pytest.mark.parametrize(
    ("words", "messages"),
    [
        (["--training.stepz", "7"], ["--training.stepz", "did you mean --training.steps?", "batch_rows"]),
        (["--trainin.steps", "7"], ["did you mean --training"]),
        (["--methods.lor.rank", "7"], ["did you mean --methods.lora?", "lora, projection"]),
        (["--methods.lora.rnk", "7"], ["did you mean --methods.lora.rank?"]),
        (["--training.steps", "many"], ["--training.steps", "'many'", "expected int"]),
        (["--training.steps", "1.5"], ["found 1.5", "expected int"]),
        (["--training.steps", "True"], ["found True", "expected int"]),
        (["--training.clip", "no"], ["'no'", "expected float"]),
        (["--methods.projection.energy", "most"], ["'most'", "expected float | 'auto'"]),
        (["--methods.lora", "3"], ["--methods.lora", "expected Lora"]),
        (["--seeds", "a,b"], ["--seeds: found 'a,b', expected int"]),
        (["--domain", "3"], ["--domain: found 3, expected Source"]),
        (["--domain.name", "hotel"], ["unknown key 'name'; did you mean --domain.0? Known here: 0"]),
        (["--domain.1.name", "hotel"], ["unknown key '1'; did you mean --domain.0? Known here: 0"]),
        (["--training.steps"], ["--training.steps has no value"]),
        (["training.steps", "7"], ["unexpected argument 'training.steps'", "--key.sub value"]),
        (["--training.steps", "0"], ["--training.steps: found 0, expected at least 1"]),
        (["--seeds", "-1"], ["--seeds: found -1, expected a whole number in [0, 2**32)"]),
        (["--training.clip", "1e999"], ["--training.clip: found inf, expected a number above 0"]),
        (["--training.steps.more", "7"], ["--training.steps.more", "nothing lies below int value 300"]),
        (["--reference.length", "7"], ["--reference.length", "reference is not set"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_mistakes_in_overrides(config, words, messages) -> None:
    with pytest.raises(UserError) as caught:
        load_experiment(config, words)
    for message in messages:
        assert message in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new"), [("decay", "kfac_strength"), ("two_sided", "kfac_outputs"), ("metric_rank", "kfac_rank")]
)
def test_renamed_keys_are_refused_with_the_new_name(config, old, new) -> None:
    key = "--methods.projection."
    message = f"{key}{old}: unknown key '{old}'; it is now called {key}{new}. Known here: learning_rates"
    with pytest.raises(UserError) as caught:
        load_experiment(config, [f"{key}{old}", "1"])
    assert str(caught.value).startswith(message)
    with pytest.raises(UserError, match="did you mean --methods.lora.weight_decay?"):  # of another method
        load_experiment(config, ["--methods.lora.decay", "1"])


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("x = 1", ["defines no `experiment = Experiment(...)`"]),
        ("experiment = {'name': 'x'}", ["defines no `experiment"]),
        ("experiment = (", ["SyntaxError: '(' was never closed (broken.py, line 1)"]),
        ("\nimport no_such_package", ["py, line 2: ModuleNotFoundError: No module named 'no_such_package'"]),
        (
            CONFIG.replace('    domain=(Source("hotel"),),\n', ""),
            ["argument: 'domain'; for example domain=(Source(\"train.jsonl\"),). A complete config"],
        ),
        (CONFIG.replace(", target=0.5", ""), ["'target'; for example target=0.5."]),
        (
            CONFIG.replace(', Source("hotel"))}', ")}"),
            ["'validation'; for example validation=Source(\"valid.jsonl\")."],
        ),
        (CONFIG + "Watch(every=1)", ["py, line 10: TypeError", "'examples'; examples is of type int."]),
        ("open('/no/such/file')", ["FileNotFoundError", "/no/such/file"]),
        ("1 / 0", ["ZeroDivisionError"]),
        (CONFIG.replace("name=", "nam="), ["unexpected keyword argument 'nam'", "did you mean 'name'?"]),
        (
            CONFIG.replace("target=0.5", "tarjet=0.5"),
            ["'tarjet'", "did you mean 'target'?", "Known here: axes, target"],
        ),
        (CONFIG.replace('name="here"', "name=3"), ["name: found 3, expected str"]),
        (CONFIG.replace('(Source("hotel"),)', '(Source("hotel"))'), ["domain: found Source(", "tuple[Source, ...]"]),
        (CONFIG.replace("(1e-3,)", "[1e-3]"), ["methods.lora.learning_rates: found [0.001]", "tuple[float, ...]"]),
        (CONFIG.replace("(1e-3,)", "1e-3"), ["methods.lora.learning_rates: found 0.001"]),
        (CONFIG.replace("(1e-3,)", "('fast',)"), ["methods.lora.learning_rates: found 'fast', expected float"]),
        (CONFIG.replace("target=0.5", "target='high'"), ["evaluation.target: found 'high', expected float"]),
        (
            CONFIG.replace('"lora": Lora(', '"lora": dict('),
            ["methods.lora: found {", "expected Method | Auto | Hosted"],
        ),
        (CONFIG.replace('Axis("hotel", Source("hotel", "test")', 'Axis("hotel", "hotel"'), ["axes.proficiency.source"]),
        (CONFIG.replace("target=0.5", "target=float('nan')"), ["py: evaluation.target: found nan, expected a finite"]),
        (CONFIG.replace("methods=", "seeds=(-1,), methods="), ["py: seeds: found -1, expected a whole number in"]),
        (CONFIG.replace("methods=", "trainng=1, methods="), ["did you mean 'training'?"]),
        (CONFIG.replace("Lora(l", "Lora(rnk=2, l"), ["did you mean 'rank'?"]),
        (
            CONFIG.replace("GradientProjection(l", "GradientProjection(decay=4.0, l"),
            ["unexpected keyword argument 'decay'; it is now called 'kfac_strength'."],
        ),
        (
            "from jaxft.method_config import Full",
            ["No module named 'jaxft.method_config'; import methods from jaxft.methods"],
        ),
        ("from jaxft.config import Full", ["import methods from jaxft.methods, and all else from experiments.config"]),
    ],
)
def test_broken_configs(tmp_path, text, messages) -> None:
    path = tmp_path / "broken.py"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        load_experiment(str(path))
    for message in (str(path), *messages):
        assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert "configs/README.md" not in str(caught.value) or "missing" in str(caught.value)


def test_a_config_takes_pieces_of_one_in_its_folder(tmp_path: Path, config: str) -> None:
    other = tmp_path / "more/other.py"
    other.parent.mkdir()
    other.write_text(
        "from experiments.config_loader import load_experiment, only\n"
        "experiment = only(load_experiment('../here.py', beside=__file__), 'lora')\n"
    )
    found, whole = load_experiment(str(other)), load_experiment(config)
    assert found.methods == {"lora": whole.methods["lora"]} and found.evaluation == whole.evaluation


def test_a_missing_config(tmp_path) -> None:
    with pytest.raises(UserError, match="no such config file; the shipped ones are under configs/"):
        load_experiment(str(tmp_path / "none.py"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (CONFIG, Experiment),
        (CONFIG.replace("experiment =", "own =") + 'sweep = Sweep(name="all", experiment=own)', Sweep),
    ],
)
def test_whatever_a_config_defines(tmp_path, text, found) -> None:
    path = tmp_path / "any.py"
    path.write_text(text)
    assert isinstance(load_any(str(path), ["--name", "other"]), found)
    assert load_any(str(path), ["--name", "other"]).name == "other"


def test_a_config_that_defines_nothing(tmp_path) -> None:
    path = tmp_path / "empty.py"
    path.write_text("")
    with pytest.raises(
        UserError, match=r"no `experiment = Experiment\(\.\.\.\)` or `sweep = Sweep\(.* or `sequence = "
    ):
        load_any(str(path))


def test_the_example_in_the_readme_is_complete(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "configs" / "README.md").read_text()
    path = tmp_path / "mine.py"
    path.write_text(text.partition("```python\n")[2].partition("```")[0])
    experiment = load_experiment(str(path), ["--training.steps", "100"])
    assert experiment.training.steps == 100 and experiment.domain == (Source("data/train.jsonl"),)
    path.write_text(path.read_text().replace('    name="mine",\n', ""))
    with pytest.raises(UserError, match="'name'; for example name=\"mine\""):
        load_experiment(str(path))


def test_to_json_is_plain_data(config) -> None:
    value = to_json(load_experiment(config))
    assert json.loads(json.dumps(value)) == value
    assert value["domain"] == [{"name": "hotel", "split": "train", "limit": None, "learn": None}]
    assert to_json((Source("a"), {"k": (1, None)})) == [
        {"name": "a", "split": "train", "limit": None, "learn": None},
        {"k": [1, None]},
    ]


def test_a_file_of_another_kind_is_no_config(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    path.write_text("{}")
    with pytest.raises(UserError, match="record.json: found a file of another kind, expected a config"):
        load_any(str(path))
