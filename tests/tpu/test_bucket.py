"""The bucket as a folder of every worker: gcsfuse installed, the bucket mounted, refused at once where it is no use."""

import shutil

import pytest

from tests.tpu.world import COMMAND, OPTIONS, World

RUN = [*OPTIONS, "--", *COMMAND]
APT = ["DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "-y", "-o", "DPkg::Lock::Timeout=300"]


def test_every_worker_sees_what_the_others_write(world: World) -> None:
    done = world.run(*RUN, exits="meet meet")
    assert done.returncode == 0, done.stderr
    assert world.ran("gcsfuse") == [
        [
            "--implicit-dirs",
            "--rename-dir-limit=1000000",
            "--metadata-cache-ttl-secs=0",
            "store",
            f"{world.cloud}/slice/w{worker}/jaxft/source/bucket",
        ]
        for worker in (0, 1)
    ]
    assert [path.name for path in (world.cloud / "bucket").iterdir()] == ["out"]  # no probe is left
    assert (world.folder / "runs" / "trial" / "record.json").exists()
    world.assert_nothing_left(slices=1)


def test_gcsfuse_is_installed_where_it_is_missing(world: World) -> None:
    done = world.run(*RUN)
    assert done.returncode == 0, done.stderr
    site, keyring = "https://packages.cloud.google.com/apt", "/usr/share/keyrings/cloud.google.asc"
    assert world.ran("curl") == [["-fsSL", f"{site}/doc/apt-key.gpg"]] * 2
    worker = [
        ["tee", keyring],
        ["tee", "/etc/apt/sources.list.d/gcsfuse.list"],
        [*APT, "update"],  # while the machine updates itself, see fake_worker.sh
        [*APT, "update"],
        [*APT, "install", "gcsfuse"],
    ]
    assert world.ran("sudo") == worker * 2
    assert (world.cloud / "cloud.google.asc").read_text() == f"what lies at {site}/doc/apt-key.gpg\n"
    assert (world.cloud / "gcsfuse.list").read_text() == f"deb [signed-by={keyring}] {site} gcsfuse-jammy main\n"


def test_gcsfuse_that_is_there_is_taken(world: World) -> None:
    worker = world.cloud / "worker"
    shutil.copy(worker / "gcsfuse", worker / "bin")
    done = world.run(*RUN)
    assert done.returncode == 0, done.stderr
    assert world.ran("sudo") == world.ran("curl") == []
    assert len(world.ran("gcsfuse")) == 2


MISSING = "cannot mount store\nhost-{}: Error: bucket store does not exist\n"


@pytest.mark.parametrize(
    ("scenario", "message"),
    [
        pytest.param({"bucket": "missing missing"}, "host-0: " + MISSING.format(0), id="no-such-bucket"),
        pytest.param({"bucket": "fine missing"}, "host-1: " + MISSING.format(1), id="on-one-worker"),
        pytest.param(
            {"bucket": "missing fine", "status": "255"}, "host-0: " + MISSING.format(0), id="status-of-another"
        ),
        pytest.param({"bucket": "missing fine", "status": "0"}, "host-0: " + MISSING.format(0), id="no-status"),
        pytest.param({"bucket": "readonly fine"}, "host-0: cannot write to store\nhost-0: cp: ", id="read-only"),
    ],
)
def test_a_bucket_that_cannot_be_used_ends_the_run_at_once(world: World, scenario: dict, message: str) -> None:
    done = world.run(*RUN, **scenario)
    assert done.returncode == 1
    assert f"the workers cannot use gs://store:\n{message}" in done.stderr
    assert "roles/storage.objectAdmin" in done.stderr
    assert ("host-0" in done.stderr) + ("host-1" in done.stderr) == 1  # one worker speaks for all
    assert world.steps("setup") == 1 and world.steps("start") == 0
    world.assert_nothing_left(slices=1)


def test_a_bucket_that_cannot_be_listed_is_told_before_anything_is_created(world: World) -> None:
    done = world.run(*RUN, refuse_ls="all")
    assert done.returncode == 1
    assert "the bucket gs://store cannot be listed from here:\nERROR: HTTPError 404: The specified" in done.stderr
    assert not world.asked("create") and world.ledger() == []
