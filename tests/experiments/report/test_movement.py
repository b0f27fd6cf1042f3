"""What moved, as figure, table and section of the page; records without it are drawn as before."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from experiments.report import movement
from experiments.report.style import encode, looks
from experiments.store.record.certificate import Certificate
from experiments.store.record.codec import from_json
from jaxft.subspace.movement import ENERGIES
from tests.experiments.report import builder
from tests.experiments.report.builder import typed
from tests.experiments.report.chartless import drawn

LAYERS = 3
DRIFT = {"logit_kl": 0.5, "logit_max_difference": 7.0}


def moved(size: float, linears: tuple[str, ...] = builder.LINEARS) -> dict[str, Any]:
    """The movement that `certify_model` adds, as JSON: |dW|/|W| is size, 2 size and 3 size in the three layers."""
    shares = [energy**2 for energy in ENERGIES]
    linear = {
        "full_rank": 64,
        "norm": [size, 2 * size, 3 * size],
        "relative": [size, 2 * size, 3 * size],
        "effective_rank": [4.0, 8.5, 16.0] if size else [0.0] * LAYERS,
        "changed": [0.25, 0.5, 1.0] if size else [0.0] * LAYERS,
        "shares": [shares] * LAYERS,
    }
    return {
        **DRIFT,
        "hidden_drift": [size, size, 2 * size],
        "domain": {**DRIFT, "hidden_drift": [0.125, 0.25, 0.5]},
        "movement": {
            "changed_above": 1e-3,
            "energies": list(ENERGIES),
            "shares": shares,
            "isotropic": [energy / 4 for energy in ENERGIES],
            "linears": {name: copy.deepcopy(linear) for name in linears},
        },
    }


def certificate(size: float, **changed: Any) -> Certificate:
    found = {"relative_delta_norm": size, "unprojected": [], **moved(size), **changed}
    return from_json(Certificate, found, "test")


@pytest.fixture
def moving(record) -> dict[str, Any]:
    """A record in which two of four methods say what moved."""
    record["methods"]["lora"]["certificate"] |= moved(0.01, ("q", "down"))
    record["methods"]["projection"]["certificate"] |= moved(0.1)
    return record


def test_older_records_and_runs_without_reference_do_not_say(record, uncertified_record) -> None:
    for one in (record, uncertified_record):
        assert movement.moved(typed(one)) == {} and movement.sections({}) == []
        assert "What moved" in drawn(one) and "The record does not say." in drawn(one)


def test_a_table_has_a_row_for_every_linear_and_the_whole(moving) -> None:
    [(lora, facts, table), (projection, _, _)] = movement.sections(movement.moved(typed(moving)))
    assert (lora, projection) == ("lora", "projection")
    assert table.rows[0] == (
        *("q", "0.01 / 0.02 / 0.03", "4 / 8.5 / 16", "64", "0.25 / 0.5 / 1"),
        *("0.25", "0.64", "0.81", "0.98"),
    )
    assert [row[0] for row in table.rows] == ["q", "down", "all", "if without preference"]
    assert table.rows[-1][-4:] == ("0.12", "0.2", "0.23", "0.25")
    assert facts[0] == ("weights changed", "those with |dW| above 0.001 of their linear's rms")
    assert facts[2] == (
        "domain text",
        "|h - h0|/|h0| 0.125 behind the first block, 0.5 behind the last; KL 0.5 nat/token, largest logit change 7",
    )


def test_text_for_a_terminal_fits_it() -> None:
    lines = movement.text(certificate(0.1)).splitlines()
    assert max(map(len, lines)) <= 140
    assert [line.split()[0] for line in lines[1:8]] == list(builder.LINEARS)


def test_maps_and_curves_show_the_records_numbers(moving) -> None:
    figure = movement.draw(movement.moved(typed(moving)), list(moving["methods"]))
    lora, projection = (figure.subfigs[0].axes[place] for place in (0, 3))
    assert (lora.get_title(loc="left"), projection.get_title(loc="left")) == ("lora", "projection")
    assert [label.get_text() for label in lora.get_yticklabels()] == ["q", "down"]
    np.testing.assert_allclose(np.asarray(lora.images[0].get_array()), [[0.01, 0.02, 0.03]] * 2)
    inside, reference, domain = figure.subfigs[1].axes
    colour = looks(moving["methods"])["lora"][0]
    lines = {panel: [line for line in panel.lines if line.get_color() == colour] for panel in (inside, reference)}
    assert np.asarray(lines[inside][0].get_ydata()).tolist() == [energy**2 for energy in ENERGIES]
    assert np.asarray(lines[inside][1].get_ydata()).tolist() == [energy / 4 for energy in ENERGIES]
    assert np.asarray(lines[reference][0].get_ydata()).tolist() == [0.01, 0.01, 0.02]
    assert domain.get_yscale() == "log"


@pytest.mark.parametrize("size", [0.0, 1e-7, 2.0])
def test_any_size_is_drawn(size: float) -> None:
    assert encode(movement.draw({"a $name": certificate(size)}, ["a $name"]), "svg").startswith(b"<?xml")


def test_many_methods_and_layers_fit() -> None:
    found = moved(0.1)
    for linear in found["movement"]["linears"].values():
        linear.update(
            {key: linear[key][:1] * 32 for key in ("norm", "relative", "effective_rank", "changed", "shares")}
        )
    drift = {**DRIFT, "hidden_drift": [0.1] * 32}
    long = certificate(0.1, movement=found["movement"], domain=drift, **drift)
    names = [f"method_{index}_with_a_long_name" for index in range(6)]
    figure = movement.draw(dict.fromkeys(names, long), names)
    figure.draw_without_rendering()
    width, height = figure.get_size_inches()
    assert width < 20 and height < 25


def test_the_page_has_the_section(moving) -> None:
    text = drawn(moving)
    assert text.count("data:image/svg+xml;base64,") == 1 and "The record does not say." not in text
    assert "0.01 / 0.02 / 0.03" in text and "if without preference" in text


def test_the_figure_is_written_into_the_runs_folder(tmp_path) -> None:
    path = movement.write("lora", certificate(0.1), tmp_path)
    expected = encode(movement.draw({"lora": certificate(0.1)}, ["lora"]), "svg")
    assert path == tmp_path / "movement.svg" and path.read_bytes() == expected
