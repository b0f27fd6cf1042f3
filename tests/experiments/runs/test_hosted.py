"""Fine-tuning by providers in the same comparison: one table, one bill, nothing paid for twice."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from experiments.data.sources import load
from tests.experiments.endpoints.server import KEY, Provider
from tests.experiments.runs.hosted_world import OPENAI_JUDGE, REFUSAL, write
from tests.experiments.world import World, one_error, snapshot

LAB = '{{"lab": hosted("{}", 0.5)}}'


def record_of(out: Path) -> dict[str, Any]:
    return json.loads((out / "record.json").read_text())


def hold_no_key(out: Path, said: str) -> None:
    assert KEY not in said
    assert [path for path in out.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()] == []


@pytest.mark.parametrize(("name", "judge"), [("openai", "Judge()"), ("together", OPENAI_JUDGE)])
def test_a_hosted_method_from_end_to_end(
    name: str, judge: str, world: World, server: Provider, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here, out = write(world, tmp_path / "here", server, LAB.format(name), judge), tmp_path / "out"
    assert here.run("compare", out) == 0
    said = capsys.readouterr()
    record = record_of(out)
    lab = record["methods"]["lab"]
    assert (lab["kind"], lab["certificate"], lab["delta_norm"], lab["trained_parameters"]) == (
        "hosted",
        None,
        None,
        None,
    )
    assert set(lab["timings"].values()) == {None}
    assert lab["model"] == next(iter(server.jobs.models)) and len(server.jobs.created) == 1
    proficiency, safety = lab["axes"]["proficiency"], lab["axes"]["safety"]
    assert (proficiency["before"], proficiency["after"], proficiency["examples"]) == (0.0, 1.0, 8)
    hostile = sum(one.key["kind"] == "hostile" for one in load("safety", "test", 7))
    assert 0 < hostile < 7
    assert (safety["before"], safety["after"]) == (pytest.approx(hostile / 7), 0.0)  # disputes all, then refuses all
    assert {one["after_label"] for one in lab["examples"]["safety"]} == {"refuses"}
    asked = 2 * (8 + 7)
    usage = record["judge"]["usage"]
    if judge == OPENAI_JUDGE:
        assert record["judge"]["name"].startswith("openai 1 judge at http://127.0.0.1")
        assert usage["answers"] == 14
        assert lab["cost"] + usage["cost"] == pytest.approx(server.billed)
        asked += 14
    else:
        assert record["judge"]["name"].startswith("rules ") and usage == {}
        assert lab["cost"] == pytest.approx(server.billed)
    assert len(server.asked) == asked
    assert "lab" in said.out and "hosted" in record["config"]["name"]
    page = (out / "report.html").read_text()
    assert REFUSAL in page and "there is nothing to certify against" in page
    assert not (out / "base_test.json").exists()  # nothing is trained here, so nothing here is measured
    hold_no_key(out, said.out + said.err)

    before, billed = snapshot(out), server.billed
    assert here.run("compare", out, "--methods.lab.max_cost", "20") == 0  # a cap may be raised where a run stands
    assert server.billed == billed and len(server.jobs.created) == 1
    drawn_anew = {"record.json", "timings.json", "report.html", "table.txt", "table.md"}
    after = snapshot(out)
    assert {path for path in after if before.get(path) != after[path] and not path.endswith(".png")} <= drawn_anew
    again = record_of(out)
    assert (again["methods"], again["judge"]) == (record["methods"], record["judge"])


def test_a_dry_run_sends_nothing_and_names_files_counts_and_costs(
    world: World,
    server: Provider,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("SCRIPTED_KEY")
    methods = '{"full": Full((1e-3,)), "lab": hosted("openai", 0.5, 1.0)}'
    here = write(world, tmp_path / "here", server, methods, OPENAI_JUDGE, "Watch(every=3, examples=1)")
    out = tmp_path / "out"
    words = ("--seeds", "0,1", "--judge.max_cost", "90.0")
    assert here.run("compare", out, "--dry-run", *words) == 0
    lab, judge = capsys.readouterr().out.splitlines()
    file = out / "dry_run" / "lab" / "training.jsonl"
    assert lab.startswith(f"lab: 3 jobs of 12 examples in {file}, about ")
    # Three runs and the base on 15 test examples, two runs of the sweep on 6 validation examples.
    assert "; 72 replies for at most " in lab
    # The base that is trained here too, and its two seeds, on 7 test examples; on one more they are evaluated while
    # training, after steps 3 and 4, and their base once.
    assert f"at most {4 * 7 + 2 * 2 + 3 * 7 + 2 * 2 + 1} verdicts for " in judge
    assert len(file.read_text().splitlines()) == 12
    assert server.asked == [] and not server.jobs.files and not server.jobs.created
    assert here.run("compare", out, "--dry-run", "--name", "other") == 0  # a dry run binds the folder to nothing


def test_a_run_costs_no_more_than_was_foretold(
    world: World, server: Provider, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sweep at a server that charges as much as any could, beside a model that is trained here."""
    server.dearest = True
    methods = '{"full": Full((1e-3,)), "lab": hosted("openai", 1.0, 0.5)}'
    here, out = write(world, tmp_path / "here", server, methods, OPENAI_JUDGE), tmp_path / "out"
    assert here.run("compare", out, "--dry-run") == 0
    foretold = capsys.readouterr().out
    assert here.run("compare", out, "--judge.max_cost", "200", "--methods.lab.max_cost", "50") == 0
    record = record_of(out)
    counts = [int(number) for number in re.findall(r"([\d,]+) (?:replies|verdicts)", foretold)]
    costs = [float(number) for number in re.findall(r"(?:for|most) ([\d.]+) US", foretold)]
    lab, judge = record["methods"]["lab"], record["judge"]["usage"]
    assert counts == [3 * 15 + 2 * 6, 3 * 7 + 2 * 2 + 2 * 7]
    replies = [body for body in server.bodies if body["model"] != "judge"]
    assert len(replies) == counts[0] and lab["cost"] == pytest.approx(costs[0], abs=0.01)
    assert judge["answers"] <= counts[1] and judge["cost"] <= costs[1]
    assert lab["cost"] + judge["cost"] == pytest.approx(server.billed)
    assert [point["chosen"] for point in lab["rates"]] == [True, False] and len(server.jobs.created) == 2
    assert record["methods"]["full"]["certificate"] is None and record["methods"]["full"]["delta_norm"] > 0
    assert (out / "base_test.json").exists() and "full" in (out / "table.txt").read_text()


