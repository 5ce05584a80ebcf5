"""The other end of each output, on loopback: what a PLC, a broker or a client does.

A peer notes the verdicts it takes, can hang, and says what it sees at the moment.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from edge.encoder import Encoder
from edge.line import GpioConfig
from edge.line.gate import GateConfig
from edge.line.gpio import Gpio
from edge.line.handshake import Bits
from edge.line.opcua import NAMESPACE
from edge.peers.loop_thread import LoopThread
from inspection.config.plugins import Sdk
from inspection.verdict import Verdict
from tests.doubles.logix import DINT, Logix, Tag

if TYPE_CHECKING:
    import pymodbus
    from asyncua import sync as opcua
    from asyncua import ua
    from gpiod.line import Value
    from paho.mqtt import client as paho
    from paho.mqtt import enums
    from pymodbus import client as modbus_client
    from pymodbus import server as modbus_server
    from pymodbus import simulator

    from tests.doubles import s7_controller as s7
else:
    opcua, ua = Sdk("asyncua.sync"), Sdk("asyncua.ua")
    paho, enums = Sdk("paho.mqtt.client"), Sdk("paho.mqtt.enums")
    pymodbus, modbus_client = Sdk("pymodbus"), Sdk("pymodbus.client")
    modbus_server, simulator = Sdk("pymodbus.server"), Sdk("pymodbus.simulator")
    s7 = Sdk("tests.doubles.s7_controller")  # with a class of snap7 as base

ACKNOWLEDGE_REGISTER = 40
DATA_BLOCK, ACKNOWLEDGE_BYTE = 10, 30
BLOCK = 15


class Seen(NamedTuple):
    """A verdict that the line took; None where it does not say."""

    trigger_id: str | None
    is_pass: bool
    is_reject: bool
    sequence: int | None = None


class Peer:
    """What all have in common."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.running = threading.Event()
        self.running.set()

    def shown(self) -> Bits:
        """Returns the bits that the line sees now: PASS, REJECT, the states and HEARTBEAT count."""
        return Bits(0)

    def meet(self) -> None:
        """Wait until it is connected to the station, where that is up to it."""

    def hang(self) -> None:
        self.running.clear()

    def wake(self) -> None:
        self.running.set()

    def close(self) -> None:
        self.wake()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for(condition: Callable[[], object], limit_s: float = 5.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)


def seen_from_registers(registers: Sequence[int]) -> Seen:
    bits = Bits(registers[0])
    text = b"".join(word.to_bytes(2, "big") for word in registers[3:BLOCK]).rstrip(b"\0").decode()
    return Seen(text, Bits.PASS in bits, Bits.REJECT in bits, registers[1])


class CountingPlc(Peer):
    """A PLC that is written to and counts parts by the rule of `edge.line.handshake`.

    Hung, it keeps what arrives and works it off when it wakes.
    """

    def __init__(self, port: int, *, acknowledges: bool = True) -> None:
        super().__init__()
        self.port = port
        self.writes: list[list[int]] = []
        self.acknowledges = acknowledges
        self._awaited: int | None = None

    def take(self, words: Sequence[int]) -> int | None:
        """Takes a block that was written; returns the number to acknowledge."""
        was_ready = Bits.READY in self.shown_bits()
        self.writes.append([int(word) for word in words])
        bits, number = self.shown_bits(), self.writes[-1][1]
        if Bits.RESULT_VALID not in bits:
            if Bits.READY in bits and not was_ready:
                self._awaited = number % 65535 + 1
        elif number == self._awaited:
            self._awaited = number % 65535 + 1
            self.seen.append(seen_from_registers(self.writes[-1]))
            return number if self.acknowledges else None
        return None

    def shown_bits(self) -> Bits:
        return Bits(self.writes[-1][0]) if self.writes else Bits(0)

    def shown(self) -> Bits:
        time.sleep(0.05)
        return self.shown_bits()


