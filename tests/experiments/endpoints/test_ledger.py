"""What was paid for is known after a kill at any byte."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.endpoints.ledger import Ledger
from jaxft.errors import UserError

ANSWER = {"text": "yes\nno é", "finish": "stop", "tokens_in": 1, "tokens_out": 1}


def written(path: Path) -> Ledger:
    """One answer for 1 dollar, one request refused, one lost that may have cost 4."""
    ledger = Ledger(path)
    with ledger.locked():
        first, second, _ = (ledger.send(name, 4.0) for name in ("a", "b", "c"))
        ledger.answer(first, 1.0, ANSWER)
        ledger.free(second)
    return ledger


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    written(tmp_path / "new" / "ledger")
    ledger = Ledger(tmp_path / "new" / "ledger")
    assert (ledger.answers, ledger.requests, ledger.paid, ledger.possible) == ({"a": ANSWER}, 3, 1.0, 4.0)


def test_the_same_answer_counts_once(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    with ledger.locked():
        sending = ledger.send("a", 4.0)
        for _ in range(2):
            ledger.answer(sending, 1.0, ANSWER)
    assert ledger.paid == Ledger(ledger.path).paid == 1.0
    assert len(ledger.path.read_text().splitlines()) == 2


@settings(max_examples=40, deadline=None)
@given(
    outcomes=st.lists(st.sampled_from(["answered", "free", "lost"]), min_size=1, max_size=6),
    cut=st.integers(0, 2000),
)
def test_a_cut_at_any_byte_never_hides_money(outcomes: list[str], cut: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger"
        ledger = Ledger(path)
        with ledger.locked():
            for n, outcome in enumerate(outcomes):
                sending = ledger.send(str(n), 4.0)
                if outcome == "answered":
                    ledger.answer(sending, 1.0, ANSWER)
                elif outcome == "free":
                    ledger.free(sending)
        content = path.read_bytes()[:cut]
        path.write_bytes(content)
        whole = content[: content.rfind(b"\n") + 1]
        sent, answered, free = (whole.count(word) for word in (b'{"sent"', b'{"answered"', b'{"free"'))
        again = Ledger(path)
        with again.locked():
            assert path.read_bytes() == whole
            assert again.paid + again.possible == answered + 4.0 * (sent - answered - free)
            again.answer(again.send("more", 4.0), 1.0, ANSWER)
        assert Ledger(path).answers.keys() == {*again.answers}
        assert len(again.answers) == answered + 1


def test_two_may_not_write_at_once(tmp_path: Path) -> None:
    first, second = Ledger(tmp_path / "ledger"), Ledger(tmp_path / "ledger")
    with first.locked(), pytest.raises(UserError, match="ledger: another process is at work here"):
        with second.locked():
            pass
    with second.locked():
        second.send("a", 1.0)
    with first.locked():  # what the other one wrote is known
        assert first.possible == 1.0


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "ledger").path
    lines = path.read_bytes().splitlines(keepends=True)
    for damage in (b'{"sent": 1, "requ\n', b"[]\n", b'{"sent": 1}\n'):
        path.write_bytes(b"".join([lines[0], damage, *lines[1:]]))
        with pytest.raises(UserError, match="ledger, line 2: found .*expected a JSON object as jaxft writes them"):
            Ledger(path)


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = written(tmp_path / "ledger")
    before, write = ledger.path.read_bytes(), os.write
    with ledger.locked():
        monkeypatch.setattr(os, "write", lambda file, content: write(file, content[:5]))
        with pytest.raises(UserError, match="ledger: cannot be written .No space left on device"):
            ledger.send("d", 1.0)
        monkeypatch.undo()
    assert ledger.path.read_bytes() == before


def test_a_folder_that_cannot_be_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UserError, match="cannot be written"), Ledger(tmp_path / "file" / "ledger").locked():
        pass
