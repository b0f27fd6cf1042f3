"""The harness's requests on a jaxft model: equal to the harness's own backend `hf`, and clear where they are refused.

The comparison needs torch; everything here needs lm_eval (the extras `parity` and `lmeval`).
"""

from __future__ import annotations

import gzip
import os
import sys
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jinja2 import Template

from jaxft.data.tokenizer import load_tokenizer
from jaxft.errors import UserError
from jaxft.llama.locate import SHIPPED_BASE
from tests.experiments.world import CONTEXT, World

pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed (extra lmeval)")

from lm_eval.api.instance import Instance  # noqa: E402
from lm_eval.api.registry import get_model  # noqa: E402

from experiments.evaluation import lmeval  # noqa: E402
from experiments.evaluation.lmeval import JaxftLM, main  # noqa: E402

TOLERANCE = 1e-3  # largest absolute difference of a summed log p, nat
PAIRS = [
    ("Once upon a time", " there was a little girl."),
    ("Once upon a time ", "there was a little girl."),  # the space counts to the continuation
    ("Once upon a time", ", there was a little girl named Lily."),
    ("The guest asks:", "\nWhich room is free?"),
    ("", "The end."),
    ("<s>What is the capital of France?", " Paris"),
    ("A room. " * 160, "For two nights."),  # longer than the context
    ("Lily said", " é"),
]
TEXTS = ["One day, she saw a big, red ball.", "<s>The cat sat.", "A", "By the old trees the dog sat. " * 60]
PROMPTS = [
    ("Once upon a time", {"until": ["\n\n"], "max_gen_toks": 24}),
    ("Once upon a time", {"until": [".", "l"], "max_gen_toks": 24, "do_sample": False}),
    ("The capital of France is", {"until": "zzz", "max_gen_toks": 24, "temperature": 0.0}),
    ("Tom and Lily. " * 160, {"until": [], "max_gen_toks": 24}),  # leaves no room
]


def requests(kind: str, arguments: list[tuple[Any, ...]]) -> list[Instance]:
    return [Instance(kind, {}, one, index) for index, one in enumerate(arguments)]


def rolling(texts: list[str]) -> list[Instance]:
    return requests("loglikelihood_rolling", [(text,) for text in texts])


def hf(folder: Path, **settings: Any) -> Any:
    """The harness's own backend on the folder, or skip."""
    pytest.importorskip("torch", reason="parity with the harness's backend hf needs torch (extra parity)")
    pytest.importorskip("accelerate", reason="the harness's backend hf needs accelerate")
    from lm_eval.models.huggingface import HFLM

    return HFLM(pretrained=str(folder), device="cpu", dtype="float32", batch_size=1, **settings)


def assert_same(folder: Path, reference: Any, pairs: list[tuple[str, str]], texts: list[str]) -> None:
    lm = JaxftLM(str(folder), batch_size=4)
    found = lm.loglikelihood(requests("loglikelihood", pairs))
    expected = reference.loglikelihood(requests("loglikelihood", pairs), disable_tqdm=True)
    np.testing.assert_allclose([one[0] for one in found], [one[0] for one in expected], rtol=0, atol=TOLERANCE)
    assert [one[1] for one in found] == [one[1] for one in expected]
    found = lm.loglikelihood_rolling(rolling(texts))
    expected = reference.loglikelihood_rolling(rolling(texts), disable_tqdm=True)
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)


def greedy_pair(reference: Any) -> tuple[str, str]:
    """What the model says by itself, whose flag is therefore true."""
    [reply] = reference.generate_until(
        requests("generate_until", [("Once upon a time", {"until": [], "max_gen_toks": 8})]), disable_tqdm=True
    )
    return "Once upon a time", reply


def stories() -> Path:
    data = os.environ.get("JAXFT_TEST_DATA")
    if not data:
        pytest.skip("JAXFT_TEST_DATA is unset: no stories260K to compare on")
    return Path(data) / "stories260K_hf"


