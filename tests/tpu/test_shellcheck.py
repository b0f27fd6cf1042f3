"""shellcheck has nothing to say about the scripts."""

import shutil
import subprocess
import sys
from pathlib import Path

TPU = Path(__file__).parents[2] / "tpu"


def test_shellcheck() -> None:
    beside = Path(sys.executable).with_name("shellcheck")
    program = str(beside) if beside.exists() else shutil.which("shellcheck")
    assert program, "shellcheck is missing: pip install -e '.[test]'"
    # slice.sh is checked as a part of run.sh, whose variables it reads.
    options = ["--external-sources", "--check-sourced", "--source-path=SCRIPTDIR"]
    scripts = [TPU / "run.sh", TPU / "worker.sh", *Path(__file__).parent.glob("*.sh")]
    done = subprocess.run([program, *options, *scripts], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
