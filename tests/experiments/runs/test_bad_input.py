"""A user's mistake gives one message (where, what, expected, what to do), status 1, and nothing half-written."""

from __future__ import annotations

import json
import re
import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from jaxft.training import memory
from tests.experiments.world import World, one_error, snapshot


def refused(world: World, out: Path, capsys: pytest.CaptureFixture[str], *words: str, verb: str = "compare") -> str:
    """The message of a command that is refused before it writes anything."""
    assert world.run(verb, out, *words) == 1
    assert not out.exists()
    return one_error(capsys)


def configure(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def cut(path: Path, keep: int) -> None:
    path.write_bytes(path.read_bytes()[:keep])


MODEL_MISTAKES: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "no folder": (shutil.rmtree, ["model: there is no such folder", "A model is a folder"]),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), ["neither model.safetensors nor", "Check the path"]),
    "truncated": (
        lambda f: cut(f / "model.safetensors", 5000),
        ["not a complete safetensors file", "download it again"],
    ),
    "empty": (lambda f: cut(f / "model.safetensors", 0), ["model.safetensors: not a complete safetensors file"]),
    "corrupt": (lambda f: (f / "model.safetensors").write_bytes(b"\xff" * 9000), ["not a complete safetensors file"]),
    "git lfs": (lambda f: (f / "model.safetensors").write_text("version https://git-lfs"), ["Git LFS pointer"]),
    "wrong shape": (
        lambda f: configure(f, intermediate_size=25),
        ["tensor model.layers.0.mlp.down_proj.weight has shape (16, 24), config.json asks for (16, 25)"],
    ),
    "missing tensor": (
        lambda f: configure(f, num_hidden_layers=3),
        ["tensor model.layers.2.input_layernorm.weight is missing (9 of 29 are)", "download is complete"],
    ),
    "unknown tensor": (lambda f: configure(f, num_hidden_layers=1), ["tensor model.layers.1.", "is unknown"]),
    "architecture": (
        lambda f: configure(f, architectures=["MistralForCausalLM"]),
        ["config.json: architectures", "MistralForCausalLM", "LlamaForCausalLM"],
    ),
    "rope type": (
        lambda f: configure(f, rope_scaling={"rope_type": "dynamic", "factor": 2.0}),
        ['RoPE type "dynamic"; only "default", "linear", "llama3", "yarn", "longrope" are supported'],
    ),
    "activation": (lambda f: configure(f, hidden_act="gelu"), ['hidden_act is "gelu"; only "silu" is supported']),
    "config": (lambda f: (f / "config.json").write_text("{"), ["config.json: cannot be read as JSON"]),
    "pickle": (
        lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"),
        ["holds pytorch_model.bin but no model.safetensors", "Pickle files can run code", "save_pretrained"],
    ),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), ["tokenizer.json is missing", "Hugging Face layout"]),
    "broken tokenizer": (lambda f: cut(f / "tokenizer.json", 100), ["tokenizer in", "cannot be read"]),
    "no chat template": (
        lambda f: (f / "chat_template.jinja").unlink(),
        ["has no chat template, and the data has messages", "Choose the template llama2 or plain"],
    ),
}


@pytest.mark.parametrize("name", MODEL_MISTAKES)
def test_models(own_world, tmp_path, capsys, name) -> None:
    mistake, messages = MODEL_MISTAKES[name]
    mistake(own_world.folder / "model")
    message = refused(own_world, tmp_path / "out", capsys)
    assert str(own_world.folder / "model") in message
    for expected in messages:
        assert expected in message


DATA_MISTAKES = {
    "empty": ("", ["domain.jsonl holds no examples", 'expected records like {"messages"']),
    "not json": ('{"text": "a"}\n{"text": \n', ["domain.jsonl, line 2 is not JSON"]),
    "no object": ("[1]\n", ["domain.jsonl, line 1 is a JSON list; expected an object"]),
    "fields": ('{"question": "a"}\n', ["line 1 has the fields question; expected one of", '{"prompt", "response"}']),
    "empty text": ('{"text": ""}\n', ["line 1: \"text\" is ''; expected a string that is not empty"]),
    "order": (
        '{"messages": [{"role": "assistant", "content": "a"}]}\n',
        ["line 1: the messages must end with the assistant's response, after at least one other message"],
    ),
    "role": ('{"messages": [{"role": "bot", "content": "a"}]}\n', ["of the role 'bot'; expected one of system, user"]),
    "no text": (b"\xff\xfe\x00", ["cannot be read as UTF-8 text"]),
    "lone surrogate": ('{"prompt": "a \\ud83d", "response": "b"}\n', ["half of a surrogate pair", "remove the half"]),
}


@pytest.mark.parametrize("name", DATA_MISTAKES)
def test_datasets(own_world, tmp_path, capsys, name) -> None:
    content, messages = DATA_MISTAKES[name]
    path = own_world.folder / "domain.jsonl"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    message = refused(own_world, tmp_path / "out", capsys)
    for expected in messages:
        assert expected in message


