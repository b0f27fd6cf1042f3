"""Progress is printed once, on standard error, by the leader alone."""

from __future__ import annotations

import logging

import pytest

from experiments.store import log


@pytest.mark.parametrize(("leader", "printed"), [(True, "step 3 of 4\n"), (False, "")])
def test_progress(leader: bool, printed: str, monkeypatch, capsys) -> None:
    monkeypatch.setattr(log, "is_leader", lambda: leader)
    log.show_progress()
    log.show_progress()
    logging.getLogger("jaxft").info("step 3 of 4")
    assert capsys.readouterr() == ("", printed)
