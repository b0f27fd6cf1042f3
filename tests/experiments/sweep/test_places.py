"""Which accelerators and cores each unit's process has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.sweep import places
from jaxft.errors import UserError


@pytest.fixture(autouse=True)
def nothing_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(places, "DEVICES", Path("/nowhere"))


def seen(jobs: int, *names: str) -> list[tuple[str | None, ...]]:
    return [tuple(each.environment.get(name) for name in names) for each in places.places(jobs)]


def test_on_a_cpu_all_compute_there() -> None:
    assert seen(3, "CUDA_VISIBLE_DEVICES", "TPU_VISIBLE_CHIPS") == [(None, None)] * 3


def test_on_a_cpu_each_has_its_cores_where_there_are_enough(monkeypatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 4, 8, 9})
    monkeypatch.setattr(sys, "platform", "linux")
    assert [place.cores for place in places.places(2)] == [{3, 5, 9}, {4, 8}]
    assert [place.cores for place in places.places(6)] == [None] * 6
    assert [place.cores for place in places.places(1)] == [None]


def test_each_process_has_one_gpu(monkeypatch, tmp_path) -> None:
    for name in ("nvidia0", "nvidia10", "nvidia2", "nvidiactl"):
        (tmp_path / name).touch()
    monkeypatch.setattr(places, "DEVICES", tmp_path)
    assert seen(2, "CUDA_VISIBLE_DEVICES") == [("0",), ("2",)]
    assert seen(1, "CUDA_VISIBLE_DEVICES") == [(None,)]  # alone it has all of them
    with pytest.raises(UserError, match="--jobs 4: found 3 accelerators here, expected one for each unit at work"):
        places.places(4)
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert seen(4, "CUDA_VISIBLE_DEVICES") == [(None,)] * 4


def test_of_the_gpus_that_the_user_chose(monkeypatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert seen(2, "CUDA_VISIBLE_DEVICES") == [("3",), ("5",)]


@pytest.mark.parametrize("names", [("accel0", "accel1"), ("vfio/0", "vfio/1", "vfio/vfio")])
def test_each_process_has_one_tpu_chip(monkeypatch, tmp_path, names) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setattr(places, "DEVICES", tmp_path)
    wanted = [(number, "1,1,1", "1,1,1") for number in ("0", "1")]
    assert seen(2, "TPU_VISIBLE_CHIPS", "TPU_CHIPS_PER_PROCESS_BOUNDS", "TPU_PROCESS_BOUNDS") == wanted


@pytest.mark.skipif(sys.platform != "linux", reason="cores are chosen on Linux alone")
def test_a_process_keeps_to_its_place() -> None:
    one = min(os.sched_getaffinity(0))
    program = f"""if True:
        import os
        from experiments.sweep.places import Place
        Place({{"CUDA_VISIBLE_DEVICES": "7"}}, frozenset([{one}])).enter()
        print(os.environ["CUDA_VISIBLE_DEVICES"], os.sched_getaffinity(0))
    """
    assert subprocess.check_output([sys.executable, "-c", program], text=True).split(maxsplit=1) == [
        "7",
        f"{{{one}}}\n",
    ]