class PlcServer(CountingPlc):
    """A PLC that is written to by Modbus."""

    def __init__(self, port: int, *, acknowledges: bool = True) -> None:
        super().__init__(port, acknowledges=acknowledges)
        self._loop = LoopThread("plc")
        self._server = self._loop.run(self._start(port), 5.0)

    async def _start(self, port: int) -> modbus_server.ModbusTcpServer:
        bits = [simulator.SimData(0, count=16, values=False, datatype=simulator.DataType.BITS)]
        words = [simulator.SimData(0, count=64, datatype=simulator.DataType.REGISTERS)]
        unused = [simulator.SimData(0, count=1, datatype=simulator.DataType.REGISTERS)]
        device = simulator.SimDevice(
            1, simdata=(bits, list(bits), words, unused), action=self._on_access
        )
        server = modbus_server.ModbusTcpServer(device, address=("127.0.0.1", port))
        await server.serve_forever(background=True)
        return server

    async def _on_access(
        self,
        _function: int,
        _start: int,
        _address: int,
        _count: int,
        registers: list[int],
        values: list[int] | list[bool] | None,
    ) -> None:
        while not self.running.is_set():
            await asyncio.sleep(0.005)
        if values is None or len(values) != BLOCK:
            return
        number = self.take(values)
        if number is not None:
            registers[ACKNOWLEDGE_REGISTER] = number

    def close(self) -> None:
        super().close()
        self._loop.run(self._server.shutdown(), 5.0)  # type: ignore[no-untyped-call]
        self._loop.stop()


class S7Plc(CountingPlc):
    """A PLC that is written to by S7, with the block at the beginning of `DATA_BLOCK`."""

    def __init__(self, port: int, *, acknowledges: bool = True) -> None:
        super().__init__(port, acknowledges=acknowledges)
        self._controller = s7.S7Controller(port, {DATA_BLOCK: bytearray(64)})
        self._controller.running = self.running
        self._controller.on_write = self._on_write

    def _on_write(self, db: int, first: int, size: int) -> None:
        data = self._controller.blocks[db]
        if (first, size) != (0, 2 * BLOCK):
            return
        words = [int.from_bytes(data[at : at + 2], "big") for at in range(0, size, 2)]
        number = self.take(words)
        if number is not None:
            data[ACKNOWLEDGE_BYTE : ACKNOWLEDGE_BYTE + 2] = number.to_bytes(2, "big")

    def close(self) -> None:
        super().close()
        self._controller.close()


class LogixPlc(CountingPlc):
    """A controller that is written to by EtherNet/IP, with the tags `Verdict` and `Taken`."""

    def __init__(self, port: int, *, acknowledges: bool = True) -> None:
        super().__init__(port, acknowledges=acknowledges)
        self._tags = {"Verdict": Tag(DINT, [0] * BLOCK), "Taken": Tag(DINT, [0])}
        self._controller = Logix(port, self._tags)
        self._controller.running = self.running
        self._controller.on_write = self._on_write

    def _on_write(self, _tag: str) -> None:
        number = self.take(self._tags["Verdict"].values)
        if number is not None:
            self._tags["Taken"].values[0] = number

    def close(self) -> None:
        super().close()
        self._controller.close()


