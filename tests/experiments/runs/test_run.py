"""One run: trained once, measured once, and read back ever after."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from experiments.config_loader import load_experiment
from experiments.data.sources import load_examples
from experiments.evaluation.scores import Scores, cached_scores
from experiments.runs import certify
from experiments.runs.certify import delta_norm, kernel_changes
from experiments.runs.output import binding
from experiments.runs.run import Run
from experiments.runs.workspace import Workspace
from experiments.store.record.certificate import Certificate
from jaxft.errors import UserError
from jaxft.io import read_json
from jaxft.llama.checkpoint import load, save, stored_dtypes
from jaxft.llama.drift import Drift as Drifted
from jaxft.methods import GradientProjection


@pytest.fixture(scope="module")
def work(done, world) -> Workspace:
    return Workspace(load_experiment(world.config), done.out)


def run(work: Workspace, name: str, rate: float | None = None, seed: int = 0) -> Run:
    settings = work.experiment.methods[name]
    return Run(work, name, settings, rate or settings.learning_rates[0], seed)


def test_scores_survive_the_disk(tmp_path) -> None:
    scores = {"a": Scores(np.array([0.1, np.nan]), np.array([3.0, 1.0]), ("x", "ÿ"), ("good", "unjudged"))}
    first = cached_scores(tmp_path / "s.json", lambda: scores)
    second = cached_scores(tmp_path / "s.json", lambda: pytest.fail("computed twice"))
    assert first is scores
    np.testing.assert_array_equal(second["a"].values, scores["a"].values)
    assert second["a"].mean == scores["a"].mean == pytest.approx(0.1)
    assert second["a"].replies == ("x", "ÿ") and second["a"].labels == ("good", "unjudged")


@pytest.mark.parametrize(
    "content",
    ["[]", "{", '{"a": {}}', '{"a": {"values": [1], "weights": [1, 2], "replies": [], "labels": []}}', '{"a": null}'],
)
def test_a_file_that_holds_no_scores_is_named(tmp_path, content) -> None:
    path = tmp_path / "s.json"
    path.write_text(content)
    with pytest.raises(UserError, match="s.json: not (scores as jaxft writes them .* delete it|a readable JSON file)"):
        cached_scores(path, lambda: pytest.fail("computed"))


def test_scores_that_another_call_may_complete_are_not_kept(tmp_path) -> None:
    scores = [{"a": Scores(np.array([0.0, value]), np.ones(2), complete=value == 1)} for value in (np.nan, 1.0)]
    calls = iter(scores)
    found = [cached_scores(tmp_path / "s.json", lambda: next(calls))["a"] for _ in range(3)]
    assert [one.judged.sum() for one in found] == [1, 2, 2]


def test_what_decides_the_weights_decides_the_identity(work) -> None:
    one = run(work, "projection")
    assert one.identity == run(work, "projection").identity
    others = [run(work, "projection", 0.5), run(work, "projection", seed=1), run(work, "lora")]
    stronger = replace(one.method, kfac_strength=9.0)
    others.append(replace(one, method=stronger))
    steps = replace(work.experiment, training=replace(work.experiment.training, steps=9))
    others.append(replace(one, work=Workspace(steps, work.out)))
    template = replace(work.experiment, model=replace(work.experiment.model, template="plain"))
    others.append(replace(one, work=Workspace(template, work.out)))
    assert all(one.identity != other.identity for other in others)
    tracked = replace(work.experiment, training=replace(work.experiment.training, tracker="wandb"))
    assert replace(one, work=Workspace(tracked, work.out)).identity == one.identity  # a tracker changes no weight
    assert binding(tracked) == binding(work.experiment)
    assert one.folder == work.out / "projection" / "lr_0.001" / "seed_0"


@pytest.mark.parametrize("name", ["full", "lora", "projection"])
def test_the_export_is_the_trained_model(work, name) -> None:
    one = run(work, name, 0.01 if name == "lora" else None)
    exported = load(one.folder / "model")
    merged = one.method.merge(work.base.model, one.trained)
    np.testing.assert_array_equal(exported.layers.q[...], merged.layers.q[...])
    np.testing.assert_array_equal(exported.embed[...], merged.embed[...])
    assert delta_norm(work.base.model, exported) == read_json(one.folder / "result.json")["delta_norm"] > 0


def test_an_export_has_the_dtype_of_the_base_unless_asked_and_is_measured_anew(world, work, tmp_path) -> None:
    base, half = world.folder / "model", tmp_path / "half"
    save(load(base), half, like=base, dtypes=dict.fromkeys(stored_dtypes(base), "bfloat16"))
    model = replace(work.experiment.model, folder=str(half))
    for asked in ("base", "float32", "float16"):
        experiment = replace(work.experiment, model=replace(model, export_dtype=asked))
        one = run(Workspace(experiment, tmp_path / "out"), "projection")  # trained once
        expected = "bfloat16" if asked == "base" else asked
        assert set(stored_dtypes(one.export(tmp_path / asked)).values()) == {expected}
        if asked == "base":
            certificate = one.result().certificate
            assert certificate is not None and certificate.exported is not None
            assert (certificate.own_leak or 0) < 1e-5 < 1e-3 < (certificate.exported.own_leak or 0)  # of the rounding
            assert set(stored_dtypes(one.folder / "model").values()) == {"bfloat16"}
            assert one.work.base.description["dtype"] == "bfloat16"


def certificate_of(work: Workspace, name: str, rate: float | None) -> Certificate:
    found = run(work, name, rate).result().certificate
    assert found is not None and found.exported is not None and found.movement is not None
    return found


def test_certificates_of_all_methods(work) -> None:
    full, lora, ours = (
        certificate_of(work, name, rate) for name, rate in (("full", None), ("lora", 0.01), ("projection", None))
    )
    for certificate in (full, lora, ours):
        for part in (certificate, certificate.exported):
            assert part is not None and part.spaces is not None
            assert len(part.spaces) == 8  # 4 input spaces of 2 layers
            assert part.logit_kl >= 0 and part.relative_delta_norm > 0
            for space in part.spaces:
                assert 0 <= space.captured_heldout <= 1 + 1e-6

    def leaks(certificate: Certificate) -> list[float]:
        return [leak for space in certificate.spaces or () for leak in space.leak.values()]

    assert len(leaks(ours)) == len(leaks(full)) == 14
    assert max(leaks(ours)) < 1e-5 < 0.05 < min(max(leaks(full)), max(leaks(lora)))
    assert ours.unprojected == lora.unprojected == ()
    assert {"embed", "norm", "layers.attention_norm"} <= set(full.unprojected)


def test_the_interval_of_the_kl_is_over_texts(work, monkeypatch) -> None:
    found = certificate_of(work, "full", None)
    for part in (found, found.domain, found.exported):
        assert part is not None and part.logit_kl_interval is not None
        low, high = part.logit_kl_interval
        assert low is not None and high is not None and low < part.logit_kl < high
    texts = Drifted(np.ones(2), 1.5, 2.0, 0.1, np.array([1.0, 8.0, 6.0]), np.array([2.0, 4.0, 4.0]))
    monkeypatch.setattr(certify, "drift", lambda *_: texts)
    alike = certify.reference_drift(work, work.base.model)
    assert alike.logit_kl == 1.5 and alike.logit_kl_interval is not None
    assert alike.logit_kl_interval[0] == 0.5 and alike.logit_kl_interval[1] == 2.0  # of one text alone, three times


def test_what_moved_is_said_by_linear_and_layer(work) -> None:
    for name, rate in (("full", None), ("lora", 0.01), ("projection", None)):
        certificate = certificate_of(work, name, rate)
        movement = certificate.movement
        assert movement is not None and certificate.exported is not None
        assert list(movement.linears) == ["q", "k", "v", "o", "gate", "up", "down"]
        norms = np.array([linear.norm for linear in movement.linears.values()])
        assert norms.shape == (7, 2)
        assert np.linalg.norm(norms) == pytest.approx(certificate.delta_norm, rel=1e-3)
        for linear in movement.linears.values():
            ranks, shares = np.array(linear.effective_rank), np.array(linear.shares)
            limit = 2 if name == "lora" else linear.full_rank  # 2 is LoRA's rank
            assert (ranks >= 0.999).all() and (ranks <= 1.001 * limit).all()
            assert shares.shape == (2, len(movement.energies)) and (np.diff(shares) >= 0).all()
            assert 0 < min(linear.changed) <= max(linear.changed) <= 1
        for part in (certificate, certificate.domain, certificate.exported, certificate.exported.domain):
            assert part is not None and part.hidden_drift is not None
            assert len(part.hidden_drift) == 2 and min(part.hidden_drift) > 0
        # The projection protects half of the energy, and so nothing of its change lies there.
        half = movement.energies.index(0.5)
        assert movement.shares[half] < 1e-9 if name == "projection" else movement.shares[half] > 0.01


def test_drift_is_measured_on_examples_from_all_over_the_domain(work, monkeypatch) -> None:
    monkeypatch.setattr("experiments.runs.workspace.DRIFT_EXAMPLES", 5)  # of 12: every third
    found = Workspace(work.experiment, work.out).domain_batches
    wanted = work.calibration.batches(load_examples(work.experiment.domain)[::3])
    for mine, theirs in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(mine["tokens"], theirs["tokens"])


def test_only_what_changed_is_listed(work) -> None:
    base = work.base.model
    assert kernel_changes(base, base) == {}
    assert delta_norm(base, base) == 0


def test_methods_share_calibration_and_differ_in_bases(work) -> None:
    protects_nothing = GradientProjection((1e-3,), energy=0.0)
    assert set(work.bases(protects_nothing)["mlp_input"].ranks) == {0}
    reference = work.certificate_bases(work.experiment.methods["lora"])
    assert work.certificate_bases(protects_nothing)["mlp_input"].ranks == reference["mlp_input"].ranks
    assert (
        work.certificate_bases(work.experiment.methods["projection"])["mlp_input"].ranks != reference["mlp_input"].ranks
    )


def test_forgotten_checkpoints_leave_the_measurements(work) -> None:
    dropped, chosen = run(work, "lora", 0.001), run(work, "lora", 0.01)
    assert not (dropped.folder / "checkpoints").exists() and (chosen.folder / "checkpoints").is_dir()
    for name in ("test.json", "validation.json", "delta_norm.json"):
        assert (dropped.folder / name).is_file()
    assert not (dropped.folder / "result.json").exists() and (chosen.folder / "result.json").is_file()
