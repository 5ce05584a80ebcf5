"""The other end of each output, on loopback: the machines of `edge.sim` with the tests' registers.

A peer notes the verdicts it takes, can hang, and says what it sees at the moment.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from edge.encoder import Encoder
from edge.line import EtherNetIpConfig, GpioConfig, S7Config
from edge.line.block import BLOCK_WORDS as BLOCK
from edge.line.gate import GateConfig
from edge.line.gpio import Gpio
from edge.line.gpio_lines import GpioRole
from edge.line.handshake import Bits
from edge.sim.base import History, Machine, Seen, View, free_port
from edge.sim.broker import Broker as SimulatedBroker
from edge.sim.controllers import LogixPlc as SimulatedLogix
from edge.sim.controllers import S7Plc as SimulatedS7
from edge.sim.pins import Pins as SimulatedPins
from edge.sim.plc import Plc, Registers
from edge.sim.poller import OpcUaClient, Poller, PollingPlc
from edge.sim.receiver import Receiver as SimulatedReceiver
from inspection.errors import LineError
from tests.doubles.waiting import wait_for

__all__ = ["ACKNOWLEDGE_REGISTER", "BLOCK", "Broker", "File", "Peer", "Pins", "PlcClient"]
__all__ += ["LogixPlc", "PlcServer", "Receiver", "S7Plc", "Seen", "UaClient", "closing"]
__all__ += ["free_port", "wait_for"]

ACKNOWLEDGE_REGISTER = 40
DATA_BLOCK, ACKNOWLEDGE_BYTE = 10, 30
TRAVEL_MS = 400.0  # to the gate, longer than a busy machine needs for a verdict


LINES: dict[GpioRole, str] = {
    "pass": "PASS",
    "reject": "REJECT",
    "ready": "READY",
    "busy": "BUSY",
    "fault": "FAULT",
    "result_valid": "VALID",
    "gate": "GATE",
    "heartbeat": "BEAT",
}


class Peer(Machine):
    """What all have in common for the contract."""

    SETTLED_S = 0.0

    def shown(self) -> Bits:
        """Returns the bits that the line sees now: PASS, REJECT, the states and HEARTBEAT count."""
        time.sleep(self.SETTLED_S)
        bits = Bits(0)
        for name, is_on in self.view().bits.items():
            bits |= Bits[name] if is_on and name in Bits.__members__ else Bits(0)
        return bits

    def meet(self) -> None:
        """Wait until it is connected to the station, where that is up to it."""


class PlcServer(Plc, Peer):
    """A PLC that is written to."""

    SETTLED_S = 0.05

    def __init__(self, port: int, *, acknowledges: bool = True) -> None:
        registers = Registers(acknowledge=ACKNOWLEDGE_REGISTER)
        super().__init__(port, registers, acknowledges=acknowledges)


class S7Plc(SimulatedS7, Peer):
    """A PLC that is written to by S7, with the block at the beginning of `DATA_BLOCK`."""

    SETTLED_S = 0.05

    def __init__(self, port: int, *, acknowledges: bool = True) -> None:
        places = {"db": DATA_BLOCK, "acknowledge_byte": ACKNOWLEDGE_BYTE}
        output = S7Config(kind="s7", host="127.0.0.1", **places)
        super().__init__(port, [output], acknowledges=acknowledges)


class LogixPlc(SimulatedLogix, Peer):
    """A controller that is written to by EtherNet/IP, with the tags `Verdict` and `Taken`."""

    SETTLED_S = 0.05

    def __init__(self, port: int, *, acknowledges: bool = True) -> None:
        places = {"tag": "Verdict", "acknowledge_tag": "Taken"}
        output = EtherNetIpConfig(kind="ethernet_ip", host="127.0.0.1", **places)
        super().__init__(port, [output], acknowledges=acknowledges)


class _Looking(Poller, Peer):
    def meet(self) -> None:
        looks = self.looks
        wait_for(lambda: self.looks > looks + 1)

    def shown(self) -> Bits:
        self.meet()
        return self.bits


class PlcClient(PollingPlc, _Looking):
    """A PLC that polls the station."""

    def __init__(self, port: int) -> None:
        super().__init__(port, acknowledge_register=ACKNOWLEDGE_REGISTER)


class UaClient(OpcUaClient, _Looking):
    """An OPC UA client that reads all nodes at once."""


class Broker(SimulatedBroker, Peer):
    """mosquitto and a subscriber to everything."""

    SETTLED_S = 0.1

    def __init__(self, port: int, folder: Path, settings: str = "allow_anonymous true\n") -> None:
        try:
            super().__init__(port, folder, settings, topic="test/line")
        except LineError as error:
            if "apt install" not in str(error):
                raise
            pytest.skip(str(error))

    def shown(self) -> Bits:
        return super().shown() & ~(Bits.PASS | Bits.REJECT | Bits.REVIEW | Bits.NO_VERDICT)


class Receiver(SimulatedReceiver, Peer):
    """A web server."""


class Pins(SimulatedPins, Peer):
    """The kernel's GPIO lines: a double of the little of `gpiod` that is used."""

    SETTLED_S = 0.03  # the pulses are over

    def __init__(self) -> None:
        super().__init__(LINES)

    def output(self, encoder: Encoder | None = None, **settings: Any) -> Gpio:
        defaults: dict[str, Any] = {
            "kind": "gpio",
            "chip": Path("/dev/gpiochip0"),
            "lines": LINES,
            "pulse_ms": 10.0,
            "gap_ms": 2.0,
            "gate": GateConfig(travel_ms=TRAVEL_MS, pulse_ms=10.0, tolerance=1000.0, unseen="pass"),
            "timeout_ms": 2000.0,
        }
        config = GpioConfig.model_validate(defaults | settings)
        return Gpio(config, encoder, self.request_lines)


class File(Peer):
    """A file of JSON lines."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    @property
    def seen(self) -> History[Seen]:
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        seen: History[Seen] = History()
        for line in lines:
            trigger_id, verdict = (json.loads(line)[key] for key in ("trigger_id", "verdict"))
            seen.append(Seen(trigger_id, verdict == "PASS", verdict in ("REVIEW", "REJECT")))
        return seen

    @seen.setter
    def seen(self, _value: History[Seen]) -> None:
        pass

    def view(self) -> View:
        return View(str(self.path), {}, {})


@contextmanager
def closing(peer: Any) -> Iterator[Any]:
    try:
        yield peer
    finally:
        peer.close()
