"""The block of words that a PLC has of the handshake."""

from __future__ import annotations

from edge.line.block import BLOCK_WORDS, CAUSES, words_from_signals
from edge.line.handshake import Bits, Signals
from inspection.verdict import Cause


def test_the_words_of_a_verdict() -> None:
    signals = Signals(Bits.RESULT_VALID | Bits.NO_VERDICT, 7, "ab12-000003", Cause.DEADLINE)
    words = words_from_signals(signals)
    assert len(words) == BLOCK_WORDS
    assert words[:3] == [4 + 32, 7, CAUSES.index(Cause.DEADLINE) + 1]
    assert b"".join(word.to_bytes(2, "big") for word in words[3:]) == b"ab12-000003".ljust(
        24, b"\0"
    )


def test_a_long_trigger_id_keeps_its_end() -> None:
    words = words_from_signals(Signals(trigger_id="x" * 30 + "-000003"))
    text = b"".join(word.to_bytes(2, "big") for word in words[3:])
    assert text == b"x" * 17 + b"-000003"


def test_the_causes_keep_their_numbers() -> None:
    # A PLC program holds these numbers: add new causes at the end.
    assert [cause.value for cause in CAUSES] == [
        *("camera", "frame", "engine", "not_finite", "deadline", "overtrigger", "stopping"),
        *("no_frame", "view_missing", "interrupted", "part_not_found"),
    ]
