"""run.sh against a fake gcloud: what it does in each case, and that no slice is ever left behind."""

import os
import signal
from pathlib import Path

import pytest

from tests.tpu.world import COMMAND, OPTIONS, World

RUN = [*OPTIONS, "--", *COMMAND]
PREEMPTED = "ACTIVE ACTIVE ACTIVE ACTIVE SUSPENDED\nACTIVE"  # the states of two slices, one a line


def test_from_nothing_to_results(world: World) -> None:
    words = ["--env", "NOTE=two words; $HOME", "--project", "mine", "--results", "here"]
    done = world.run(*OPTIONS, *words, "--", *COMMAND)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "worker 0 runs in source two words; $HOME\n"
    assert [path.name for path in Path(world.folder, "here").iterdir()] == ["record.json"]
    assert world.asked("storage", "cp", "gs://store/out/*", "here") == 1
    assert world.asked("--project=mine") == len(world.calls())
    create = next(call for call in world.calls() if "create" in call)
    assert {"--node-id=trial", "--accelerator-type=v5litepod-16", "--runtime-version=v2-alpha-tpuv5-lite"} < set(create)
    assert "--spot" not in create
    world.assert_nothing_left(slices=1)


@pytest.mark.parametrize(
    ("kind", "accelerator", "runtime"),
    [
        ("v4-8", "v4-8", "tpu-ubuntu2204-base"),
        ("v5p-8", "v5p-8", "v2-alpha-tpuv5"),
        ("v6e-8", "v6e-8", "v2-alpha-tpuv6e"),
    ],
)
def test_dry_run_prints_the_commands_and_runs_none(world: World, kind: str, accelerator: str, runtime: str) -> None:
    done = world.run(*OPTIONS, "--type", kind, "--spot", "--dry-run", "--env", "NOTE=a b", "--", *COMMAND)
    assert done.returncode == 0, done.stderr
    assert world.calls() == []
    assert f"--accelerator-type={accelerator} --runtime-version={runtime} --spot --quiet\n" in done.stdout
    assert "exec jaxft compare configs/run.py --out bucket/out\n" in done.stdout
    for words in ("queued-resources delete trial", "tpu-vm scp", r"setup\ store", "start", "cp gs://store/out/"):
        assert words in done.stdout
    assert not list((world.folder / "tmp").iterdir())


@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param({"states": PREEMPTED}, id="preempted"),
        pytest.param({"states": "PROVISIONING SUSPENDING\nACTIVE"}, id="before-it-was-active"),
        pytest.param({"node": "PREEMPTED\nREADY"}, id="node-preempted"),
        pytest.param({"exits": "75 75\n0 0"}, id="saved-on-sigterm"),
        pytest.param({"exits": "1 75\n0 0"}, id="one-saved-the-other-failed"),
        pytest.param({"exits": "vanish hang\n0 0"}, id="worker-rebooted"),
        pytest.param({"states": "ACTIVE SUSPENDED\nACTIVE", "bucket": "missing fine\nfine fine"}, id="while-mounting"),
        pytest.param(
            {"states": "UNTIL_EXIT ACTIVE SUSPENDED\nACTIVE", "exits": "1 hang\n0 0"},
            id="neighbour-fails-first",
        ),
    ],
)
def test_a_lost_slice_is_replaced_and_the_command_goes_on(world: World, scenario: dict) -> None:
    scenario = {"exits": "hang hang\n0 0", **scenario}
    done = world.run(*OPTIONS, "--spot", "--", *COMMAND, **scenario)
    assert done.returncode == 0, done.stderr
    assert "resume 1 of 20" in done.stderr
    assert world.asked("create", "--spot") == 2
    world.assert_nothing_left(slices=2)


def test_gives_up_after_max_resumes(world: World) -> None:
    done = world.run(*OPTIONS, "--max-resumes", "2", "--", *COMMAND, exits="75 75")
    assert done.returncode == 1
    assert "giving up (--max-resumes 2)" in done.stderr and "gs://store/out" in done.stderr
    world.assert_nothing_left(slices=3)


def test_create_refused(world: World) -> None:
    done = world.run(*RUN, refuse_create="0")
    assert done.returncode == 1
    assert "quota exceeded" in done.stderr and "could not create" in done.stderr
    world.assert_nothing_left(slices=0)


def test_create_refused_while_resuming_counts_as_one_more_loss(world: World) -> None:
    done = world.run(*RUN, exits="75 75\n0 0", refuse_create="1")
    assert done.returncode == 0, done.stderr
    assert "resume 2 of 20" in done.stderr
    world.assert_nothing_left(slices=2)


def test_request_failed(world: World) -> None:
    done = world.run(*RUN, states="WAITING_FOR_RESOURCES FAILED")
    assert done.returncode == 1
    assert "the request for the slice failed" in done.stderr
    world.assert_nothing_left(slices=1)


def test_a_failing_worker_ends_the_run_with_its_code_and_log(world: World) -> None:
    done = world.run(*RUN, exits="hang 3")
    assert done.returncode == 3
    assert "host-1: exit code 3" in done.stderr and "host-1: worker 1 runs in source" in done.stderr
    assert "host-0: exit" not in done.stderr
    assert not (world.folder / "runs").exists()
    world.assert_nothing_left(slices=1)


def test_workers_that_cannot_be_set_up(world: World) -> None:
    done = world.run(*RUN, refuse_ssh="all")
    assert done.returncode == 1
    assert "could not be set up" in done.stderr
    world.assert_nothing_left(slices=1)


def test_a_bad_connection_is_borne(world: World) -> None:
    # A setup, a start, a look at the workers and a look at the log fail, and some of gcloud's views of the slice.
    done = world.run(*RUN, refuse_ssh="0 2 5 7 9", refuse_describe="2 5 6")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "worker 0 runs in source \n"  # started once
    assert world.steps("setup") == 3 and len(world.ran("gcsfuse")) == 2  # mounted once
    world.assert_nothing_left(slices=1)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=["int", "term", "hup"]
)
@pytest.mark.parametrize("moment", ["create", "scp", "worker.sh status"])
def test_a_signal_deletes_the_slice(world: World, number: signal.Signals, code: int, moment: str) -> None:
    process = world.start(*RUN, states="ACTIVE", exits="hang hang")
    world.until(moment)
    os.killpg(process.pid, number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == code, stderr
    world.assert_nothing_left(slices=1)


def test_a_failing_deletion_is_tried_again(world: World) -> None:
    done = world.run(*RUN, refuse_delete="0 1")
    assert done.returncode == 0, done.stderr
    world.assert_nothing_left(slices=1)


def test_a_deletion_that_stays_impossible_is_said_loudly(world: World) -> None:
    done = world.run(*RUN, refuse_delete="all")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert "COULD NOT BE DELETED" in done.stderr
    assert last == "gcloud compute tpus queued-resources delete trial --zone=us-west4-a --force --quiet"


def test_a_slice_of_that_name_is_left_alone(world: World) -> None:
    (world.cloud / "slice").mkdir()
    (world.cloud / "slice" / "generation").write_text("0")
    done = world.run(*RUN)
    assert done.returncode == 1
    assert "exists in us-west4-a (PROVISIONING)" in done.stderr
    assert world.asked("delete") == world.asked("create") == 0


def test_nothing_is_created_where_gcloud_does_not_answer(world: World) -> None:
    done = world.run(*RUN, refuse_describe="0")
    assert done.returncode == 1
    assert "connection reset" in done.stderr
    assert world.asked("create") == 0
