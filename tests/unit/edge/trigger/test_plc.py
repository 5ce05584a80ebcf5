"""A polled value of a PLC: no announced part is lost with the connection."""

from __future__ import annotations

from typing import Any, cast

import pytest

from edge.peers.plc import Plc
from edge.trigger.plc import PlcTrigger, Reading
from inspection.errors import LineError


class Answers:
    """A PLC that a test sets; it answers no request for the part id while that is None."""

    def __init__(self) -> None:
        self.value = 7
        self.part_id: str | None = "A-7"
        self.is_open = False

    def open(self) -> None:
        self.is_open = True

    def ask(self, where: object, _work: Any) -> int | str:
        if not self.is_open:
            raise LineError("the connection is not open")
        if where == "value":
            return self.value
        if self.part_id is None:
            self.is_open = False
            raise LineError("part id: no answer within 200 ms")
        return self.part_id

    def close(self) -> None:
        self.is_open = False


async def nothing(_session: Any) -> None:
    """Is never run."""


def test_a_part_whose_id_cannot_be_read_is_announced_before_the_loss(
    caplog: pytest.LogCaptureFixture,
) -> None:
    plc = Answers()
    value, part_id = Reading("value", nothing), Reading("part id", nothing)
    trigger = PlcTrigger(cast("Plc[Any]", plc), poll_ms=1.0, value=value, part_id=part_id)
    trigger.open()
    plc.value, plc.part_id = 8, None
    firing = trigger.wait(0.0)
    assert firing is not None
    assert firing.part_id is None
    assert "a part is announced without its id: part id: no answer within 200 ms" in caplog.text
    with pytest.raises(LineError, match="part id: no answer within 200 ms"):
        trigger.wait(0.0)
    plc.part_id = "A-9"
    trigger.open()
    assert trigger.wait(0.0) is None
    plc.value = 9
    firing = trigger.wait(0.0)
    assert firing is not None
    assert firing.part_id == "A-9"
