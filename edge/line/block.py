"""The block of words that a PLC has of the handshake: the same 15 on every protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from edge.line.handshake import SEQUENCE_MAX, Signals
from inspection.verdict import Cause

CAUSES = tuple(Cause)
"""The causes of NO_VERDICT in the order of their numbers, from 1. PLC programs hold the numbers."""

CAUSE_MEANINGS = {
    Cause.CAMERA: "the camera is lost, or gave an error",
    Cause.FRAME: "the frame cannot be used: damaged, or not of the size and kind that was taught",
    Cause.ENGINE: "the engine failed",
    Cause.NOT_FINITE: "the engine gave no number",
    Cause.DEADLINE: "the verdict came after `deadline_ms`",
    Cause.OVERTRIGGER: "the parts come too fast",
    Cause.STOPPING: "the station stops",
    Cause.NO_FRAME: "no camera gave a frame in time",
    Cause.VIEW_MISSING: "one of several cameras gave no frame in time",
    Cause.INTERRUPTED: "the process died with the part; only in records, a PLC never sees it",
    Cause.PART_NOT_FOUND: "the part is not where the layout looks for it",
}

TEXT_BYTES = 24


class Field(NamedTuple):
    """Consecutive words with one meaning.

    Attributes:
        first: of the words, counted from 0.
        meaning: for the guide.
    """

    name: str
    first: int
    words: int
    meaning: str


STATUS = Field("status", 0, 1, "the bits of the handshake")
SEQUENCE = Field(
    "number", 1, 1, f"sequence number of the verdict, 1 to {SEQUENCE_MAX}; 0: none yet"
)
CAUSE = Field("cause", 2, 1, "cause of NO_VERDICT, by its number; 0: none")
TRIGGER_ID = Field(
    "trigger id",
    3,
    TEXT_BYTES // 2,
    f"its last {TEXT_BYTES} characters in ASCII, two per word, the first one in the high byte; "
    "filled up with 0",
)
FIELDS = (STATUS, SEQUENCE, CAUSE, TRIGGER_ID)
BLOCK_WORDS = sum(field.words for field in FIELDS)


def words_from_signals(signals: Signals) -> list[int]:
    """Returns the block, each word 0 to 65535."""
    cause = CAUSES.index(signals.cause) + 1 if signals.cause is not None else 0
    text = signals.trigger_id.encode("ascii", "replace")[-TEXT_BYTES:].ljust(TEXT_BYTES, b"\0")
    pairs = [int.from_bytes(text[at : at + 2], "big") for at in range(0, TEXT_BYTES, 2)]
    return [int(signals.bits), signals.sequence, cause, *pairs]


def sequence_from_words(words: Sequence[int]) -> int:
    """Returns the sequence number in a block."""
    return words[SEQUENCE.first]
