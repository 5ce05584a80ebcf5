"""A simulated machine that runs for days keeps its last verdicts, and counts all."""

from __future__ import annotations

from edge.sim.base import KEPT, Machine, Seen, View, last_verdict
from edge.sim.pins import Pins


class Endless(Machine):
    def view(self) -> View:
        return View("endless", {}, last_verdict(self.seen))


def test_a_machine_keeps_its_last_verdicts_and_counts_all() -> None:
    machine, parts = Endless(), 5 * KEPT + 3
    for number in range(parts):
        machine.take_once(Seen(f"t-{number}", is_pass=True, is_reject=False))
        machine.take_once(machine.seen[-1])  # a repeat
        assert len(machine.seen) < 2 * KEPT
    assert [one.trigger_id for one in machine.seen[-KEPT:]] == [
        f"t-{number}" for number in range(parts - KEPT, parts)
    ]
    assert machine.view().words == {"verdicts": parts, "last": f"PASS t-{parts - 1}"}


def test_pins_that_beat_for_days_keep_their_last_changes() -> None:
    pins = Pins({"heartbeat": "BEAT"})
    pins.request_lines("", consumer="test", config={"BEAT": None})
    for beat in range(3 * KEPT):
        pins.set_values({"BEAT": beat % 2})  # type: ignore[dict-item]
    assert len(pins.history) < 2 * KEPT
    assert pins.history.total == 3 * KEPT
