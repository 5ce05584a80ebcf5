"""The promises that the page shows are those of the command."""

from __future__ import annotations

import pytest

from edge.panel.teach.promises import Promises, PromiseTable
from inspection.errors import LinewardenError
from linewarden.promises import taught


def test_the_command_is_asked_once_for_many() -> None:
    table = PromiseTable()
    first, eight = table.of(1), table.of(8)
    assert first.taught is None
    of_teach = taught(8, 0.01)
    assert of_teach is not None
    assert eight.taught is not None
    assert (eight.taught.bound, eight.taught.judging) == (of_teach.bound, of_teach.judging)
    calls: list[int] = []

    def ask(start: int, end: int) -> list[Promises]:
        calls.append(start)
        return [Promises(parts=n, taught=None, calibrated=None) for n in range(start, end)]

    table = PromiseTable(ask)
    for parts in (1, 8, 99, 100):
        assert table.of(parts).parts == parts
    assert calls == [0, 100]


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.panel.command.sys.executable", "/bin/false")
    with pytest.raises(LinewardenError):
        PromiseTable().of(1)
