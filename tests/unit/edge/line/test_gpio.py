"""GPIO: pulses that never overlap, a gate that opens on time, idle lines after every failure."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

pytest.importorskip("gpiod")

from edge.line import GateConfig, GpioConfig, StationState, output_from_config
from edge.line.gpio import Gpio
from edge.line.timetable import Timetable
from edge.part.record import InspectionRecord
from inspection.errors import LineError
from inspection.verdict import Verdict
from tests.doubles.conveyor import Counter
from tests.doubles.line_peers import TRAVEL_MS, Pins, wait_for

MakeRecord = Callable[..., InspectionRecord]
LATE_MS = 5000.0  # of a machine that is busy
GPIO_SIM = Path("/sys/kernel/config/gpio-sim")


@pytest.fixture
def pins() -> Pins:
    return Pins()


@pytest.fixture
def gpio(pins: Pins) -> Iterator[Gpio]:
    gpio = pins.output()
    gpio.open()
    yield gpio
    pins.wake()
    gpio.close()


def gate(**settings: Any) -> GateConfig:
    defaults = {"travel_ms": TRAVEL_MS, "pulse_ms": 10.0, "tolerance": 1000.0, "unseen": "pass"}
    return GateConfig.model_validate(defaults | settings)


def edges(pins: Pins, name: str) -> list[tuple[float, bool]]:
    """Returns the changes of a line, in milliseconds from the first change of any line."""
    found, value = [], False
    for at_ns, values in pins.history:
        if values[name] != value:
            value = values[name]
            found.append(((at_ns - pins.history[0][0]) / 1e6, value))
    return found


def test_lines_are_taken_inactive_and_by_name(pins: Pins, gpio: Gpio) -> None:
    assert set(pins.settings) >= {"PASS", "REJECT", "GATE"}
    for settings in pins.settings.values():
        assert not settings.output_value
        assert settings.direction.name == "OUTPUT"


def test_active_low_is_the_kernels_work(pins: Pins) -> None:
    gpio = pins.output(active_low=("GATE",))
    gpio.open()
    assert [name for name, one in pins.settings.items() if one.active_low] == ["GATE"]
    gpio.close()


def test_a_pulse_has_its_length(pins: Pins, gpio: Gpio, make_record: MakeRecord) -> None:
    gpio.send(make_record(1, Verdict.PASS))
    wait_for(lambda: len(edges(pins, "PASS")) == 2)
    (rise, _), (fall, _) = edges(pins, "PASS")
    assert 9 < fall - rise < LATE_MS


def test_valid_frames_the_verdict(pins: Pins, gpio: Gpio, make_record: MakeRecord) -> None:
    gpio.send(make_record(1, Verdict.REJECT))
    wait_for(lambda: len(edges(pins, "REJECT")) == 2)
    reject, valid = edges(pins, "REJECT"), edges(pins, "VALID")
    assert reject[0][0] < valid[0][0] < valid[1][0] < reject[1][0]


def test_no_verdict_raises_valid_alone(pins: Pins, gpio: Gpio, make_record: MakeRecord) -> None:
    gpio.send(make_record(1, Verdict.NO_VERDICT))
    wait_for(lambda: len(edges(pins, "VALID")) == 2)
    assert edges(pins, "PASS") == edges(pins, "REJECT") == []


def test_pulses_of_two_parts_keep_their_gap(
    pins: Pins, gpio: Gpio, make_record: MakeRecord
) -> None:
    gpio.send(make_record(1, Verdict.PASS))
    gpio.send(make_record(2, Verdict.REJECT))
    wait_for(lambda: len(edges(pins, "REJECT")) == 2)
    assert edges(pins, "REJECT")[0][0] - edges(pins, "PASS")[1][0] >= 1.5
    assert not any(values["PASS"] and values["REJECT"] for _, values in pins.history)


def test_a_pulse_that_ends_late_keeps_its_gap(
    pins: Pins, gpio: Gpio, make_record: MakeRecord
) -> None:
    gpio.send(make_record(1, Verdict.PASS))
    assert gpio._lines is not None
    gpio._lines.at(0, lambda: time.sleep(0.03))  # past its planned end and the gap
    gpio.send(make_record(2, Verdict.REJECT))
    wait_for(lambda: len(edges(pins, "REJECT")) == 2)
    assert edges(pins, "REJECT")[0][0] - edges(pins, "PASS")[1][0] >= 1.5


def test_the_heartbeat_of_a_fault_cuts_no_pulse(pins: Pins, make_record: MakeRecord) -> None:
    gpio = pins.output(pulse_ms=5000.0)
    gpio.open()
    gpio.send(make_record(1, Verdict.REJECT))
    gpio.show(StationState.FAULT)
    assert not pins.is_on("reject")  # a FAULT that begins takes the verdict back
    gpio.close()
    gpio.open()
    gpio.show(StationState.FAULT)
    gpio.send(make_record(2, Verdict.REJECT))
    beat = pins.is_on("heartbeat")
    gpio.show(StationState.FAULT)
    assert pins.is_on("reject")
    assert pins.is_on("heartbeat") is not beat
    gpio.close()


def test_parts_that_come_too_fast_are_refused(pins: Pins, make_record: MakeRecord) -> None:
    gpio = pins.output(pulse_ms=5000.0)
    gpio.open()
    gpio.send(make_record(1, Verdict.PASS))
    with pytest.raises(LineError, match="test-000002 was not told: the pulse of the part before"):
        gpio.send(make_record(2, Verdict.REJECT))
    gpio.close()


@pytest.mark.parametrize("verdict", [Verdict.REJECT, Verdict.REVIEW, Verdict.NO_VERDICT])
def test_the_gate_opens_a_time_after_the_frame(
    pins: Pins, gpio: Gpio, make_record: MakeRecord, verdict: Verdict
) -> None:
    sent_ns = time.monotonic_ns()
    gpio.send(make_record(1, verdict))  # 12.5 ms after its frame
    wait_for(lambda: len(edges(pins, "GATE")) == 2)
    (opened, _), (shut, _) = edges(pins, "GATE")
    after_ms = opened + (pins.history[0][0] - sent_ns) / 1e6
    assert TRAVEL_MS - 12.5 <= after_ms < LATE_MS
    assert 9 < shut - opened < LATE_MS


def test_the_gate_lets_a_pass_through(pins: Pins, gpio: Gpio, make_record: MakeRecord) -> None:
    gpio.send(make_record(1, Verdict.PASS))
    time.sleep(TRAVEL_MS / 1e3)
    assert edges(pins, "GATE") == []


def test_a_part_whose_verdict_was_given_up_is_rejected_at_the_gate(
    pins: Pins, gpio: Gpio, make_record: MakeRecord
) -> None:
    gpio.sort_out(make_record(1, Verdict.PASS))
    wait_for(lambda: len(edges(pins, "GATE")) == 2)
    assert edges(pins, "PASS") == []
    overdue = make_record(2, Verdict.PASS)
    latency = overdue.latency_ms.model_copy(update={"total": TRAVEL_MS + 10})
    with pytest.raises(LineError, match="test-000002 passed the gate"):
        gpio.sort_out(overdue.model_copy(update={"latency_ms": latency}))


def test_two_rejects_in_a_row_keep_the_gate_open(pins: Pins, make_record: MakeRecord) -> None:
    gpio = pins.output(gate=gate(pulse_ms=2000.0))
    gpio.open()
    gpio.send(make_record(1, Verdict.REJECT))
    time.sleep(0.2)
    gpio.send(make_record(2, Verdict.REJECT))
    wait_for(lambda: len(edges(pins, "GATE")) == 2)
    assert edges(pins, "GATE")[1][0] - edges(pins, "GATE")[0][0] > 2050
    gpio.close()


def test_a_fault_ends_the_pulse_and_still_rejects(
    pins: Pins, gpio: Gpio, make_record: MakeRecord
) -> None:
    gpio.send(make_record(1, Verdict.REJECT))
    gpio.show(StationState.FAULT)
    assert pins.values["FAULT"]
    assert not pins.values["REJECT"]
    wait_for(lambda: len(edges(pins, "GATE")) == 2)


def test_a_part_that_passed_the_gate_is_an_error(pins: Pins, make_record: MakeRecord) -> None:
    gpio = pins.output(gate=gate(travel_ms=5.0))
    gpio.open()
    with pytest.raises(LineError, match=r"test-000001 passed the gate \d+ ms ago"):
        gpio.send(make_record(1, Verdict.REJECT))
    gpio.close()


def test_what_nobody_saw_is_rejected(pins: Pins, make_record: MakeRecord) -> None:
    gpio = pins.output(gate=gate(unseen="reject", tolerance=5.0))
    gpio.open()
    wait_for(lambda: pins.values["GATE"])  # for the parts between camera and gate at the start
    gpio.show(StationState.READY)
    wait_for(lambda: not pins.values["GATE"])
    gpio.send(make_record(1, Verdict.PASS))
    gpio.show(StationState.FAULT)
    wait_for(lambda: pins.values["GATE"])
    gpio.show(StationState.READY)
    wait_for(lambda: not pins.values["GATE"])
    assert len(edges(pins, "GATE")) == 4
    gpio.close()


def test_a_part_on_the_way_is_rejected_after_a_restart(
    pins: Pins, make_record: MakeRecord, tmp_path: Path
) -> None:
    way = gate(travel_ms=400.0, register_file=tmp_path / "gate" / "register")
    before = pins.output(gate=way)
    before.open()
    before.send(make_record(1, Verdict.REJECT))
    before.send(make_record(2, Verdict.PASS))
    before.close()
    after = pins.output(gate=way)
    after.open()
    wait_for(lambda: len(edges(pins, "GATE")) == 2)
    after.close()


def test_lines_that_come_back_open_the_gate_for_what_is_on_its_way(
    pins: Pins, make_record: MakeRecord
) -> None:
    gpio = pins.output(gate=gate(travel_ms=1000.0))
    gpio.open()
    gpio.send(make_record(1, Verdict.REJECT))
    pins.error = OSError(19, "No such device")
    wait_for(lambda: pins.is_released)
    pins.error = None
    gpio.open()
    wait_for(lambda: len(edges(pins, "GATE")) == 2)
    gpio.close()


def test_a_gate_without_lines_is_told(
    pins: Pins, make_record: MakeRecord, caplog: pytest.LogCaptureFixture
) -> None:
    gpio = pins.output(pulse_ms=500.0, gate=gate(travel_ms=1000.0))
    gpio.open()
    gpio.send(make_record(1, Verdict.REJECT))
    pins.error = OSError(19, "No such device")  # within the pulse
    wait_for(lambda: "the gate did not open for test-000001: gpio" in caplog.text)
    pins.error = None
    gpio.open()
    gpio.show(StationState.READY)
    gpio.close()


def test_a_lost_encoder_holds_the_gate_open_until_it_is_back(
    pins: Pins, make_record: MakeRecord
) -> None:
    counter = Counter()
    way = GateConfig.model_validate({"travel_counts": 50, "pulse_ms": 10.0})
    gpio = pins.output(gate=way, encoder=counter)
    gpio.open()
    gpio.show(StationState.READY)
    wait_for(lambda: pins.values["GATE"])
    counter.at = 50
    wait_for(lambda: not pins.values["GATE"])
    counter.error = LineError("encoder: lost")
    told: list[str] = []

    def is_told() -> bool:
        try:
            gpio.show(StationState.READY)
        except LineError as error:
            told.append(str(error))
        return bool(told)

    wait_for(is_told)
    assert "no longer tracked to the gate: encoder: lost" in told[0]
    wait_for(lambda: pins.values["GATE"])
    with pytest.raises(LineError, match="test-000001 is not tracked: encoder: lost"):
        gpio.send(make_record(1, Verdict.PASS))
    with pytest.raises(LineError, match="encoder: lost"):
        gpio.open()
    counter.error = None
    gpio.open()
    gpio.show(StationState.READY)
    assert pins.values["GATE"]
    counter.at = 100
    wait_for(lambda: not pins.values["GATE"])
    gpio.close()


def test_close_leaves_every_line_inactive(
    pins: Pins, gpio: Gpio, make_record: MakeRecord, caplog: pytest.LogCaptureFixture
) -> None:
    gpio.show(StationState.READY)
    gpio.send(make_record(1, Verdict.REJECT))
    gpio.close()
    assert pins.is_released
    assert not any(pins.values.values())
    assert "before these parts reached the gate: test-000001" in caplog.text


def test_an_error_of_the_driver_gives_the_lines_back(pins: Pins, make_record: MakeRecord) -> None:
    gpio = pins.output(pulse_ms=1000.0)
    gpio.open()
    gpio.send(make_record(1, Verdict.PASS))
    pins.error = OSError(19, "No such device")  # within the pulse
    wait_for(lambda: pins.is_released)
    with pytest.raises(LineError, match=r"test-000002.*not open any more \(.*No such device"):
        gpio.send(make_record(2, Verdict.PASS))
    pins.error = None
    gpio.open()
    gpio.send(make_record(3, Verdict.PASS))
    gpio.close()


def test_an_error_of_the_pulse_before_wakes_the_verdict_that_waits_for_its_end(
    pins: Pins, make_record: MakeRecord
) -> None:
    gpio = pins.output(pulse_ms=100.0, timeout_ms=60_000.0)
    gpio.open()
    gpio.send(make_record(1, Verdict.PASS))
    pins.error = OSError(19, "No such device")  # the end of the pulse meets it
    with pytest.raises(LineError, match=r"test-000002 was not told: .*No such device"):
        gpio.send(make_record(2, Verdict.PASS))
    gpio.close()


def test_an_error_within_send_is_told(pins: Pins, gpio: Gpio, make_record: MakeRecord) -> None:
    pins.error = OSError(5, "Input/output error")
    with pytest.raises(LineError, match=r"test-000001 was not told: .*Input/output error"):
        gpio.send(make_record(1, Verdict.PASS))


def test_an_error_is_told_also_when_its_thread_is_slow(
    pins: Pins, gpio: Gpio, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = gpio._lines
    assert lines is not None
    was_told = threading.Event()

    def fail_late(error: OSError) -> None:
        was_told.wait(10)
        lines._fail(error)

    monkeypatch.setattr(lines._timetable, "_on_error", fail_late)
    pins.error = OSError(5, "Input/output error")
    with pytest.raises(LineError, match=r"test-000001 was not told: .*Input/output error"):
        gpio.send(make_record(1, Verdict.PASS))
    was_told.set()
    wait_for(lambda: pins.is_released)


def test_a_defect_within_send_is_told_and_gives_the_lines_back(
    pins: Pins, gpio: Gpio, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = gpio._lines
    assert lines is not None

    def fail(**_bits: object) -> None:
        raise ZeroDivisionError("a mistake")

    monkeypatch.setattr(lines, "drive", fail)
    with pytest.raises(LineError, match=r"test-000001 was not told: ZeroDivisionError"):
        gpio.send(make_record(1, Verdict.PASS))
    wait_for(lambda: pins.is_released)


@pytest.mark.parametrize("verdict", [Verdict.PASS, Verdict.REJECT])
def test_a_part_that_was_not_told_is_rejected_at_the_gate(
    pins: Pins, make_record: MakeRecord, verdict: Verdict
) -> None:
    gpio = pins.output(pulse_ms=5000.0, gate=gate(travel_ms=200.0))
    gpio.open()
    gpio.send(make_record(1, Verdict.PASS))
    with pytest.raises(LineError, match="test-000002 was not told"):
        gpio.send(make_record(2, verdict))
    gpio.open()  # as the pipeline does after an error: the gate still opens
    wait_for(lambda: len(edges(pins, "GATE")) == 2)
    gpio.close()


def test_a_driver_that_wakes_late_raises_no_verdict(pins: Pins, make_record: MakeRecord) -> None:
    gpio = pins.output(timeout_ms=100.0)
    gpio.open()
    pins.hang()
    with pytest.raises(LineError, match="test-000001 was not told: the driver took over 100 ms"):
        gpio.send(make_record(1, Verdict.PASS))
    pins.wake()
    wait_for(lambda: pins.is_released)
    assert pins.seen == []
    assert not any(pins.values.values())
    gpio = pins.output()
    gpio.open()
    gpio.send(make_record(2, Verdict.REJECT))
    assert [(seen.is_pass, seen.is_reject) for seen in pins.seen] == [(False, True)]
    gpio.close()


def test_a_driver_that_hangs_for_ever_hinders_nobody(pins: Pins) -> None:
    gpio = pins.output(timeout_ms=100.0)
    gpio.open()
    pins.hang()
    with pytest.raises(LineError, match="took over 100 ms"):
        gpio.show(StationState.READY)
    began = time.monotonic()
    gpio.close()
    assert time.monotonic() - began < 10
    pins.wake()
    wait_for(lambda: pins.is_released)


def test_actions_run_in_the_order_of_their_time() -> None:
    ran: list[str] = []
    done = threading.Event()
    timetable = Timetable("test", lambda _error: None)
    now = time.monotonic_ns()
    timetable.at(now + 30_000_000, done.set)
    timetable.at(now + 20_000_000, lambda: ran.append("second"))
    timetable.at(now + 10_000_000, lambda: ran.append("first"))
    timetable.start()
    assert done.wait(10)
    timetable.close(10.0)
    assert ran == ["first", "second"]


@pytest.mark.parametrize("error", [OSError(5, "gone"), ZeroDivisionError("a mistake")])
def test_an_action_that_fails_ends_the_timetable(error: Exception) -> None:
    errors: list[OSError] = []
    ran: list[int] = []

    def fail() -> None:
        raise error

    timetable = Timetable("test", errors.append)
    timetable.at(0, fail)
    timetable.at(1, lambda: ran.append(1))
    timetable.start()
    wait_for(lambda: errors)
    timetable.close(10.0)
    assert ran == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lines": {"pass": "A"}}, "should have 'pass' and 'reject'"),
        (
            {"lines": {"pass": "A", "reject": "A"}},
            "lines.reject: takes the line A of",
        ),
        ({"active_low": ("C",)}, "active_low names C, not among the lines"),
        ({"lines": {"pass": "A", "reject": "B", "horn": "C"}}, "horn"),
        ({"pulse_ms": 0}, "greater than 0"),
        ({"gate": {"travel_ms": 5}}, "belong together"),
        ({"lines": {"pass": "A", "reject": "B", "gate": "C"}}, "belong together"),
        ({"gate": {}}, "either 'travel_ms' or 'travel_counts'"),
        ({"gate": {"travel_ms": 5, "travel_counts": 5}}, "either 'travel_ms' or 'travel_counts'"),
    ],
)
def test_wrong_configurations(change: dict[str, Any], message: str) -> None:
    settings = {"kind": "gpio", "chip": "/dev/gpiochip0", "lines": {"pass": "A", "reject": "B"}}
    with pytest.raises(ValidationError, match=message):
        GpioConfig.model_validate(settings | change)


def test_a_chip_that_is_not_there_is_named() -> None:
    settings = {"kind": "gpio", "chip": "/dev/nothing", "lines": {"pass": "A", "reject": "B"}}
    output = output_from_config(GpioConfig.model_validate(settings))
    with pytest.raises(LineError, match="gpio /dev/nothing: the lines A, B cannot be taken"):
        output.open()


@pytest.mark.skipif(not GPIO_SIM.is_dir(), reason="needs the kernel module gpio-sim, and root")
def test_lines_of_a_simulated_chip(make_record: MakeRecord) -> None:
    device = GPIO_SIM / "linewarden"
    for name in ("PASS", "REJECT"):
        line = device / "bank" / f"line{int(name == 'REJECT')}"
        line.mkdir(parents=True)
        (line / "name").write_text(name)
    (device / "bank" / "num_lines").write_text("2")
    (device / "live").write_text("1")
    try:
        chip = Path("/dev") / (device / "bank" / "chip_name").read_text().strip()
        settings = {"kind": "gpio", "chip": chip, "lines": {"pass": "PASS", "reject": "REJECT"}}
        output = output_from_config(GpioConfig.model_validate(settings))
        output.open()
        output.send(make_record(1, Verdict.PASS))
        values = Path("/sys/devices/platform") / (device / "dev_name").read_text().strip()
        (value,) = values.glob(f"{chip.name}/sim_gpio0/value")
        assert value.read_text().strip() == "1"
        output.close()
        assert value.read_text().strip() == "0"
    finally:
        (device / "live").write_text("0")
        for line in (device / "bank").glob("line*"):
            line.rmdir()
        (device / "bank").rmdir()
        device.rmdir()
