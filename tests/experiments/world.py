"""A world in which every verb takes seconds: a random Llama of a few thousand parameters and a handful of examples."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import pytest
from flax import nnx

from experiments.cli import main
from jaxft.data.tokenizer import train_tokenizer
from jaxft.llama.checkpoint import save
from jaxft.llama.config import LlamaConfig
from jaxft.llama.model import Llama

REPOSITORY = Path(__file__).parents[2]
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
NUMBERS = ("one", "two", "three", "four", "five", "six")
CONTEXT = 160  # tokens

CONFIG = '''"""A comparison, and a sweep, that take seconds."""

from dataclasses import replace

from experiments.config import Axis, Evaluation, Experiment, Model, Pretrain, Reference, Source, Sweep, Training
from jaxft.methods import Full, GradientProjection, Lora

HERE = {folder!r}


def file(name):
    return Source(f"{{HERE}}/{{name}}.jsonl")


experiment = Experiment(
    name="world",
    model=Model(folder=f"{{HERE}}/model"),
    domain=(file("domain"),),
    reference=Reference(sources=(file("reference"),), length=32, batch_rows=4),
    training=Training(steps=4, batch_rows=4, row_length=64, warmup=1, checkpoint_every=2, log_every=2),
    evaluation=Evaluation(
        axes={{
            "proficiency": Axis("likelihood", file("test"), file("validation")),
            "safety": Axis("safety", Source("safety", "test", 3), Source("safety", "validation", 2)),
            "knowledge": Axis("likelihood", file("other"), file("other")),
        }},
        target=1.0,
        max_new_tokens=4,
        batch_size=4,
    ),
    methods={{
        "full": Full(learning_rates=(3e-3,)),
        "lora": Lora(learning_rates=(1e-3, 1e-2), rank=2),
        "projection": GradientProjection(learning_rates=(1e-3,), energy=0.5, kfac_strength=0.1, kfac_outputs=True),
    }},
    seeds=(0, 1),
    pretrain=Pretrain(
        output=f"{{HERE}}/pretrained", vocab_size=300, hidden_size=16, intermediate_size=24, num_layers=1, num_heads=2,
        num_kv_heads=1, max_positions={context},
    ),
)

sweep = Sweep(
    name="grown",
    experiment=replace(
        experiment,
        methods={{
            "lora": Lora(learning_rates=(1e-3,), rank=2),
            "projection": experiment.methods["projection"],
        }},
        seeds=(0,),
    ),
    grid={{"methods.lora.learning_rates": ((1e-3,), (1e-2,))}},  # one compiled program for both
)
'''


def bookings(numbers: tuple[str, ...]) -> list[dict[str, str]]:
    return [
        {"prompt": f"A room for {number} on {day}.", "response": f"Booked for {number} on {day}."}
        for number in numbers
        for day in DAYS[:4]
    ]


def stories(days: tuple[str, ...], animal: str) -> list[dict[str, str]]:
    return [{"text": f"On {day} the {animal} sat by the {number} old trees."} for day in days for number in NUMBERS[:3]]


def write_lines(path: Path, records: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


@dataclass(frozen=True)
class World:
    """Folder of model, data and config, and how commands run in it."""

    folder: Path

    @classmethod
    def create(cls, folder: Path) -> World:
        data = {
            "domain": bookings(NUMBERS[:3]),
            "validation": bookings(NUMBERS[3:4]),
            "test": bookings(NUMBERS[4:6]),
            "reference": stories(DAYS[:5], "cat"),
            "other": stories(DAYS[5:], "dog"),
        }
        folder.mkdir(parents=True, exist_ok=True)
        for name, records in data.items():
            write_lines(folder / f"{name}.jsonl", records)
        texts = [text for records in data.values() for record in records for text in record.values()]
        tokenizer = train_tokenizer([*texts, "They are always kind to their neighbours, and I do not agree."], 340)
        tokenizer.save_pretrained(folder / "tokenizer")
        config = LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=16,
            intermediate_size=24,
            num_layers=2,
            num_heads=2,
            num_kv_heads=1,
            head_dim=8,
            max_positions=CONTEXT,
            tied_head=True,
        )
        save(Llama(config, rngs=nnx.Rngs(0)), folder / "model", like=folder / "tokenizer")
        (folder / "world.py").write_text(CONFIG.format(folder=str(folder), context=CONTEXT))
        return cls(folder)

    @property
    def config(self) -> str:
        return str(self.folder / "world.py")

    def words(self, verb: str, out: Path, *more: str) -> list[str]:
        return [verb, self.config, *(() if verb == "data" else ("--out", str(out))), *more]

    def run(self, verb: str, out: Path, *more: str) -> int:
        """The exit status of a command, in this process."""
        return main(self.words(verb, out, *more))

    def start(self, verb: str, out: Path, *more: str, shell_prefix: str = "") -> subprocess.Popen[str]:
        """The command in a process of its own."""
        words = [sys.executable, "-m", "experiments.start", *self.words(verb, out, *more)]
        if shell_prefix:
            words = ["bash", "-c", f'{shell_prefix} exec "$@"', "bash", *words]
        # A background job of a shell ignores Ctrl-C, and its children would; a handler here gives them the default.
        previous = signal.signal(signal.SIGINT, signal.default_int_handler)
        process = subprocess.Popen(
            words,
            cwd=REPOSITORY,
            env={
                **os.environ,
                "PYTHONPATH": str(REPOSITORY),
                # As in the tests' own process: how XLA on CPU sums, and so the last bit, depends on it.
                "JAX_NUM_CPU_DEVICES": str(jax.device_count()),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        signal.signal(signal.SIGINT, previous)
        return process

    def signalled(self, sign: signal.Signals, when: Callable[[], bool], verb: str, out: Path, *more: str):
        """(status, stderr) of a command that gets a signal as soon as `when()` holds."""
        process = self.start(verb, out, *more)
        deadline = time.monotonic() + 600  # generous: the machine may be busy
        try:
            while not when():
                assert process.poll() is None, process.communicate()[1]
                assert time.monotonic() < deadline
                time.sleep(0.01)
            process.send_signal(sign)
            said = process.communicate(timeout=300)[1]
            return process.returncode, said
        finally:
            process.kill()
            process.communicate()  # closes the pipes


def one_error(capsys: pytest.CaptureFixture[str]) -> str:
    """The one message of a user's mistake: no traceback, at most three lines after any progress."""
    text = capsys.readouterr().err
    assert "Traceback" not in text
    assert text.count("jaxft: ") == 1
    message = text[text.index("jaxft: ") :]
    assert 1 <= len(message.splitlines()) <= 3, message
    return message


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """(modification time, size) of every file, by path."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_size)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
