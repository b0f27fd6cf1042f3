"""Every verb alone, in this process, and what is told where a command is wrong."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from experiments import verbs
from experiments.cli import VERBS, main
from jaxft.training.metrics import Metrics
from tests.experiments.world import one_error, snapshot


def test_train_evaluate_export_and_certify_one_method(world, done, tmp_path, capsys) -> None:
    """Each starts what it needs; they agree with the comparison that did all at once."""
    record = done.record["methods"]["projection"]
    out = tmp_path / "certify"
    assert world.run("certify", out, "--method", "projection") == 0
    said = capsys.readouterr().out
    label, training, export, _, common, *moved, plots = said.splitlines()
    assert label == "projection lr 0.001 seed 0"
    assert training.startswith("after training: largest |dW Q|/|dW| ") and export.startswith("after export: ")
    certificate = record["certificate"]
    assert (
        f"KL {certificate['logit_kl']:.3g} ±" in training and f"{certificate['domain']['logit_kl']:.3g} ±" in training
    )
    movement = certificate["movement"]
    leak, isotropic = (movement[key][movement["energies"].index(0.99)] ** 0.5 for key in ("shares", "isotropic"))
    assert common.endswith(f", 99% {leak:.2g} ({isotropic:.2g})")
    assert "Real text never lies there wholly." in " ".join(said.split())
    table = [line.split()[0] for line in moved[moved.index("") :] if line]
    linears = list(movement["linears"])
    assert linears == ["q", "k", "v", "o", "gate", "up", "down"]
    start = table.index("q")
    assert table[start : start + 7] == linears
    figure = out / "projection" / "lr_0.001" / "seed_0" / "movement.svg"
    assert plots == f"plots: {figure}" and figure.read_bytes().startswith(b"<?xml")

    out = tmp_path / "evaluate"
    assert world.run("evaluate", out, "--method", "projection") == 0
    lines = capsys.readouterr().out.splitlines()
    scores = record["axes"]["proficiency"]
    assert lines[1] == f"proficiency: {scores['before']:.4f} -> {scores['seeds'][0]['after']:.4f} (8 examples)"
    assert [line.split(":")[0] for line in lines] == [label, "proficiency", "safety", "knowledge"]

    out = tmp_path / "train"
    assert world.run("train", out, "--method", "projection") == 0
    folder = out / "projection" / "lr_0.001" / "seed_0"
    assert capsys.readouterr().out == f"trained: {folder}\n"
    steps = [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert steps == [1, 2, 3, 4]
    assert world.run("export", out, "--method", "projection") == 0
    assert capsys.readouterr().out == f"model: {folder / 'model'}\n"
    there = (done.out / "projection" / "lr_0.001" / "seed_0" / "model" / "model.safetensors").read_bytes()
    assert (folder / "model" / "model.safetensors").read_bytes() == there
    assert (folder / "model" / "tokenizer.json").is_file()


def test_the_first_method_is_the_default(world, tmp_path, capsys) -> None:
    assert world.run("train", tmp_path / "out") == 0
    assert "/full/lr_0.003/seed_0" in capsys.readouterr().out


def test_lora_exports_its_adapter_too_and_twice_is_once(world, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    assert world.run("export", out, "--method", "lora") == 0
    folder = out / "lora" / "lr_0.001" / "seed_0"
    said = f"model: {folder / 'model'}\nadapter: {folder / 'adapter'}\n"
    assert capsys.readouterr().out == said
    description = json.loads((folder / "adapter" / "adapter_config.json").read_text())
    assert description["r"] == 2 and Path(description["base_model_name_or_path"]) == world.folder / "model"
    before = snapshot(folder / "adapter") | snapshot(folder / "model")
    assert world.run("export", out, "--method", "lora") == 0
    assert capsys.readouterr().out == said
    assert snapshot(folder / "adapter") | snapshot(folder / "model") == before


def test_calibrate(world, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    assert world.run("calibrate", out) == 0
    said = capsys.readouterr().out
    assert re.search(r"^projection  attention_input: protected \d\.\.\d of 16 directions \(\d+%\)$", said, re.M)
    [folder] = (path for path in (out / "calibration").iterdir() if path.is_dir())
    assert f"moments and bases: {folder}" in said
    assert {path.name for path in folder.iterdir()} >= {
        "moments.json",
        "layer_000.safetensors",
        "layer_001.safetensors",
    }


def test_report_draws_from_the_record_alone(world, done, tmp_path, capsys) -> None:
    shutil.copy(done.out / "record.json", tmp_path)
    assert world.run("report", tmp_path) == 0
    said = capsys.readouterr().out
    assert "projection" in said and f"report: {tmp_path / 'report.html'}" in said
    assert (tmp_path / "table.txt").read_text() == (done.out / "table.txt").read_text()
    assert (tmp_path / "retention.png").is_file()


def test_report_without_a_record(world, tmp_path, capsys) -> None:
    assert world.run("report", tmp_path) == 1
    advice = f"`jaxft compare {world.config} --out {tmp_path}` makes it"
    assert f"{tmp_path}/record.json: no record is there; {advice}" in one_error(capsys)


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["--training.steps", "9"], 1),
        (["--methods.lora.rank=1"], 1),
        (["--methods.lora.rank", "2"], 0),  # as in the record
    ],
)
def test_report_refuses_what_the_record_does_not_hold(world, done, tmp_path, capsys, words, status) -> None:
    shutil.copy(done.out / "record.json", tmp_path)
    assert world.run("report", tmp_path, *words) == status
    if status:
        key = words[0].partition("=")[0]
        assert f"{key}: differs from the record, which a report draws as it is" in one_error(capsys)


@pytest.mark.parametrize("out", ["/proc/x", "/proc/x/y"])
def test_an_impossible_folder_is_named(world, capsys, out) -> None:
    assert world.run("train", Path(out)) == 1
    assert f"{out}: cannot be written (/proc takes no new files); choose another folder" in one_error(capsys)


def test_generate(world, capsys) -> None:
    words = ["generate", "--model", str(world.folder / "model"), "--prompt", "On Monday", "--max-new-tokens", "3"]
    assert main(words) == 0
    first = capsys.readouterr().out
    assert first.startswith("On Monday")
    assert main(words) == 0
    assert capsys.readouterr().out == first
    assert main([*words, "--chat"]) == 0
    assert not capsys.readouterr().out.startswith("On Monday")
    assert main([*words, "--temperature", "1", "--seed", "1"]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--max-new-tokens", "0"], "--max-new-tokens: found 0, expected at least 1"),
        (["--temperature", "-1"], "--temperature: found -1.0, expected 0 or more"),
        (["--temperature", "nan"], "--temperature: found nan, expected 0 or more"),
        (["--prompt", "\udcff"], "--prompt: found bytes that are not UTF-8"),
        (["--model", "nonsense"], "nonsense: there is no such folder. A model is a folder, org/name"),
        (["--model", ""], "found '', expected a folder, org/name"),
        (["--model", "$UNSET/model"], "the environment variable UNSET is not set"),
        (["--max-new-tokens", "500"], "max_new_tokens 500 exceed the model's context of 160 tokens"),
        (["--tokens", "3"], "unknown option '--tokens'; see jaxft generate --help"),
    ],
)
def test_generate_with_impossible_options(world, capsys, words, message) -> None:
    assert main(["generate", "--model", str(world.folder / "model"), "--prompt", "On", *words]) == 1
    assert message in one_error(capsys)


def test_generate_in_a_chat_without_a_chat_template(own_world, capsys) -> None:
    folder = own_world.folder / "model"
    (folder / "chat_template.jinja").unlink()
    assert main(["generate", "--model", str(folder), "--prompt", "On", "--chat"]) == 1
    assert f"--chat: {folder} has no chat template; leave the option out" in one_error(capsys)


@pytest.mark.parametrize("verb", ["data", "plan"])
def test_verbs_without_an_output_folder_take_none(world, tmp_path, capsys, verb) -> None:
    assert main([verb, world.config, "--out", str(tmp_path)]) == 1
    assert "--out" in one_error(capsys)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--method", "lorra"], "--method: found 'lorra', expected one of full, lora, projection"),
        (["--methods.lora.rang", "3"], "did you mean --methods.lora.rank?"),
        (["--training.steps"], "--training.steps has no value"),
        (["stray"], "unexpected argument 'stray'"),
    ],
)
def test_wrong_words(world, tmp_path, capsys, words, message) -> None:
    out = tmp_path / "out"
    assert world.run("train", out, *words) == 1
    assert message in one_error(capsys)
    assert not out.exists()


def test_the_folder_defaults_to_the_name_of_the_config(world, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["report", world.config]) == 1
    assert "runs/world/record.json" in one_error(capsys)


def test_help_names_every_verb(capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    said = capsys.readouterr().out
    assert all(re.search(rf"^ +{verb}\s", said, re.M) for verb in VERBS) and "--key.sub value" in said


def test_every_verb_has_a_function_and_help_that_needs_no_jax(capsys) -> None:
    assert all(callable(getattr(verbs, verb.replace("-", "_"))) for verb in VERBS)
    code = "import sys; from experiments.cli import main\ntry: main(['plan', '--help'])\nfinally: print(*sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60).stdout
    assert "--topology" in said and not {"jax", "numpy", "experiments.verbs"} & set(said.split())


@pytest.mark.parametrize("default", ['"base"', "64", "0)"])
def test_help_says_what_is_taken_where_nothing_is_given(capsys, default) -> None:
    with pytest.raises(SystemExit):
        main(["generate", "--help"])
    assert f"default: {default}" in " ".join(capsys.readouterr().out.split())


def test_an_unknown_verb(capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["compair", "x.py"])
    assert caught.value.code == 2
    assert "invalid choice: 'compair'" in capsys.readouterr().err


def test_ctrl_c_is_no_crash(world, tmp_path, monkeypatch, capsys) -> None:
    def interrupt(_) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(verbs, "report", interrupt)
    assert world.run("report", tmp_path) == 130
    assert "interrupted; what is complete on disk stays" in one_error(capsys)


def test_sigterm_while_training_saves_and_the_same_command_goes_on(world, tmp_path, monkeypatch, capsys) -> None:
    add, out = Metrics.add, tmp_path / "out"

    def add_and_stop(self: Metrics, step: int, metrics: dict) -> None:
        add(self, step, metrics)
        if step == 3:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Metrics, "add", add_and_stop)
        assert world.run("train", out) == 75
    assert "stopped by SIGTERM after step 3 of 4, saved; the same command continues from there" in one_error(capsys)
    folder = out / "full" / "lr_0.003" / "seed_0"
    assert [path.name for path in (folder / "checkpoints").iterdir() if path.name.isdigit()] == ["3"]
    assert world.run("train", out) == 0
    assert [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()] == [1, 2, 3, 4]


def test_sigterm_elsewhere_stops_at_once(world, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(verbs, "report", lambda _: signal.raise_signal(signal.SIGTERM))
    assert world.run("report", tmp_path) == 75
    assert "stopped by SIGTERM; what is complete on disk stays" in one_error(capsys)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_faults_of_the_program_are_not_hidden(world, tmp_path, monkeypatch) -> None:
    def fail(_) -> None:
        raise FileNotFoundError(2, "No such file or directory", "x")

    monkeypatch.setattr(verbs, "report", fail)
    with pytest.raises(FileNotFoundError):
        world.run("report", tmp_path)


def test_a_bucket_as_output_is_refused_and_makes_no_folder(world, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        main(["train", world.config, "--out", "gs://bucket/run"])
    said = " ".join(capsys.readouterr().err.split())
    assert "found 'gs://bucket/run', expected a local folder; mount the bucket (gcsfuse" in said
    assert list(tmp_path.iterdir()) == []


def test_benchmark_leaves_record_table_and_chart(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    text = "from tests.experiments.benchmarks.toy import toy\nbenchmark = toy(parts=('train',), rounds=1, steps=1)\n"
    (tmp_path / "toy.py").write_text(text)
    assert main(["benchmark", "toy.py", "--methods", "('full',)"]) == 0
    said = capsys.readouterr().out
    assert "full" in said and "chart: runs/toy/benchmark.png" in said
    record = json.loads(Path("runs/toy/record.json").read_text())
    assert [entry["work"] for entry in record["measurements"] if entry["side"] == "jaxft"] == ["full"]
    assert record["command"] == "jaxft benchmark toy.py --methods '('\"'\"'full'\"'\"',)'"
    assert Path("runs/toy/benchmark.png").stat().st_size > 0
