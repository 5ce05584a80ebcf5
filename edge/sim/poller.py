"""Machines that ask the station again and again: a PLC by Modbus TCP, a client by OPC UA."""

from __future__ import annotations

import threading
import time
from abc import abstractmethod
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from edge.line.block import BLOCK_WORDS
from edge.line.handshake import Bits
from edge.line.opcua import NAMESPACE, VISION_SYSTEM
from edge.sim.base import LOOPBACK, Machine, Seen, View, bits_by_name, last_verdict
from edge.sim.counting import seen_from_words
from inspection.config.plugins import Sdk, require
from inspection.errors import LineError

if TYPE_CHECKING:
    import pymodbus
    from asyncua import sync as opcua
    from asyncua import ua
    from pymodbus import client as modbus_client
else:
    opcua, ua = Sdk("asyncua.sync"), Sdk("asyncua.ua")
    pymodbus, modbus_client = Sdk("pymodbus"), Sdk("pymodbus.client")

_PERIOD_S = 0.003
_ABSENT_S = 0.01  # until the next look at a station that is not there


class Poller(Machine):
    """Looks every few milliseconds, and acknowledges each new verdict; hung, it does neither.

    Args:
        title: kind and address, for people.
    """

    def __init__(self, title: str) -> None:
        super().__init__()
        self.looks = 0
        self.bits = Bits(0)
        self._title = title
        self._ended = False
        self._last: int | None = None
        self._stepping = threading.Lock()
        self._thread = threading.Thread(target=self._poll, name=title, daemon=True)

    def start(self) -> None:
        """Begins to look; the station may come later."""
        self._thread.start()

    def hang(self) -> None:
        """Implements `Machine.hang`: returns when the look in progress has ended."""
        super().hang()
        with self._stepping:
            pass

    @abstractmethod
    def look(self) -> tuple[Bits, Seen]:
        """Returns the status word, and the verdict that is shown with it."""

    @abstractmethod
    def acknowledge(self, sequence: int) -> None:
        """Tells the station that its verdict was taken."""

    @abstractmethod
    def failures(self) -> tuple[type[Exception], ...]:
        """Returns the errors of the library for a station that is not there."""

    @abstractmethod
    def forget(self) -> None:
        """Lets go of a broken connection."""

    def view(self) -> View:
        """Implements `Machine.view`."""
        words = {"looks": self.looks, **last_verdict(self.seen)}
        return View(self._title, bits_by_name(self.bits), words)

    def close(self) -> None:
        """Implements `Machine.close`."""
        super().close()
        self._ended = True
        self._thread.join()
        self.forget()

    def _poll(self) -> None:
        while not self._ended:
            with self._stepping:
                if self.running.is_set():
                    self._step()
            time.sleep(_PERIOD_S)

    def _step(self) -> None:
        try:
            self.bits, seen = self.look()
            self.looks += 1
            if Bits.RESULT_VALID in self.bits and seen.sequence != self._last:
                self._last = seen.sequence
                self.seen.append(seen)
                self.acknowledge(seen.sequence or 0)
        except self.failures():
            self.bits = Bits(0)
            self.forget()
            time.sleep(_ABSENT_S)


class PollingPlc(Poller):
    """A PLC that reads the input registers of the station.

    Args:
        register_address: where the block begins.
        acknowledge_register: None: it acknowledges nothing.
    """

    def __init__(
        self,
        port: int,
        *,
        host: str = LOOPBACK,
        device_id: int = 1,
        register_address: int = 0,
        acknowledge_register: int | None = None,
    ) -> None:
        require("the simulated PLC", "pymodbus", "pip install 'linewarden[modbus]'", LineError)
        super().__init__(f"polling PLC of {host}:{port}")
        self._device_id = device_id
        self._address, self._acknowledge = register_address, acknowledge_register
        self._client = modbus_client.ModbusTcpClient(host, port=port, timeout=0.5, retries=0)

    def look(self) -> tuple[Bits, Seen]:
        """Implements `Poller.look`."""
        response = self._client.read_input_registers(
            self._address, count=BLOCK_WORDS, device_id=self._device_id
        )
        if response.isError():
            raise pymodbus.ModbusException(f"exception code {response.exception_code}")
        return Bits(response.registers[0]), seen_from_words(response.registers)

    def acknowledge(self, sequence: int) -> None:
        """Implements `Poller.acknowledge`."""
        if self._acknowledge is not None:
            self._client.write_register(self._acknowledge, sequence, device_id=self._device_id)

    def failures(self) -> tuple[type[Exception], ...]:
        """Implements `Poller.failures`."""
        return (OSError, pymodbus.ModbusException)

    def forget(self) -> None:
        """Implements `Poller.forget`."""
        self._client.close()  # type: ignore[no-untyped-call]


class OpcUaClient(Poller):
    """An OPC UA client that reads all nodes of a verdict at once."""

    _NAMES = ("Valid", "Pass", "Reject", "SequenceNumber", "ResultId")
    _STATES = {"Ready": Bits.READY, "SingleExecution": Bits.BUSY, "Error": Bits.FAULT}  # noqa: RUF012

    def __init__(self, port: int, host: str = LOOPBACK) -> None:
        require("the simulated client", "asyncua", "pip install 'linewarden[opcua]'", LineError)
        super().__init__(f"OPC UA client of {host}:{port}")
        self._url = f"opc.tcp://{host}:{port}/linewarden"
        self._client: opcua.Client | None = None

    def look(self) -> tuple[Bits, Seen]:
        """Implements `Poller.look`."""
        if self._client is None:
            client = opcua.Client(self._url, timeout=1)
            try:
                client.connect()
            except (OSError, ua.uaerrors.UaError):
                client.tloop.stop()
                raise
            self._client = client
        nodes = [self._node(f"Result.{name}") for name in self._NAMES]
        nodes += [self._node("CurrentState"), self._node("Heartbeat")]
        values = self._client.read_values(nodes)
        valid, is_pass, is_reject, sequence, trigger_id, state, beats = values
        bits = Bits.RESULT_VALID * valid | Bits.PASS * is_pass | Bits.REJECT * is_reject
        bits |= self._STATES.get(state, Bits(0)) | Bits.HEARTBEAT * (beats % 2)
        return Bits(bits), Seen(trigger_id, is_pass, is_reject, sequence)

    def acknowledge(self, sequence: int) -> None:
        """Implements `Poller.acknowledge`."""
        value = ua.DataValue(ua.Variant(sequence, ua.VariantType.UInt16))
        self._node("AcknowledgedSequence").write_value(value)

    def failures(self) -> tuple[type[Exception], ...]:
        """Implements `Poller.failures`."""
        return (OSError, ua.uaerrors.UaError)

    def forget(self) -> None:
        """Implements `Poller.forget`."""
        client, self._client = self._client, None
        if client is not None:
            with suppress(OSError, ua.uaerrors.UaError):
                client.disconnect()

    def _node(self, name: str) -> Any:
        if self._client is None:
            raise ConnectionError("no connection")
        index = self._client.get_namespace_index(NAMESPACE)
        return self._client.get_node(f"ns={index};s={VISION_SYSTEM}.{name}")
