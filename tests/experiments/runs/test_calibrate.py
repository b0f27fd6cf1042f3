"""Reference text to protected bases: what is measured once, when it is measured anew, and what never enters it."""

from __future__ import annotations

import re
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from experiments.base_model import Base
from experiments.config import Experiment, Reference
from experiments.config_loader import load_experiment
from experiments.data.sources import fingerprint, load_examples
from experiments.runs import calibrate
from experiments.runs.calibrate import Calibration, ReferenceText, ranks, to_batches
from experiments.runs.workspace import Workspace
from jaxft.data.example import Example
from jaxft.data.packing import Rows
from jaxft.data.source import Source
from jaxft.errors import UserError
from jaxft.llama.fisher import diagonal_fisher
from jaxft.methods import EWC, L2SP, GradientProjection, Interpolated, Neurons, Osf
from jaxft.methods.base import Statistics
from jaxft.subspace.basis import plasticity, save_bases
from jaxft.subspace.low_rank_moment import LowRankMoment
from jaxft.subspace.moments import MomentFiles
from tests.experiments.world import REPOSITORY, World, snapshot


@pytest.fixture(scope="module")
def experiment(world: World) -> Experiment:
    return load_experiment(world.config)


@pytest.fixture(scope="module")
def measured(experiment: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Calibration:
    calibration = Calibration(experiment, Base(experiment.model), tmp_path_factory.mktemp("measured"))
    calibration.measure()
    return calibration


def again(measured: Calibration, experiment: Experiment) -> Calibration:
    return Calibration(experiment, Base(experiment.model), measured.files.folder.parent)


def test_a_second_run_reuses_moments_and_bases(measured, experiment, monkeypatch) -> None:
    first = measured.bases(0.5)
    before = snapshot(measured.files.folder)
    monkeypatch.setattr(calibrate, "stream_moments", None)
    monkeypatch.setattr(calibrate, "directions", None)
    second = again(measured, experiment).bases(0.5)
    assert snapshot(measured.files.folder) == before
    for space, basis in first.items():
        np.testing.assert_array_equal(basis.vectors, second[space].vectors)
        assert basis.ranks == second[space].ranks


def test_a_second_run_reuses_the_fisher_information(measured, experiment, monkeypatch) -> None:
    first = measured.statistics(EWC(()), {})
    assert not first.bases and not first.input_moments
    monkeypatch.setattr(calibrate, "diagonal_fisher", None)
    second = again(measured, experiment).fisher()
    batches = measured.batches(measured.text.fit)
    wanted = diagonal_fisher(measured.base.model, batches, experiment.reference.seed)
    for a, b, c in zip(*map(jax.tree.leaves, (first.fisher, second, wanted)), strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(a, c, rtol=1e-5)
        assert a.max() > 0


def test_programs_that_want_the_fisher_information_at_once_measure_it_once(
    measured, experiment, tmp_path, monkeypatch
) -> None:
    """As the workers of a sweep do."""
    shutil.copytree(measured.files.folder, tmp_path / "own" / measured.files.folder.name)
    shutil.rmtree(tmp_path / "own" / measured.files.folder.name / "fisher", ignore_errors=True)
    both = [Calibration(experiment, Base(experiment.model), tmp_path / "own") for _ in range(2)]
    calls, begun, finish = [], threading.Event(), threading.Event()

    def slowly(*given: Any) -> Any:
        calls.append(given)
        begun.set()
        assert finish.wait(60)
        return diagonal_fisher(*given)

    monkeypatch.setattr(calibrate, "diagonal_fisher", slowly)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(both[0].fisher)
        assert begun.wait(60)
        second = pool.submit(both[1].fisher)
        with pytest.raises(TimeoutError):
            second.result(timeout=0.5)
        finish.set()
        found = first.result(timeout=60), second.result(timeout=60)
    assert len(calls) == 1
    for a, b in zip(*map(jax.tree.leaves, found), strict=True):
        np.testing.assert_array_equal(a, b)


def test_methods_are_given_what_they_need_and_no_more(measured, experiment, tmp_path) -> None:
    work = Workspace(replace(experiment, reference=None), tmp_path)  # any use of the calibration would be an error
    assert work.statistics(Interpolated((1e-3,))) == Statistics()
    assert work.statistics(L2SP((1e-3,))) == Statistics(base=work.base.model)
    assert work.statistics(Osf((1e-3,))) == Statistics(base=work.base.model)
    chosen = GradientProjection((1e-3,), energy=0.5, neurons=Neurons(0.5, "importance"))
    given = Workspace(experiment, measured.files.folder.parent.parent).statistics(chosen)
    assert given.base is not None and given.input_moments and given.fisher is None


def test_moments_come_whole_where_as_many_directions_are_asked_for_as_they_have(measured) -> None:
    given = measured.statistics(GradientProjection(kfac_strength=1.0, kfac_rank=16), {})
    low = given.input_moments["mlp_output"]
    assert isinstance(low, LowRankMoment) and low.vectors.shape[-2:] == (24, 16)
    layers = [measured.files.read(index).inputs["mlp_input"] for index in range(len(measured.files))]
    np.testing.assert_array_equal(given.input_moments["mlp_input"], np.stack(layers))


@pytest.mark.parametrize(
    "words",
    [
        ["--model.template", "plain"],
        ["--model.compute_dtype", "bfloat16"],
        ["--reference.length", "48"],
        ["--reference.heldout", "0.5"],
        ["--reference.seed", "1"],
        ["--reference.temperature", "2"],
        ["--methods.projection.kfac_outputs", "False"],
    ],
    ids=lambda words: words[0],
)
def test_another_setting_is_another_folder(measured, world, words) -> None:
    changed = again(measured, load_experiment(world.config, words))
    assert changed.files.folder != measured.files.folder


@pytest.mark.parametrize(
    "words",
    [
        ["--methods.projection.learning_rates", "5"],
        ["--methods.projection.energy", "0.9"],
        ["--training.steps", "9"],
        ["--reference.batch_rows", "8"],
    ],
    ids=lambda words: words[0],
)
def test_what_the_moments_do_not_depend_on_changes_nothing(measured, world, words) -> None:
    assert again(measured, load_experiment(world.config, words)).files.folder == measured.files.folder


def test_other_reference_text_model_or_tokenizer_is_another_folder(measured, own_world) -> None:
    def folder() -> Path:
        return again(measured, load_experiment(own_world.config)).files.folder

    assert folder() == measured.files.folder  # a copy of the world, elsewhere
    text = own_world.folder / "reference.jsonl"
    text.write_text(text.read_text().replace("Monday", "Sunday"))
    changed = folder()
    assert changed != measured.files.folder
    template = own_world.folder / "model" / "chat_template.jinja"
    template.write_text(template.read_text() + " ")
    assert folder() != changed
    weights = own_world.folder / "model" / "model.safetensors"
    last, content = folder(), bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert folder() != last


def test_heldout_examples_are_disjoint_from_the_others() -> None:
    sources = (Source("knowledge", "train", 50), Source("safety", "train", 50))
    for share, every in ((0.2, 5), (0.5, 2), (0.34, 3)):
        text = ReferenceText.load(Reference(sources, heldout=share))
        fit, heldout = ({fingerprint([e]) for e in part} for part in (text.fit, text.heldout))
        assert not fit & heldout
        assert len(text.heldout) == -(-100 // every)
        assert len(text.fit) + len(text.heldout) == 100
        for part in (text.fit, text.heldout):  # every source on both sides
            assert {"kind" in e.key for e in part} == {True, False}


def test_too_little_reference_text() -> None:
    with pytest.raises(UserError, match=r"reference.sources: only 1 example\(s\); at least 5 are needed"):
        ReferenceText.load(Reference((Source("knowledge", "train", 1),)))


def test_batches_hold_every_row_and_fill_with_padding() -> None:
    tokens = np.arange(1, 11, dtype=np.int32).reshape(5, 2)
    ones = np.ones((5, 2), np.int32)
    found = to_batches(Rows(tokens, ones, ones, tokens, ones.astype(np.float32)), 4)
    assert [batch["tokens"].shape for batch in found] == [(4, 2), (4, 2)]
    np.testing.assert_array_equal(np.concatenate([batch["tokens"] for batch in found])[:5], tokens)
    assert found[1]["segments"][1:].sum() == 0


def test_a_stopped_measurement_leaves_nothing(experiment, tmp_path, monkeypatch) -> None:
    def stop(*_) -> None:
        raise KeyboardInterrupt

    calibration = Calibration(experiment, Base(experiment.model), tmp_path)
    monkeypatch.setattr(MomentFiles, "write", stop)
    with pytest.raises(KeyboardInterrupt):
        calibration.measure()
    assert not list(tmp_path.iterdir())


def test_damaged_files_are_named(measured, experiment, tmp_path) -> None:
    calibration = Calibration(experiment, Base(experiment.model), tmp_path)
    calibration.measure()
    path = calibration.files.folder / "layer_001.safetensors"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(UserError, match=r"layer_001\.safetensors: not a readable moments file.*delete"):
        calibration.bases(0.5)


def test_files_of_another_model_or_shape_are_named(measured, experiment, tmp_path) -> None:
    shutil.copytree(measured.files.folder, tmp_path / measured.files.folder.name)
    calibration = Calibration(experiment, Base(experiment.model), tmp_path)
    bases, folder = calibration.bases(0.5), calibration.files.folder
    (path,) = folder.glob("bases_*.safetensors")
    narrow = {space: replace(basis, vectors=basis.vectors[:, 1:]) for space, basis in bases.items()}
    for wrong in (narrow, {"mlp_input": bases["mlp_input"]}):
        save_bases(wrong, path)
        with pytest.raises(UserError, match=rf"{path}: found \(layers, width, ranks\) .*delete it to compute"):
            calibration.bases(0.5)
    calibration.fisher()
    config = folder / "fisher" / "config.json"
    config.write_text(config.read_text().replace('"rms_norm_eps": ', '"rms_norm_eps": 1'))
    with pytest.raises(UserError, match="fisher: its config.json is not that of the base; delete it to measure anew"):
        calibration.fisher()
    header = folder / "moments.json"
    header.write_text(header.read_text().replace('"seed": 0', '"seed": 1'))
    with pytest.raises(UserError, match=f"{folder}: holds the moments of another model or text; delete it"):
        Calibration(experiment, Base(experiment.model), tmp_path).measure()


def test_a_command_that_needs_reference_text(experiment) -> None:
    with pytest.raises(UserError, match="this config names no reference text"):
        Calibration(replace(experiment, reference=None), Base(experiment.model), Path("nowhere"))


def test_energies(measured) -> None:
    nothing, half, most = (measured.bases(energy) for energy in (0.0, 0.5, 0.99))
    for space in nothing:
        assert set(nothing[space].ranks) == {0}
        assert all(0 < a < b <= most[space].width for a, b in zip(half[space].ranks, most[space].ranks, strict=True))
    assert [line.split(":")[0] for line in ranks(half)] == list(half)
    with pytest.raises(UserError, match="energy 1.5"):
        measured.bases(1.5)


def test_automatic_energy_leaves_the_plasticity_asked_for(measured, experiment) -> None:
    work = Workspace(experiment, measured.files.folder.parent.parent)
    gradients = work._domain_gradients
    for floor in (0.05, 0.9):
        settings = GradientProjection((1e-3,), energy="auto", auto_capture=0.99, auto_plasticity=floor)
        bases = measured.automatic_bases(settings, gradients)
        for name, space in (("o", "attention_output"), ("down", "mlp_output")):  # spaces that one linear reads
            basis = bases[space]
            for layer, rank in enumerate(basis.ranks):
                _, free = basis.split(np.asarray(gradients[name]))
                left = np.linalg.norm(free[layer]) / np.linalg.norm(gradients[name][layer])
                assert left >= floor - 1e-4
                assert rank < basis.width
    assert np.isclose(plasticity(np.eye(3), np.eye(3))[1], np.sqrt(2 / 3))


def test_automatic_energy_runs_from_the_config(world, tmp_path, capsys) -> None:
    assert world.run("calibrate", tmp_path / "out", "--methods.projection.energy", "auto") == 0
    assert re.search(r"projection  mlp_output: protected \d+\.\.\d+ of 24", capsys.readouterr().out)


def normal(example: Example) -> str:
    words = [*(message.content for message in example.messages), *([] if example.messages else [example.response])]
    return " ".join(re.findall(r"[a-z0-9]+", " ".join(words).lower()))


@pytest.mark.parametrize("config", ["quickstart", "tiny_base"])
def test_no_prompt_of_a_test_is_trained_on_or_measured(config) -> None:
    experiment = load_experiment(str(REPOSITORY / "configs" / f"{config}.py"))
    seen = load_examples([*experiment.domain, *(experiment.reference.sources if experiment.reference else ())])
    exact, loose = {e.messages for e in seen if e.messages}, {normal(e) for e in seen}
    for axis in experiment.evaluation.axes.values():
        asked = load_examples([axis.source])
        assert asked and not exact & {e.messages for e in asked}
        assert not loose & {normal(e) for e in asked}
        chosen_on = load_examples([axis.validation])
        assert not {normal(e) for e in chosen_on} & {normal(e) for e in asked}
