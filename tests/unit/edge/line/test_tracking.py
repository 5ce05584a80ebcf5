"""The shift register between camera and gate, by the clock and by an encoder."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from edge.line.belt import Belt, BeltClock, EncoderBelt
from edge.line.gate import GateConfig, register_from_config
from edge.line.register_file import RegisterFile
from edge.line.tracking import Gate, ShiftRegister
from edge.part.journal import Journal
from inspection.errors import LineError
from tests.doubles.conveyor import Counter
from tests.doubles.waiting import wait_for

DISTANCE = 100


class Conveyor:
    """A belt that the test moves; it keeps its position over a restart and ignores moments."""

    def __init__(self, epoch: str = "belt") -> None:
        self.epoch = epoch
        self.at = 1000
        self.looks = 0
        self.error: OSError | None = None
        self.is_closed = False

    def position(self, moment_ns: int) -> int:
        self.looks += 1
        if self.error is not None:
            raise self.error
        return self.at

    def pause_s(self, distance: int) -> float:
        return 0.001

    def in_words(self, distance: int) -> str:
        return f"{distance} counts"

    def close(self) -> None:
        self.is_closed = True


class Line:
    """A register on a belt; notes each action of its gate with the position of the belt."""

    def __init__(self, belt: Belt, **settings: Any) -> None:
        self.belt = belt
        self.did: list[tuple[str, int]] = []
        self.is_broken = False
        defaults: dict[str, Any] = {
            "name": "gate",
            "distance": DISTANCE,
            "tolerance": 5,
            "belt": belt,
            "gate": Gate(self._pulse, self._hold),
            "journal": None,
            "rejects_unseen": True,
        }
        self.register = ShiftRegister(**(defaults | settings))

    def _pulse(self) -> None:
        if self.is_broken:
            raise LineError("no lines")
        self.did.append(("pulse", self._at()))

    def _hold(self, is_held: bool) -> None:
        self.did.append(("hold" if is_held else "let go", self._at()))

    def _at(self) -> int:
        return self.belt.position(time.monotonic_ns()) if self.belt.epoch == "belt" else 0

    def names(self) -> list[str]:
        return [name for name, _ in self.did]


@pytest.fixture
def belt() -> Conveyor:
    return Conveyor()


@pytest.fixture
def line(belt: Conveyor) -> Iterator[Line]:
    """Returns a line whose belt has carried the unseen parts of the start past the gate."""
    line = Line(belt)
    line.register.open()
    wait_for(lambda: line.names() == ["hold"])
    line.register.see()
    move(belt, DISTANCE)
    wait_for(lambda: line.names() == ["hold", "let go"])
    line.did.clear()
    yield line
    line.register.close()


def wait_for_a_look(belt: Conveyor | Counter) -> None:
    """Waits until somebody has looked at the present position, and has noted it."""
    looks = belt.looks
    wait_for(lambda: belt.looks > looks + 1)


def is_lost(belt: Belt) -> bool:
    try:
        belt.position(time.monotonic_ns())
    except OSError:
        return True
    return False


def move(belt: Conveyor, counts: int) -> None:
    """Moves the belt slowly, so that the register sees every position."""
    for _ in range(counts):
        belt.at += 1
        time.sleep(0.0003)


def test_the_gate_opens_when_the_belt_has_moved_far_enough(belt: Conveyor, line: Line) -> None:
    start = belt.at
    line.register.enter("a", 0, is_rejected=True)
    move(belt, 10)
    line.register.enter("b", 0, is_rejected=False)
    move(belt, 10)
    line.register.enter("c", 0, is_rejected=True)
    belt.at = start + DISTANCE - 1
    time.sleep(0.05)  # a belt that stands still
    assert line.did == []
    belt.at += 1
    wait_for(lambda: line.did == [("pulse", start + DISTANCE)])
    belt.at = start + 20 + DISTANCE
    wait_for(lambda: len(line.did) == 2)
    assert line.did[1] == ("pulse", start + 20 + DISTANCE)
    line.register.report()


def test_a_verdict_that_comes_late_still_opens_the_gate_on_time(belt: Conveyor) -> None:
    positions = {1: 1000, 2: 1040}

    class Remembers(Conveyor):
        def position(self, moment_ns: int) -> int:
            return positions.get(moment_ns, self.at)

    belt = Remembers()
    belt.at = 1090
    line = Line(belt, rejects_unseen=False)
    line.register.open()
    line.register.enter("second", 2, is_rejected=True)
    line.register.enter("first", 1, is_rejected=True)
    belt.at = 1100
    wait_for(lambda: len(line.did) == 1)
    belt.at = 1140
    wait_for(lambda: line.did == [("pulse", 1100), ("pulse", 1140)])
    line.register.close()


def test_a_part_that_has_passed_the_gate_is_told(belt: Conveyor, line: Line) -> None:
    class Late(Conveyor):
        def position(self, moment_ns: int) -> int:
            return self.at - 130 if moment_ns == 7 else self.at

    late = Line(Late(), rejects_unseen=False)
    late.register.open()
    with pytest.raises(LineError, match="a passed the gate 30 counts ago; move the gate"):
        late.register.enter("a", 7, is_rejected=True)
    wait_for(lambda: late.names() == ["pulse"])  # its end may come late
    late.register.enter("b", 7, is_rejected=False)
    late.register.report()
    late.register.close()


def test_a_gate_that_opens_late_is_told(belt: Conveyor, line: Line) -> None:
    line.register.enter("a", 0, is_rejected=True)
    belt.at += DISTANCE + 6  # at once, as if the register's thread did not run
    wait_for(lambda: line.did)
    wait_for(lambda: line.register._troubles)
    with pytest.raises(LineError, match="gate: the gate opened 6 counts late for a"):
        line.register.report()
    line.register.report()


def test_a_gate_that_does_not_open_is_told(
    belt: Conveyor, line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    line.is_broken = True
    line.register.enter("a", 0, is_rejected=True)
    belt.at += DISTANCE
    wait_for(lambda: "the gate did not open for a: no lines" in caplog.text)


def test_what_passes_during_a_fault_is_rejected_and_no_part_beside_it(
    belt: Conveyor, line: Line
) -> None:
    seen = belt.at
    line.register.enter("good", 0, is_rejected=False)
    line.register.lose_sight()
    line.register.lose_sight()
    belt.at = seen + 40
    line.register.see()
    line.register.see()
    line.register.enter("also good", 0, is_rejected=False)
    for position in (DISTANCE + 4, DISTANCE + 5, DISTANCE + 39, DISTANCE + 40):
        belt.at = seen + position
        wait_for_a_look(belt)
    wait_for(lambda: len(line.did) == 2)
    assert line.did == [("hold", seen + DISTANCE + 5), ("let go", seen + DISTANCE + 40)]


def test_a_fault_that_ends_within_the_part_before_it_holds_no_gate(
    belt: Conveyor, line: Line
) -> None:
    line.register.enter("good", 0, is_rejected=False)
    belt.at += 2  # less than the length of the part
    line.register.lose_sight()
    line.register.see()
    line.register.enter("bad", 0, is_rejected=True)
    belt.at += 2 * DISTANCE
    wait_for(lambda: len(line.did) == 2)
    assert line.names() == ["pulse", "let go"]


def test_two_faults_behind_one_part_hold_the_gate_for_the_second(
    belt: Conveyor, line: Line
) -> None:
    line.register.enter("good", 0, is_rejected=False)
    belt.at += 2
    line.register.lose_sight()
    line.register.see()
    line.register.lose_sight()
    belt.at += 30
    line.register.see()
    belt.at += DISTANCE
    wait_for(lambda: len(line.did) == 3)
    assert line.names() == ["let go", "hold", "let go"]


def test_unseen_parts_may_pass() -> None:
    belt = Conveyor()
    line = Line(belt, rejects_unseen=False)
    line.register.open()
    line.register.see()
    line.register.lose_sight()
    belt.at += 2 * DISTANCE
    time.sleep(0.05)
    line.register.close()
    assert "hold" not in line.names()


def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "register")


def test_the_register_survives_a_restart(tmp_path: Path) -> None:
    belt = Conveyor()
    first = Line(belt, journal=journal(tmp_path))
    first.register.open()
    first.register.see()
    for name, is_rejected in (("a", True), ("b", False), ("c", True)):
        belt.at += 20
        first.register.enter(name, 0, is_rejected=is_rejected)
    first.register.close()  # as after a kill: no last write
    third = belt.at
    belt.at += 10
    second = Line(belt, journal=journal(tmp_path))
    second.register.open()
    belt.at = third + 30
    second.register.see()
    for position in range(belt.at, third + 30 + DISTANCE + 1):
        belt.at = position
        wait_for_a_look(belt)
    wait_for(lambda: len(second.did) == 4)
    second.register.close()
    assert second.names() == ["pulse", "pulse", "hold", "let go"]
    for (_, at), expected in zip(second.did, (-40, 0, 5, 30), strict=True):
        assert third + DISTANCE + expected <= at <= third + DISTANCE + expected + 4
    assert (tmp_path / "register").read_bytes() == b""


def test_parts_of_another_count_are_unseen(tmp_path: Path) -> None:
    first = Line(Conveyor("one process"), journal=journal(tmp_path))
    first.register.open()
    first.register.enter("a", 0, is_rejected=False)
    first.register.close()
    with (tmp_path / "register").open("a") as stream:
        stream.write("b garbage\n")
    second = Line(Conveyor("another"), journal=journal(tmp_path))
    second.register.open()
    wait_for(lambda: second.names() == ["hold"])
    second.register.close()
    assert (tmp_path / "register").read_bytes() == b""


def test_a_reject_that_passed_while_the_station_was_away_is_told(tmp_path: Path) -> None:
    belt = Conveyor()
    first = Line(belt, journal=journal(tmp_path))
    first.register.open()
    first.register.enter("a", 0, is_rejected=True)
    first.register.close()
    belt.at += 3 * DISTANCE
    second = Line(belt, journal=journal(tmp_path))
    second.register.open()
    wait_for(lambda: second.register._troubles)
    with pytest.raises(LineError, match="the gate opened 200 counts late for a"):
        second.register.report()
    second.register.close()


def test_a_part_that_passed_the_gate_is_not_on_its_way_after_a_restart(tmp_path: Path) -> None:
    belt = Conveyor()

    def restarted() -> Line:
        line = Line(belt, journal=journal(tmp_path), rejects_unseen=False)
        line.register.open()
        return line

    first = restarted()
    start = belt.at
    for name in "abc":
        first.register.enter(name, 0, is_rejected=True)
        belt.at += 30
    belt.at = start + DISTANCE
    wait_for(lambda: first.did)  # of "a"
    first.register.close()
    second = restarted()
    belt.at = start + DISTANCE + 30
    wait_for(lambda: second.did)  # of "b"
    second.register.report()
    second.register.close()
    third = restarted()
    belt.at = start + DISTANCE + 90
    wait_for(lambda: third.register._troubles)
    with pytest.raises(LineError, match=r"^gate: the gate opened 30 counts late for c$"):
        third.register.report()
    third.register.close()
    assert (tmp_path / "register").read_bytes() == b""


def test_a_lost_encoder_holds_the_gate_open(belt: Conveyor, line: Line) -> None:
    line.register.enter("a", 0, is_rejected=False)
    at = belt.at
    belt.error = OSError(19, "No such device")
    belt.epoch = "gone"
    wait_for(lambda: line.did)
    assert line.names() == ["hold"]
    with pytest.raises(LineError, match=r"no longer tracked to the gate: .*No such device"):
        line.register.report()
    with pytest.raises(LineError, match=r"b is not tracked: .*No such device"):
        line.register.enter("b", at, is_rejected=False)
    line.register.see()
    line.register.lose_sight()


@pytest.mark.parametrize(
    "notice",
    [
        lambda register: register.enter("a", 0, is_rejected=False),
        lambda register: (register.lose_sight(), register.report()),
    ],
    ids=["a part", "a fault"],
)
def test_a_belt_that_is_lost_while_no_part_is_on_its_way_holds_the_gate_open(
    notice: Callable[[ShiftRegister], object], belt: Conveyor
) -> None:
    line = Line(belt)  # not open: no thread of it asks the belt
    belt.error = OSError(19, "No such device")
    belt.epoch = "gone"
    with pytest.raises(LineError, match="No such device"):
        notice(line.register)
    assert line.names() == ["hold"]
    assert line.register.failure is belt.error


@pytest.mark.parametrize(("ago", "has_passed"), [(DISTANCE - 1, False), (DISTANCE, True)])
def test_a_part_at_the_gate_has_passed_it(ago: int, has_passed: bool) -> None:
    class Late(Conveyor):
        def position(self, moment_ns: int) -> int:
            return self.at - ago if moment_ns == 7 else self.at

    line = Line(Late())
    with pytest.raises(LineError, match="0 counts ago") if has_passed else nullcontext():
        line.register.enter("a", 7, is_rejected=True)


def test_a_closed_register_names_its_rejects_and_leaves_nothing_running(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def running() -> set[str]:
        return {thread.name for thread in threading.enumerate()} & {"closing", "closing file"}

    belt = Conveyor()
    register = Line(belt, name="closing", journal=journal(tmp_path)).register
    register.open()
    register.enter("good", 0, is_rejected=False)
    register.enter("bad", 0, is_rejected=True)
    assert running() == {"closing", "closing file"}
    register.close()
    assert running() == set()
    assert belt.is_closed
    Line(Conveyor()).register.close()
    assert caplog.messages == ["closing: closed before these parts reached the gate: bad"]


def test_a_full_disk_hinders_no_tracking(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    belt = Conveyor()
    kept = journal(tmp_path)
    line = Line(belt, journal=kept, rejects_unseen=False)
    line.register.open()
    kept.close()  # every write fails from now on
    line.register.enter("a", 0, is_rejected=True)
    line.register.enter("b", 0, is_rejected=True)
    belt.at += DISTANCE
    wait_for(lambda: line.names() == ["pulse", "pulse"])
    line.register.close()
    assert caplog.text.count("parts are not kept over a restart") == 1


def test_a_folder_that_is_gone_hinders_no_tracking(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    belt = Conveyor()
    folder = tmp_path / "records"
    folder.mkdir()
    line = Line(belt, journal=journal(folder), rejects_unseen=False)
    line.register.open()
    line.register.enter("a", 0, is_rejected=True)
    folder.rename(tmp_path / "gone")
    line.register.enter("b", 0, is_rejected=True)
    move(belt, DISTANCE)
    wait_for(lambda: line.names() == ["pulse", "pulse"])
    line.register.report()
    assert line.register.failure is None
    line.register.close()
    assert "parts are not kept over a restart" in caplog.text


def test_a_disk_that_does_not_answer_holds_up_no_gate(tmp_path: Path) -> None:
    class Slow(Journal):
        answers = threading.Event()

        def add(self, key: str, entry: str) -> None:
            assert self.answers.wait(30)
            super().add(key, entry)

    belt = Conveyor()
    kept = Slow(tmp_path / "register")
    line = Line(belt, journal=kept, rejects_unseen=False)
    line.register.open()
    line.register.enter("a", 0, is_rejected=True)  # the write hangs from now on
    belt.at += 20
    line.register.enter("b", 0, is_rejected=True)
    belt.at += DISTANCE - 20
    wait_for(lambda: line.did == [("pulse", belt.at)])
    line.register.report()
    kept.answers.set()
    line.register.close()
    left = RegisterFile("gate", journal(tmp_path), belt.epoch)
    assert list(left.open()) == ["b"]  # written after all
    left.close(10.0)


def test_the_clock_is_a_belt_that_goes_on_over_processes() -> None:
    clock = BeltClock()
    assert clock.epoch == BeltClock().epoch
    assert (clock.position(5_000), clock.pause_s(2_000_000_000)) == (5_000, 2.0)
    assert clock.in_words(35_000_000) == "35 ms"


def test_a_defect_in_an_encoder_loses_the_belt(monkeypatch: pytest.MonkeyPatch) -> None:
    counter = Counter()
    belt = EncoderBelt(counter)

    def fail() -> int:
        raise ZeroDivisionError("a mistake")

    monkeypatch.setattr(counter, "position", fail)
    belt._thread.join(10.0)
    with pytest.raises(OSError, match="a mistake"):
        belt.position(time.monotonic_ns())
    belt.close()


def test_an_encoder_tells_where_the_belt_was() -> None:
    counter = Counter()
    belt = EncoderBelt(counter)
    assert counter.is_open
    moments = []
    for position in (0, 7, 9, 4):  # it may go back
        counter.at = position
        wait_for_a_look(counter)
        moments.append(time.monotonic_ns())
        wait_for_a_look(counter)  # one that began before the moment has ended
    assert [belt.position(moment) for moment in moments] == [0, 7, 9, 4]
    assert belt.position(0) == 0
    assert belt.in_words(35) == "35 counts"
    assert belt.epoch != EncoderBelt(Counter()).epoch
    counter.error = LineError("encoder: lost")
    wait_for(lambda: is_lost(belt))
    counter.error = None  # opened again, so it counts from 0
    with pytest.raises(OSError, match="encoder: lost"):
        belt.position(time.monotonic_ns())
    belt.close()
    belt.close()
    assert counter.is_open  # its owner closes it


def test_a_gate_by_the_counts_of_an_encoder() -> None:
    counter = Counter()
    config = GateConfig.model_validate({"travel_counts": 50, "unseen": "pass", "tolerance": 10})
    opened: list[int] = []
    gate = Gate(lambda: opened.append(counter.at), lambda _is_held: None)
    with pytest.raises(LineError, match="travel_counts needs the encoder of the line"):
        register_from_config("gate", config, gate, None)
    register = register_from_config("gate", config, gate, counter)
    register.open()
    entered_ns = time.monotonic_ns()
    counter.at = 20  # the inspection takes this long
    time.sleep(0.05)
    register.enter("a", entered_ns, is_rejected=True)
    counter.at = 49
    time.sleep(0.05)
    assert opened == []
    counter.at = 50
    wait_for(lambda: opened == [50])
    register.close()


@pytest.mark.parametrize(("given", "tolerance"), [(None, 50), (10.0, 10)])
def test_a_part_reaches_a_twentieth_of_the_travel_behind_its_position_unless_told(
    given: float | None, tolerance: int
) -> None:
    config = GateConfig(travel_counts=1000, tolerance=given)
    register = register_from_config(
        "g", config, Gate(lambda: None, lambda _is_held: None), Counter()
    )
    assert register._tolerance == tolerance