@pytest.mark.parametrize("name", ["shipped", "stories260K"])
def test_equal_to_the_backend_hf(name: str) -> None:
    folder, settings = (SHIPPED_BASE, {"add_bos_token": True}) if name == "shipped" else (stories(), {})
    reference = hf(folder, **settings)
    assert_same(folder, reference, [*PAIRS, greedy_pair(reference)], TEXTS)
    wanted = reference.generate_until(requests("generate_until", PROMPTS), disable_tqdm=True)
    assert JaxftLM(str(folder), batch_size=4).generate_until(requests("generate_until", PROMPTS)) == wanted


def test_equal_on_texts_that_begin_with_a_space() -> None:
    """Under the tokenizer as tokenizer.json defines it, which `hf` alone does not read for Llama."""
    folder = stories()
    reference = hf(folder, tokenizer=load_tokenizer(folder))
    assert_same(folder, reference, [("  Once", " upon"), ("", " The end.")], [" One day."])


@pytest.fixture(scope="module")
def lm(world: World) -> JaxftLM:
    return JaxftLM(str(world.folder / "model"), batch_size=4)


def test_known_to_the_harness_by_name() -> None:
    assert get_model("jaxft") is JaxftLM


def test_every_text_begins_with_one_bos(lm: JaxftLM) -> None:
    bos, plain = lm.prefix_token_id, lm.tokenizer.encode("On Monday", add_special_tokens=False)
    assert lm.tok_encode("On Monday") == lm.tok_encode("<s>On Monday") == [bos, *plain]
    assert lm.tok_encode("On Monday", add_special_tokens=False) == plain
    chat = lm.apply_chat_template([{"role": "user", "content": "On Monday"}])
    assert lm.tok_encode(chat).count(bos) == 1


def test_conversations_that_have_no_template(lm: JaxftLM, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lm.tokenizer, "chat_template", "{{ raise_exception('no system messages') }}")
    with pytest.raises(UserError, match="--apply_chat_template: .* refuses: no system messages"):
        lm.apply_chat_template([{"role": "system", "content": "Be kind."}])
    monkeypatch.setattr(lm.tokenizer, "chat_template", None)
    with pytest.raises(UserError, match="--apply_chat_template: .* refuses: .*chat_template"):
        lm.apply_chat_template([{"role": "user", "content": "On Monday"}])


def test_a_rolled_text_is_the_sum_of_its_tokens(lm: JaxftLM) -> None:
    """Each token after those before it, of BOS and BOS and the text; where it is long, after one context of them."""
    text = "The cat sat by the old trees. " * 40
    tokens = lm.tok_encode(text)
    assert len(tokens) > 2 * CONTEXT
    read = [lm.prefix_token_id, *tokens]
    ends = [0, CONTEXT, 2 * CONTEXT, len(tokens)]
    windows = [(("", ""), read[max(0, end - CONTEXT) : begin + 1], tokens[begin:end]) for begin, end in pairwise(ends)]
    short = lm.tok_encode("A room.")
    steps = [(("", ""), [lm.prefix_token_id, *short[:i]], short[i : i + 1]) for i in range(len(short))]
    expected = [sum(log_p for log_p, _ in lm._loglikelihood_tokens(parts)) for parts in (windows, steps)]
    assert lm.loglikelihood_rolling(rolling([text, "A room."])) == pytest.approx(expected, rel=1e-5)