class Poller(Peer):
    """Looks again and again, and acknowledges; hung, it does neither."""

    def __init__(self) -> None:
        super().__init__()
        self._ended = False
        self._bits = Bits(0)
        self._looks = 0
        self._last: int | None = None
        self._stepping = threading.Lock()
        self._thread = threading.Thread(target=self._poll, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def hang(self) -> None:
        super().hang()
        with self._stepping:
            pass  # the step in progress has ended

    def look(self) -> tuple[Bits, Seen]:
        raise NotImplementedError

    def acknowledge(self, sequence: int) -> None:
        raise NotImplementedError

    def failures(self) -> tuple[type[Exception], ...]:
        """The errors of the library for a station that is not there."""
        raise NotImplementedError

    def _poll(self) -> None:
        while not self._ended:
            with self._stepping:
                if self.running.is_set():
                    self._step()
            time.sleep(0.003)

    def _step(self) -> None:
        try:
            self._bits, seen = self.look()
            self._looks += 1
            if Bits.RESULT_VALID in self._bits and seen.sequence != self._last:
                self._last = seen.sequence
                self.seen.append(seen)
                self.acknowledge(seen.sequence or 0)
        except self.failures():
            self.forget()  # the station is not there
            time.sleep(0.01)

    def forget(self) -> None:
        """Let go of a broken connection."""

    def meet(self) -> None:
        looks = self._looks
        wait_for(lambda: self._looks > looks + 1)

    def shown(self) -> Bits:
        self.meet()
        return self._bits

    def close(self) -> None:
        super().close()
        self._ended = True
        self._thread.join()


class PlcClient(Poller):
    """A PLC that polls the station."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._client = modbus_client.ModbusTcpClient("127.0.0.1", port=port, timeout=0.5, retries=0)

    def look(self) -> tuple[Bits, Seen]:
        registers = self._client.read_input_registers(0, count=BLOCK).registers
        return Bits(registers[0]), seen_from_registers(registers)

    def acknowledge(self, sequence: int) -> None:
        self._client.write_register(ACKNOWLEDGE_REGISTER, sequence)

    def failures(self) -> tuple[type[Exception], ...]:
        return (OSError, pymodbus.ModbusException)

    def close(self) -> None:
        super().close()
        self._client.close()  # type: ignore[no-untyped-call]


class UaClient(Poller):
    """An OPC UA client that reads all nodes at once."""

    NAMES = ("Valid", "Pass", "Reject", "SequenceNumber", "ResultId")

    def __init__(self, port: int) -> None:
        super().__init__()
        self._url = f"opc.tcp://127.0.0.1:{port}/linewarden"
        self._client: opcua.Client | None = None

    def look(self) -> tuple[Bits, Seen]:
        if self._client is None:
            client = opcua.Client(self._url, timeout=1)
            try:
                client.connect()
            except (OSError, ua.uaerrors.UaError):
                client.tloop.stop()
                raise
            self._client = client
        nodes = [self._node(f"Result.{name}") for name in self.NAMES]
        nodes += [self._node("CurrentState"), self._node("Heartbeat")]
        values = self._client.read_values(nodes)
        valid, is_pass, is_reject, sequence, trigger_id, state, beats = values
        bits = Bits.RESULT_VALID * valid | Bits.PASS * is_pass | Bits.REJECT * is_reject
        states = {"Ready": Bits.READY, "SingleExecution": Bits.BUSY, "Error": Bits.FAULT}
        bits |= states.get(state, Bits(0)) | Bits.HEARTBEAT * (beats % 2)
        return Bits(bits), Seen(trigger_id, is_pass, is_reject, sequence)

    def acknowledge(self, sequence: int) -> None:
        value = ua.DataValue(ua.Variant(sequence, ua.VariantType.UInt16))
        self._node("AcknowledgedSequence").write_value(value)

    def failures(self) -> tuple[type[Exception], ...]:
        return (OSError, ua.uaerrors.UaError)

    def _node(self, name: str) -> Any:
        assert self._client is not None
        index = self._client.get_namespace_index(NAMESPACE)
        return self._client.get_node(f"ns={index};s=VisionSystem.{name}")

    def forget(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(OSError, ua.uaerrors.UaError):
                client.disconnect()

    def close(self) -> None:
        super().close()
        self.forget()


class Broker(Peer):
    """mosquitto and a subscriber to everything."""

    def __init__(self, port: int, folder: Path, settings: str = "allow_anonymous true\n") -> None:
        super().__init__()
        program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
        if program is None:
            pytest.skip("needs mosquitto (apt install mosquitto)")
        self.port = port
        self.topics: dict[str, str] = {}
        self.verdicts: list[dict[str, Any]] = []
        (folder / "mosquitto.conf").write_text(f"listener {port} 127.0.0.1\n{settings}")
        self._command = [program, "-c", str(folder / "mosquitto.conf")]
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for(self._listens)

    def subscribe(self) -> None:
        self._client = paho.Client(enums.CallbackAPIVersion.VERSION2)
        self._client.on_message = self._on_message
        self._client.connect("127.0.0.1", self.port)
        self._client.subscribe("#", qos=1)
        self._client.loop_start()

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 0.1).close()
        except OSError:
            return False
        return True

    def _on_message(
        self, _client: paho.Client, _userdata: object, message: paho.MQTTMessage
    ) -> None:
        self.topics[message.topic] = message.payload.decode()
        if not message.topic.endswith("/verdict"):
            return
        verdict = json.loads(message.payload)
        self.verdicts.append(verdict)
        kind = Verdict(verdict["verdict"])
        if verdict["trigger_id"] not in [seen.trigger_id for seen in self.seen]:
            is_reject = kind in (Verdict.REJECT, Verdict.REVIEW)
            self.seen.append(Seen(verdict["trigger_id"], kind is Verdict.PASS, is_reject))

    def shown(self) -> Bits:
        time.sleep(0.1)
        states = {"ready": Bits.READY, "busy": Bits.BUSY, "fault": Bits.FAULT}
        beats = int(self.topics.get("test/line/heartbeat", "0"))
        state = states.get(self.topics.get("test/line/state", ""), Bits(0))
        return Bits(state | Bits.HEARTBEAT * (beats % 2))

    def hang(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        super().close()
        self._client.disconnect()
        self._client.loop_stop()
        self.kill()


class Pins(Peer):
    """The kernel's GPIO lines: a double of the little of `gpiod` that is used."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, bool] = {}
        self.history: list[tuple[int, dict[str, bool]]] = []
        self.error: OSError | None = None
        self.settings: dict[str, Any] = {}
        self.is_released = True

    def request_lines(self, _path: str, *, consumer: str, config: dict[str, Any]) -> Pins:
        assert consumer == "linewarden"
        if self.error is not None:
            raise self.error
        if not self.is_released:
            raise OSError(16, "Device or resource busy")
        self.settings = config
        self.values = dict.fromkeys(config, False)
        self.is_released = False
        return self

    def set_values(self, values: dict[int | str, Value]) -> None:
        assert not self.is_released
        if self.error is not None:
            raise self.error
        self.running.wait()
        before = self.values.get("VALID")
        self.values = self.values | {str(name): bool(value) for name, value in values.items()}
        self.history.append((time.monotonic_ns(), dict(self.values)))
        if self.values.get("VALID") and not before:
            self.seen.append(Seen(None, self.values["PASS"], self.values["REJECT"]))

    def release(self) -> None:
        self.is_released = True

    def shown(self) -> Bits:
        time.sleep(0.03)  # the pulses are over
        names = {"PASS": Bits.PASS, "REJECT": Bits.REJECT, "READY": Bits.READY, "BUSY": Bits.BUSY}
        names |= {"FAULT": Bits.FAULT, "BEAT": Bits.HEARTBEAT}
        bits = Bits(0)
        for name, bit in names.items():
            bits |= bit if self.values.get(name) else Bits(0)
        return bits

    def output(self, encoder: Encoder | None = None, **settings: Any) -> Gpio:
        lines = {role: role.upper() for role in ("pass", "reject", "ready", "busy", "fault")}
        lines |= {"result_valid": "VALID", "gate": "GATE", "heartbeat": "BEAT"}
        defaults: dict[str, Any] = {
            "kind": "gpio",
            "chip": Path("/dev/gpiochip0"),
            "lines": lines,
            "pulse_ms": 10.0,
            "gap_ms": 2.0,
            "gate": GateConfig(travel_ms=60.0, pulse_ms=10.0, tolerance=1000.0, unseen="pass"),
            "timeout_ms": 100.0,
        }
        config = GpioConfig.model_validate(defaults | settings)
        return Gpio(config, encoder, self.request_lines)


class Receiver(Peer):
    """A web server."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.status = 204
        peer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                peer.running.wait()
                peer.take(dict(self.headers), body)
                self.send_response(peer.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_args: None  # type: ignore[method-assign]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def take(self, headers: dict[str, str], body: bytes) -> None:
        self.requests.append((headers, body))
        if headers["Idempotency-Key"] in [seen.trigger_id for seen in self.seen]:
            return
        verdict = Verdict(json.loads(body)["verdict"])
        is_reject = verdict in (Verdict.REJECT, Verdict.REVIEW)
        self.seen.append(Seen(headers["Idempotency-Key"], verdict is Verdict.PASS, is_reject))

    def close(self) -> None:
        super().close()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class File(Peer):
    """A file of JSON lines."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    @property
    def seen(self) -> list[Seen]:
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        records = [json.loads(line) for line in lines]
        return [
            Seen(r["trigger_id"], r["verdict"] == "PASS", r["verdict"] in ("REVIEW", "REJECT"))
            for r in records
        ]

    @seen.setter
    def seen(self, _value: list[Seen]) -> None:
        pass


@contextmanager
def closing(peer: Any) -> Iterator[Any]:
    try:
        yield peer
    finally:
        peer.close()