MISTAKES = {
    "training": (
        ["--methods.lab.max_cost", "0.001"],
        r"methods.lab.max_cost: 0.001 US dollars, and a training could cost 0.00\d\d+; raise it, or train fewer",
    ),
    "replies": (
        ["--methods.lab.max_cost", "2"],
        r"methods.lab.max_cost: 2 US dollars, and its 30 replies could cost \d.\d+; raise it, or limit",
    ),
    "verdicts": (
        ["--judge.max_cost", "1"],
        r"judge.max_cost: 1 US dollars, and 14 verdicts could cost \d+.\d+; raise it, or limit",
    ),
    "key": (["--methods.lab.endpoint.key_variable", "NO_KEY"], "environment variable NO_KEY is not set"),
    "key of the judge": (["--judge.endpoint.key_variable", "NO_KEY"], "environment variable NO_KEY is not set"),
    "likelihood": (
        ["--evaluation.axes.proficiency.task", "likelihood"],
        "methods.lab: a provider's model gives replies alone, and evaluation.axes.proficiency.task is 'likelihood'",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_error_before_anything_is_sent(
    name: str, world: World, server: Provider, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words, message = MISTAKES[name]
    here = write(world, tmp_path / "here", server, LAB.format("openai"), OPENAI_JUDGE)
    assert here.run("compare", tmp_path / "out", *words) == 1
    assert re.search(message, one_error(capsys))
    assert server.asked == [] and not server.jobs.files


def test_what_a_server_left_open_is_asked_for_by_the_next_call(
    world: World, server: Provider, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A reply that never came is left out of the first record; the second has it."""
    here, out = write(world, tmp_path / "here", server, LAB.format("openai"), OPENAI_JUDGE), tmp_path / "out"
    lost = load("safety", "test", 7)[0].messages[-1].content
    server.poison.add(lost)
    assert here.run("compare", out) == 0
    first = record_of(out)["methods"]["lab"]["axes"]
    assert (first["safety"]["unjudged"], first["proficiency"]["unjudged"]) == (1, 0)
    assert first["safety"]["examples"] == 6
    paid = dict(server.charged)
    server.poison.clear()
    assert here.run("compare", out) == 0
    second = record_of(out)["methods"]["lab"]["axes"]
    assert {asked for asked, times in server.charged.items() if times != paid.get(asked)} >= {lost}
    assert all(server.charged[asked] == times for asked, times in paid.items())  # nothing twice
    assert second["safety"]["unjudged"] == 0 and second["safety"]["examples"] == 7
