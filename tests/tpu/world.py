"""A checkout with tpu/ in it, a fake gcloud on the PATH, and workers whose `jaxft` is a stub."""

import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
COMMAND = ["jaxft", "compare", "configs/run.py", "--out", "bucket/out"]
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
OPTIONS = ["--name", "trial", "--zone", "us-west4-a", "--type", "v5e-16", "--bucket", "gs://store"]

PYTHON3 = """#!/bin/sh
# `python3 -m pip install --user uv`: puts a uv there that makes an environment with the stub in it
mkdir -p ~/.local/bin
cp ~/bin/uv ~/.local/bin/uv
"""
UV = """#!/bin/sh
if [ "$1" = venv ]; then mkdir -p env/bin; cp ~/bin/stub env/bin/jaxft; cp /bin/true env/bin/python; fi
"""
# Writes into --out and ends with the exit code that the scenario has for this worker; "hang" sleeps until it is killed,
# "meet" waits five seconds for what the other worker writes, and wants the mount to be held.
STUB = """#!/bin/sh
echo "worker $WORKER runs in $(basename "$PWD") $NOTE"
mkdir -p "$4/checkpoints"
echo "{}" >"$4/record.json"
touch "$4/checkpoints/$WORKER"
case $EXIT in
hang) exec /bin/sleep 60 ;;
vanish) kill -9 $PPID; exit 1 ;;
meet)
    for _ in $(seq 100); do
        [ -e "$4/checkpoints/$((1 - WORKER))" ] || { /bin/sleep 0.05; continue; }
        [ "$(readlink /proc/self/fd/3)" = "$(readlink -f bucket)" ] || exit 4
        exit 0
    done
    exit 5
    ;;
*) exit "$EXIT" ;;
esac
"""


@dataclass
class World:
    """One test's checkout and cloud."""

    folder: Path

    @property
    def root(self) -> Path:
        return self.folder / "checkout"

    @property
    def cloud(self) -> Path:
        return self.folder / "cloud"

    def calls(self, of: str = "calls") -> list[list[str]]:
        """The calls of gcloud, or of the "machines"' programs."""
        path = self.cloud / of
        return [line.split("\t")[:-1] for line in path.read_text().splitlines()] if path.exists() else []

    def asked(self, *wanted: str) -> int:
        """How many calls of gcloud hold these words."""
        return sum(all(word in call for word in wanted) for call in self.calls())

    def steps(self, step: str) -> int:
        """How many calls of gcloud do this step of worker.sh."""
        return sum(f"worker.sh {step}" in word for call in self.calls() for word in call)

    def ran(self, program: str) -> list[list[str]]:
        """The words that the program got on the workers, call by call."""
        return [words for name, *words in self.calls("machines") if name == program]

    def ledger(self) -> list[str]:
        path = self.cloud / "ledger"
        return path.read_text().split() if path.exists() else []

    def start(self, *words: str, **scenario: str) -> subprocess.Popen[str]:
        """Start run.sh; what `scenario` means stands in fake_gcloud.sh."""
        for name, text in scenario.items():
            (self.cloud / "scenario" / name).write_text(text + "\n")
        environment = {
            "PATH": f"{self.folder / 'bin'}:/usr/bin:/bin",
            "HOME": str(self.folder),
            "FAKE_GCLOUD": str(self.cloud),
            "JAXFT_TPU_POLL": "0.05",
            "TMPDIR": str(self.folder / "tmp"),
        }
        # Under nohup or in the background some signals are ignored. Children inherit that, and a shell cannot trap what
        # it inherits ignored; a handler they do not inherit.
        previous = {number: signal.signal(number, signal.default_int_handler) for number in SIGNALS}
        process = subprocess.Popen(
            [str(self.root / "tpu" / "run.sh"), *words],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        for number, handler in previous.items():
            signal.signal(number, handler)
        return process

    def run(self, *words: str, **scenario: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*words, **scenario)
        stdout, stderr = process.communicate(timeout=60)
        return subprocess.CompletedProcess(words, process.returncode, stdout, stderr)

    def until(self, wanted: str) -> None:
        """Wait for a call with this word in it."""
        deadline = time.monotonic() + 30
        while not any(wanted in part for call in self.calls() for part in call):
            assert time.monotonic() < deadline, f"gcloud was never called with {wanted}"
            time.sleep(0.02)

    def assert_nothing_left(self, slices: int) -> None:
        """That many slices were created, and each was deleted."""
        assert self.ledger() == ["created", "deleted"] * slices
        assert not (self.cloud / "slice").exists()
        assert not list((self.folder / "tmp").iterdir())


def build(tmp_path: Path) -> World:
    """The checkout, the cloud and the programs of one test in an empty folder."""
    world = World(tmp_path)
    for folder in (
        world.root / "configs",
        world.cloud / "worker" / "bin",
        world.cloud / "scenario",
        world.cloud / "bucket",
        tmp_path / "bin",
        tmp_path / "tmp",
    ):
        folder.mkdir(parents=True)
    shutil.copytree(REPOSITORY / "tpu", world.root / "tpu")
    (world.root / "configs" / "run.py").write_text("")
    git = ["git", "-C", str(world.root), "-c", "user.name=t", "-c", "user.email=t@localhost"]
    quiet = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "all"]):
        subprocess.run([*git, *words], check=True, env=quiet)
    here, worker = Path(__file__).parent, world.cloud / "worker"
    executable(tmp_path / "bin" / "gcloud", (here / "fake_gcloud.sh").read_text())
    for name, text in {"python3": PYTHON3, "uv": UV, "stub": STUB}.items():
        executable(worker / "bin" / name, text)
    for name in ("gcsfuse", "bin/mountpoint", "bin/curl", "bin/lsb_release", "bin/sudo", "bin/hostname", "bin/sleep"):
        executable(worker / name, (here / "fake_worker.sh").read_text())
    return world


def executable(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)
