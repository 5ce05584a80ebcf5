"""The page I/O in Chromium: equal to the memory of a PLC and to a broker; the test pulse."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edge.line.block import CAUSE, SEQUENCE, TRIGGER_ID
from edge.line.handshake import Bits
from edge.sim.base import free_port
from inspection.bundle import Bundle
from tests.doubles.fitting_page import OVERFLOW, violations, wait_for_text
from tests.doubles.line_folder import (
    GENEROUS_S,
    ROOT,
    command,
    linewarden,
    part,
    running,
    told,
    write_line,
    write_parts,
)
from tests.doubles.served_panel import DESK, PHONE, chromium, log_in, served
from tests.doubles.waiting import wait_for

pytest.importorskip("pymodbus", reason="needs pip install 'linewarden[modbus]'")
pytest.importorskip("paho.mqtt", reason="needs pip install 'linewarden[mqtt]'")

from edge.sim.plc import Plc, Registers
from tests.doubles.line_peers import Broker

pytestmark = pytest.mark.slow
PAGE = "lines/line/io"
ACKNOWLEDGE, TRIGGER = 20, 30


class Memory:
    """A simulated PLC with the memory that a test reads, on a port that outlives it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.plc = self._started()

    def _started(self) -> Plc:
        return Plc(self.port, Registers(acknowledge=ACKNOWLEDGE, trigger=TRIGGER))

    def words(self, first: int = 0, count: int = 15) -> list[int]:
        return list(self.plc.client.read_holding_registers(first, count=count).registers)

    @property
    def bits(self) -> Bits:
        return Bits(self.words(count=1)[0])

    def restart(self) -> None:
        self.plc = self._started()


@pytest.fixture
def memory() -> Iterator[Memory]:
    memory = Memory(free_port())
    yield memory
    memory.plc.close()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(free_port(), tmp_path)
    broker.subscribe()
    yield broker
    broker.close()


@pytest.fixture
def line(tmp_path: Path, tiny_bundle: Bundle, memory: Memory, broker: Broker) -> Path:
    """A line with a PLC, a broker and a file, which the PLC triggers."""
    write_parts(tmp_path / "parts", part(50, spot=True), part(60))
    peer = f"host: 127.0.0.1, port: {memory.port}"
    config = write_line(
        tmp_path,
        "camera: {kind: replay, path: parts, loop: true}\ncontrol_socket: line.sock\n",
        f"trigger: {{kind: modbus, {peer}, address: {TRIGGER}, timeout_ms: 5000,"
        " frame_limit_ms: 20000}\n",
    )
    text = config.read_text()
    outputs = (
        f"  - {{kind: modbus, {peer}, acknowledge_register: {ACKNOWLEDGE}, timeout_ms: 5000}}\n"
        f"  - {{kind: mqtt, host: 127.0.0.1, port: {broker.port}, topic: test/line,"
        " client_id: station}\n"
    )
    config.write_text(text + outputs)
    return config


def shown(page: Any, driver: str) -> dict[str, str]:
    """Returns the values on the page by the names of the signals."""
    card = page.locator("section", has=page.locator("h2", has_text=driver)).first
    rows = card.locator("tbody tr").all_inner_texts()
    cells = [[cell.strip() for cell in row.replace("\n", "\t").split("\t")] for row in rows]
    return {row[0]: row[1] for row in cells if len(row) > 1}


def as_in_the_plc(memory: Memory) -> dict[str, str]:
    words = memory.words()
    bits = {str(bit.name): str(int(bit in Bits(words[0]))) for bit in Bits}
    del bits["HEARTBEAT"]  # it changes between two looks
    text = b"".join(word.to_bytes(2, "big") for word in words[TRIGGER_ID.first :])
    return {
        **bits,
        "number": str(words[SEQUENCE.first]),
        "cause": str(words[CAUSE.first]),
        "trigger id": text.rstrip(b"\0").decode(),
        "acknowledge": str(memory.words(ACKNOWLEDGE, 1)[0]),
    }


def test_the_page_has_the_memory_of_the_plc_and_pulses_when_the_line_is_stopped(
    line: Path, memory: Memory, broker: Broker
) -> None:
    with served(line) as panel, chromium() as page:
        with running(line):
            wait_for(lambda: Bits.READY in memory.bits, GENEROUS_S)
            memory.plc.announce()
            wait_for(lambda: told(line), GENEROUS_S)
            log_in(page, panel.address, "engineer")
            page.goto(f"{panel.address}/{PAGE}")
            wait_for(lambda: shown(page, "modbus").get("READY") == "1", 20)
            wait_for(lambda: shown(page, "modbus").get("acknowledge", "–") not in {"0", "–"}, 20)
            wait_for(lambda: as_in_the_plc(memory).items() <= shown(page, "modbus").items(), 20)
            wait_for(
                lambda: shown(page, "trigger").get("trigger") == str(memory.words(TRIGGER, 1)[0]),
                20,
            )
            wait_for(lambda: broker.topics.get("test/line/state") == "ready", 20)
            wait_for(lambda: shown(page, "mqtt").get("state") == "ready", 20)
            wait_for(lambda: shown(page, "mqtt").get("verdict", "").startswith('{"sequence"'), 20)
            for size in (DESK, PHONE):
                page.set_viewport_size(size)
                assert violations(page) == []
                assert page.evaluate(OVERFLOW) <= 0
            pulse_on(page, "REJECT")
            wait_for_text(page, "the line runs and holds its outputs; stop it first")
            page.goto(f"{panel.address}/{PAGE}")
            memory.plc.close()
            wait_for_text(page, r"modbus\s+✖ does not work")
        memory.restart()
        wait_for_text(page, "no answer")
        with looked_at(memory) as seen:
            pulse_on(page, "REJECT")
            page.wait_for_url(f"{panel.address}/{PAGE}")
            wait_for_text(page, "Test pulse")
        assert Bits.REJECT in seen
        assert memory.bits & ~Bits.HEARTBEAT == Bits(0)
        page.goto(f"{panel.address}/lines/line/health")
        wait_for_text(page, r"modbus REJECT, 500 ms\s+wiring of the gate\s+✔ done")


def pulse_on(page: Any, bit: str) -> None:
    page.select_option("[name=output]", "modbus")
    page.select_option("[name=signal]", bit)
    page.select_option("[name=ms]", "500")
    page.fill("[name=why]", "wiring of the gate")
    page.click("form.change button")


@contextmanager
def looked_at(memory: Memory) -> Iterator[list[Bits]]:
    """Yields the bits that the PLC has within the block, without the heartbeat."""
    seen: list[Bits] = []
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.02):
            seen.append(memory.bits & ~Bits.HEARTBEAT)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def test_a_pulse_that_is_ended_leaves_the_safe_state(line: Path, memory: Memory) -> None:
    words = ("line", "pulse", "--config", line, "--output")
    with subprocess.Popen(command(*words, "modbus", "PASS", "--ms", 10_000), cwd=ROOT) as process:
        wait_for(lambda: Bits.PASS in memory.bits, GENEROUS_S)
        process.send_signal(signal.SIGTERM)
        assert process.wait(GENEROUS_S) == 128 + signal.SIGTERM
    assert memory.bits & ~Bits.HEARTBEAT == Bits(0)
    refused = linewarden(*words, "jsonlines", "PASS")
    assert refused.returncode == 3
    assert "output jsonlines: has no bits to test" in refused.stderr
    unknown = linewarden(*words, "s7", "PASS")
    assert "no output 's7': the line has jsonlines, modbus, mqtt" in unknown.stderr