def test_a_missing_dataset(own_world, tmp_path, capsys) -> None:
    (own_world.folder / "reference.jsonl").unlink()
    assert "reference.jsonl does not exist; expected a file of JSON lines" in refused(own_world, tmp_path / "o", capsys)


@pytest.mark.parametrize(
    ("words", "messages"),
    [
        (["--evaluation.axes.safety.source.split", "tst"], ["The corpus safety has no split 'tst'; it has train"]),
        (["--evaluation.axes.knowledge.source.name", "hotl"], ["Unknown data source 'hotl'. Did you mean 'hotel'?"]),
        (["--evaluation.axes.knowledge.source.name", "star"], ["JAXFT_TEST_DATA is not set", "star_hotel.tar.gz"]),
        (["--training.on_long", "error", "--training.row_length", "8"], ["needs 16 tokens; the row length is 8"]),
        (
            ["--training.row_length", "8"],
            ["training.row_length: None of the 12 examples fits the row length 8", "set on_long to split"],
        ),
        (["--training.row_length", "161"], ["training.row_length: found 161, expected at most 160 tokens"]),
        (["--methods.projection.energy", "0.9.9"], ["--methods.projection.energy: found '0.9.9', expected"]),
        (
            ["--methods.projection.energy", "1.01"],
            ["methods.projection.energy: found 1.01, expected a fraction in (0, 1]"],
        ),
        (
            ["--methods.projection.energy", "-1"],
            ["methods.projection.energy: found -1, expected a fraction in (0, 1]"],
        ),
        (
            ["--methods.lora.rank", "17"],
            ["methods.lora.rank: found 17, expected at least 1 and at most 16", "width of linear"],
        ),
        (
            ["--methods.lora.ranks", "17"],
            ["--methods.lora.ranks: unknown key 'ranks'; did you mean --methods.lora.rank?"],
        ),
        (["--model.compute_dtype", "fp16"], ["model.compute_dtype: found 'fp16', expected one of float32"]),
        (["--model.folder", "/no/such/model"], ["/no/such/model: there is no such folder"]),
    ],
    ids=lambda value: " ".join(value) if value and value[0].startswith("--") else "",
)
@pytest.mark.parametrize("verb", ["compare", "train"])
def test_settings(world, tmp_path, monkeypatch, capsys, words, messages, verb) -> None:
    monkeypatch.delenv("JAXFT_TEST_DATA", raising=False)
    message = refused(world, tmp_path / "out", capsys, *words, verb=verb)
    for expected in messages:
        assert expected in message


def test_a_config_with_an_unknown_key(own_world, tmp_path, capsys) -> None:
    path = Path(own_world.config)
    path.write_text(path.read_text().replace("steps=4", "stpes=4"))
    message = refused(own_world, tmp_path / "out", capsys)
    assert own_world.config in message and "'stpes'; did you mean 'steps'?" in message


def test_a_reply_that_leaves_no_room_for_a_prompt(world, tmp_path, capsys) -> None:
    """Found when the prompts are encoded; the folder may then be used with a mended config."""
    out = tmp_path / "out"
    assert world.run("compare", out, "--evaluation.max_new_tokens", "160") == 1
    assert re.search(r"prompt of \d+ tokens \+ max_new_tokens 160 exceed the model's context of 160", one_error(capsys))
    assert [path.name for path in out.iterdir() if path.suffix != ".lock"] == ["config.json"]
    assert world.run("calibrate", out) == 0


def test_an_example_that_is_too_long_is_left_out_and_counted(own_world, tmp_path, capsys) -> None:
    with (own_world.folder / "domain.jsonl").open("a") as file:
        file.write(json.dumps({"prompt": "A room. " * 40, "response": "Booked."}) + "\n")
    assert own_world.run("train", tmp_path / "out", "--training.steps", "1") == 0
    assert "left out 1 of 13 examples that are longer than 64 tokens" in capsys.readouterr().err


