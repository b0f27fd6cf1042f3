"""Wrong options: one clear error each, exit status 2, and gcloud is never called."""

import pytest

from tests.tpu.world import COMMAND, OPTIONS, World


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([*OPTIONS[2:], "--", *COMMAND], "--name is missing"),
        ([*OPTIONS[:2], *OPTIONS[4:], "--", *COMMAND], "--zone is missing"),
        ([*OPTIONS[:4], *OPTIONS[6:], "--", *COMMAND], "--type: found '', expected v4-N"),
        ([*OPTIONS, "--type", "v3-8", "--", *COMMAND], "--type: found 'v3-8'"),
        ([*OPTIONS, "--type", "v5e-0", "--", *COMMAND], "--type: found 'v5e-0'"),
        ([*OPTIONS, "--max-resumes", "many", "--", *COMMAND], "--max-resumes: found 'many'"),
        ([*OPTIONS, "--env", "KEY", "--", *COMMAND], "--env: found 'KEY', expected KEY=VALUE"),
        ([*OPTIONS[:6], "--", *COMMAND], "--bucket is missing"),
        ([*OPTIONS, "--bucket", "store", "--", *COMMAND], "--bucket: found 'store', expected gs://BUCKET"),
        ([*OPTIONS, "--bucket", "gs://store/runs/", "--", *COMMAND], "'gs://store/runs', expected gs://BUCKET, the"),
        ([*OPTIONS, "--project", "--", *COMMAND], "--project needs a value"),
        ([*OPTIONS, "--project"], "--project needs a value"),
        ([*OPTIONS, "--sport", "--", *COMMAND], "unknown option '--sport'"),
        (OPTIONS, "expected jaxft VERB CONFIG"),
        ([*OPTIONS, "--", "python", "x.py"], "the command after -- is 'python x.py'"),
        ([*OPTIONS, "--", *COMMAND[:3]], "--out: found '', expected bucket/FOLDER, a folder of gs://store"),
        ([*OPTIONS, "--spot", "--", *COMMAND[:4], "runs/out"], "on preemption at any moment"),
        ([*OPTIONS, "--", *COMMAND, "--out=runs/out"], "--out: found 'runs/out'"),
        ([*OPTIONS, "--", *COMMAND[:4], "gs://store/out"], "--out: found 'gs://store/out', expected bucket/FOLDER"),
        ([*OPTIONS, "--", *COMMAND[:4], "bucket/"], "--out: found 'bucket', expected bucket/FOLDER"),
        ([*OPTIONS, "--", *COMMAND[:4], "bucket/../out"], "--out: found 'bucket/../out', expected bucket/FOLDER"),
        ([*OPTIONS, "--", "jaxft", "compare", "configs/new.py", *COMMAND[3:]], "configs/new.py is not committed"),
    ],
)
def test_wrong_options(world: World, words: list[str], message: str) -> None:
    done = world.run(*words)
    assert done.returncode == 2
    assert done.stderr.startswith("tpu/run.sh: ") and message in done.stderr
    assert len(done.stderr.splitlines()) <= 2
    assert world.calls() == []


def test_changes_that_are_not_committed(world: World) -> None:
    (world.root / "configs" / "run.py").write_text("changed = True\n")
    done = world.run(*OPTIONS, "--", *COMMAND)
    assert done.returncode == 2
    assert "commit them" in done.stderr and "configs/run.py" in done.stderr
    assert world.calls() == []


def test_help(world: World) -> None:
    done = world.run("--help")
    assert done.returncode == 0
    assert "usage: tpu/run.sh" in done.stdout