def test_replies_end_before_their_stop_strings(lm: JaxftLM) -> None:
    """Whatever the order and lengths of the requests."""
    free = {"until": [], "max_gen_toks": 6}
    [text] = lm.generate_until(requests("generate_until", [("A room", free)]))
    stop = text[len(text) // 2 :][:3]
    arguments = [
        ("A room", {**free, "until": [stop, "never"]}),
        ("A room", {**free, "max_gen_toks": 3, "top_p": 0.9}),
        ("On Monday", free),
        ("A room", free),
    ]
    found = lm.generate_until(requests("generate_until", arguments))
    assert found[0] == text.split(stop)[0] != text
    assert text.startswith(found[1]) and found[1] != text
    assert found[3] == text
    assert lm.generate_until(requests("generate_until", arguments[::-1])) == found[::-1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.7}, "found temperature=0.7; jaxft's adapter decodes greedily"),
        ({"do_sample": True, "temperature": 1.0}, "found do_sample=True"),
        ({"num_beams": 4}, "found num_beams=4"),
        ({"repetition_penalty": 1.2}, "found repetition_penalty=1.2"),
        ({"max_gen_toks": CONTEXT}, "max_gen_toks: found 160, expected 1 to 159, less than the model's context"),
        ({"max_gen_toks": 0}, "max_gen_toks: found 0"),
    ],
)
def test_requests_that_are_refused(lm: JaxftLM, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        lm.generate_until(requests("generate_until", [("A room", {"until": ["."], "max_gen_toks": 8, **settings})]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": "auto"}, "--batch_size: found 'auto', expected a number of rows"),
        ({"batch_size": 0}, "--batch_size: found 0"),
        ({"param_dtype": "float8"}, "--model_args.param_dtype: found 'float8', expected one of float32"),
        ({"sharding": "fsdpp"}, "--model_args.sharding.preset: found 'fsdpp', expected one of single"),
        ({"sharding": "data", "batch_size": 3}, "--batch_size 3 is not a multiple of 8"),
        ({"sharding": "tensor"}, "num_heads 2 is not a multiple of 8"),
        ({"dtype": "float32"}, "--model_args: unknown 'dtype'; known: pretrained, param_dtype"),
        ({"pretrained": "nowhere"}, "nowhere"),
    ],
)
def test_arguments_that_are_refused(world: World, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        JaxftLM(**{"pretrained": str(world.folder / "model"), **arguments})


@pytest.mark.parametrize(("name", "own"), [("arc_easy", "arc/arc_easy.yaml"), ("piqa", "piqa/piqa.yaml")])
def test_tasks_over_files_ask_as_the_harness_own(name: str, own: str, tmp_path: Path) -> None:
    """Prompt, choices and metrics of the tasks in `experiments/evaluation/harness`."""
    data = os.environ.get("JAXFT_TEST_DATA")
    if not data:
        pytest.skip("JAXFT_TEST_DATA is unset: no questions to ask")
    import lm_eval
    import yaml
    from lm_eval.tasks import TaskManager

    harness = Path(lmeval.__file__).parent / "harness"
    ours = yaml.safe_load((harness / f"{name}.yaml").read_text())
    theirs = yaml.safe_load((Path(lm_eval.__file__).parent / "tasks" / own).read_text())
    assert ours["metric_list"] == theirs["metric_list"] and ours["output_type"] == theirs["output_type"]
    with gzip.open(Path(data) / f"{name}.jsonl.gz", "rt") as lines:
        (tmp_path / "few.jsonl").write_text("".join(islice(lines, 5)))
    ours["dataset_kwargs"] = {"data_files": {"test": str(tmp_path / "few.jsonl")}, "cache_dir": str(tmp_path / "cache")}
    [task] = TaskManager(include_defaults=False).load(ours)["tasks"].values()
    asked = "question" if "question" in theirs["doc_to_text"] else "goal"
    for doc in task.test_docs():
        question = doc["query"].removeprefix("Question: ").strip()
        assert task.doc_to_text(doc) == Template(theirs["doc_to_text"]).render({asked: question})
        assert task.doc_to_choice(doc) == doc["choices"] and task.doc_to_target(doc) == doc["gold"]


def test_the_command_line_is_the_harness_own(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    seen = []
    monkeypatch.setattr(lmeval, "cli_evaluate", lambda: seen.append(sys.argv[1:]))
    assert main(["--tasks", "arc_easy"]) == 0
    assert seen == [["run", "--model", "jaxft", "--batch_size", "16", "--tasks", "arc_easy"]]

    def refuse() -> None:
        raise UserError("no such folder")

    monkeypatch.setattr(lmeval, "cli_evaluate", refuse)
    assert main([]) == 1
    assert capsys.readouterr().err == "jaxft: no such folder\n"
