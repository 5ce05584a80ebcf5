"""The disk of the journal, which can hang or be full."""

from __future__ import annotations

import os
import threading

import pytest

GENEROUS_S = 30.0


class Disk:
    """Replaces `write` of every journal.

    Attributes:
        answers: while it is clear, writes hang.
        is_full: whether writes fail.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers = threading.Event()
        self.answers.set()
        self.is_full = False
        self._write = os.write
        monkeypatch.setattr("edge.part.journal.os.write", self.write)

    def write(self, file: int, content: bytes) -> int:
        if threading.current_thread().name == "journal":
            assert self.answers.wait(GENEROUS_S)
            if self.is_full:
                raise OSError(28, "No space left on device")
        return self._write(file, content)