def test_a_checkpoint_of_another_run(world, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    assert world.run("train", out, "--method", "full") == 0
    runs = out / "projection" / "lr_0.001" / "seed_0"
    shutil.copytree(out / "full" / "lr_0.003" / "seed_0" / "checkpoints", runs / "checkpoints")
    before = snapshot(runs)
    capsys.readouterr()
    assert world.run("train", out, "--method", "projection") == 1
    message = one_error(capsys)
    assert "holds checkpoints of another run (different: learning_rate, method, reference)" in message
    assert str(runs / "checkpoints") in message and "delete this one to start anew" in message
    assert snapshot(runs) == before


def test_a_damaged_checkpoint(world, tmp_path) -> None:
    """In a process of its own: threads of TensorStore outlive the error."""
    out = tmp_path / "out"
    assert world.run("train", out) == 0
    folder = out / "full" / "lr_0.003" / "seed_0" / "checkpoints"
    for path in (folder / "4" / "state").rglob("d/*"):
        cut(path, path.stat().st_size // 2)
    process = world.start("train", out)
    said = process.communicate(timeout=600)[1]
    assert process.returncode == 1
    assert f"jaxft: {folder}: the checkpoint of step 4 cannot be read" in said and "Delete the folder" in said


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Writing past `size` bytes of a file fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_while_training(world, done, tmp_path, monkeypatch, capsys) -> None:
    out, words = tmp_path / "out", ("--method", "full")
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
        assert world.run("train", out, *words) == 1
    message = one_error(capsys)
    run = out / "full" / "lr_0.003" / "seed_0"
    assert re.search(
        r"seed_0/checkpoints: the checkpoint of step 2 takes 112,\d\d\d bytes, and 1,000 are free", message
    )
    assert "Free some space, then give the same command again" in message
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["metadata"]
    assert world.run("export", out, *words) == 0
    expected = done.out / "full" / "lr_0.003" / "seed_0" / "model" / "model.safetensors"
    assert (run / "model" / "model.safetensors").read_bytes() == expected.read_bytes()


def test_a_disk_that_fills_up_while_a_checkpoint_is_written(world, tmp_path) -> None:
    """In a process of its own: threads of Orbax and TensorStore outlive the error."""
    out = tmp_path / "out"
    process = world.start("train", out, shell_prefix="ulimit -f 20;")  # KiB
    said = process.communicate(timeout=600)[1]
    assert process.returncode == 1
    checkpoints = out / "full" / "lr_0.003" / "seed_0" / "checkpoints"
    assert f"jaxft: {checkpoints}: the checkpoint of step 2 cannot be written (File too large)." in said
    assert not (checkpoints / "2").exists()
    assert world.run("train", out) == 0
    assert sorted(path.name for path in checkpoints.iterdir()) == ["4", "metadata"]


def test_too_little_memory(world, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda device: 0)
    assert world.run("train", tmp_path / "out") == 1
    message = one_error(capsys)
    assert "the training step needs 0.00 GiB on each device" in message
    assert message.endswith("\n`jaxft plan CONFIG --find` says what fits, here or on other devices.\n")


def test_a_full_disk_while_calibrating(world, tmp_path, capsys) -> None:
    assert world.run("train", tmp_path / "out") == 0  # the config is written
    with largest_file(4000):
        assert world.run("calibrate", tmp_path / "out") == 1
    assert re.search(r"out/calibration/\w+: cannot be written \(.*File too large.*\); free", one_error(capsys))
    assert not list((tmp_path / "out" / "calibration").iterdir())


def test_a_full_disk_while_exporting(world, tmp_path, capsys) -> None:
    out, words = tmp_path / "out", ("--method", "full")
    assert world.run("train", out, *words) == 0
    before = snapshot(out)
    capsys.readouterr()
    with largest_file(20_000):
        assert world.run("export", out, *words) == 1
    message = one_error(capsys)
    assert (
        re.search(r"seed_0/model: cannot be written \(.*File too large.*\)", message) and "The weights take" in message
    )
    assert snapshot(out) == before
    assert not list(out.rglob(".model*"))


@pytest.mark.parametrize(("verb", "file"), [("compare", "config.json"), ("report", "report.html")])
def test_a_full_disk_while_writing_small_files(world, done, tmp_path, capsys, verb, file) -> None:
    out = tmp_path / "out"
    out.mkdir()
    if verb == "report":
        shutil.copy(done.out / "record.json", out)
    before = snapshot(out)
    with largest_file(1000):
        assert world.run(verb, out) == 1
    assert f"{out / file}: cannot be written (File too large); free some space" in one_error(capsys)
    assert snapshot(out) == before


def test_a_folder_that_nobody_may_write(world, tmp_path, capsys) -> None:
    (tmp_path / "file").write_text("")
    assert world.run("calibrate", tmp_path / "file" / "out") == 1
    assert "file/out: cannot be written (Not a directory)" in one_error(capsys)


def test_ctrl_c_in_training(world, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    words = ("--training.steps", "400", "--training.checkpoint_every", "20", "--training.log_every", "20")
    run = out / "full" / "lr_0.003" / "seed_0"
    status, said = world.signalled(
        signal.SIGINT, lambda: bool(list((run / "checkpoints").glob("[0-9]*[0-9]"))), "train", out, *words
    )
    assert status == 130
    assert "Traceback" not in said
    assert said.splitlines()[-1] == (
        "jaxft: interrupted; what is complete on disk stays, and the same command continues from there, "
        "training from its last checkpoint"
    )
    assert not list(out.rglob("*tmp*"))
    assert world.run("train", out, *words) == 0
    first = int(re.findall(r"step (\d+)/400", capsys.readouterr().err)[0])
    assert first > 20  # it went on from a checkpoint
    steps = [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 401))
