"""OPC UA: the station as server, with names from OPC 40100-1 (Machine Vision, Control).

::

    Objects/VisionSystem
        CurrentState           Initialized, Ready, SingleExecution, Error, Halted
        Heartbeat              a counter, which moves with every change
        AcknowledgedSequence   written by the client: number of the last verdict it took
        Result
            Valid              the nodes below belong to one part, and Pass and Reject hold
            Pass, Reject       two signals, never both
            Review             with Reject: a person should look at the part
            SequenceNumber     1 to 65535; 0 before the first
            ResultId           the trigger id
            PartId             what the line calls the part; empty when it does not say
            ResultState        1 completed, 4 failed (NO_VERDICT)
            InternalRecipeId   the recipe
            ExternalRecipeId   its number, as a PLC asks for it; empty where it has none
            CreationTime       UTC
            ResultContent      the record as JSON

Heartbeat, AcknowledgedSequence, Valid, Pass, Reject, Review and SequenceNumber are additions. The
node set and the methods of the specification are not offered. The nodes of a verdict change
together between two requests: read them by one Read request, or take ResultContent alone.
"""

from __future__ import annotations

import asyncio
import atexit
import logging
from collections.abc import Callable, Coroutine
from datetime import datetime, timezone
from functools import partial
from typing import Any

from asyncua import ua
from asyncua.server.server import Server
from asyncua.ua.uaerrors import UaError

from edge.errors import LineError
from edge.line.access import OpcUaSecurity
from edge.line.base import StationState
from edge.line.handshake import Bits, Handshake, Signals, fresh_sequence
from edge.line.loop_thread import LoopThread
from edge.line.opcua_access import protect
from edge.records import InspectionRecord
from edge.verdict import Verdict

NAMESPACE = "urn:linewarden:line"
VISION_SYSTEM = "VisionSystem"

_START_S = 30.0  # the standard address space is built; 1.3 s on a desktop
_STOP_S = 5.0
_ACKNOWLEDGE_POLL_S = 0.002
_NODES: dict[str, tuple[ua.VariantType, Any]] = {
    "CurrentState": (ua.VariantType.String, "Initialized"),
    "Heartbeat": (ua.VariantType.UInt32, 0),
    "AcknowledgedSequence": (ua.VariantType.UInt16, 0),
    "Result.Valid": (ua.VariantType.Boolean, False),
    "Result.Pass": (ua.VariantType.Boolean, False),
    "Result.Reject": (ua.VariantType.Boolean, False),
    "Result.Review": (ua.VariantType.Boolean, False),
    "Result.SequenceNumber": (ua.VariantType.UInt16, 0),
    "Result.ResultId": (ua.VariantType.String, ""),
    "Result.PartId": (ua.VariantType.String, ""),
    "Result.ResultState": (ua.VariantType.Int32, 0),
    "Result.InternalRecipeId": (ua.VariantType.String, ""),
    "Result.ExternalRecipeId": (ua.VariantType.String, ""),
    "Result.CreationTime": (ua.VariantType.DateTime, datetime(1970, 1, 1, tzinfo=timezone.utc)),
    "Result.ResultContent": (ua.VariantType.String, ""),
}
_STATES = {Bits.FAULT: "Error", Bits.BUSY: "SingleExecution", Bits.READY: "Ready"}
_IDLE = "Initialized"
_COMPLETED, _FAILED = 1, 4

_log = logging.getLogger(__name__)


class OpcUa:
    """Holds the verdicts ready for OPC UA clients.

    Args:
        host: address to listen on; 0.0.0.0 for every network of the device.
        port: TCP port, 4840 as a rule.
        security: certificates and password; None for a server open to everybody.
        acknowledge: `send` waits until a client has written AcknowledgedSequence.
        hold_ms: how long a verdict stands at least where nothing is acknowledged.
        timeout_ms: limit of `send` and `show`.
    """

    def __init__(
        self,
        *,
        host: str,
        port: int,
        security: OpcUaSecurity | None,
        acknowledge: bool,
        hold_ms: float,
        timeout_ms: float,
    ) -> None:
        self._name = f"opcua {host}:{port}"
        self._url = f"opc.tcp://{host}:{port}/linewarden"
        self._security = security
        self._acknowledge = acknowledge
        self._timeout_ms = timeout_ms
        self._handshake = Handshake(
            acknowledged=acknowledge, hold_ms=hold_ms, sequence=fresh_sequence()
        )
        self._beats = 0
        self._namespace = 0
        self._loop: LoopThread | None = None
        self._server: Server | None = None

    def open(self) -> None:
        """Start the server, unless it runs already; see `LineOutput.open`."""
        if self._server is not None:
            self._call(lambda: self._safe(fault=False), "hangs; restart the service")
            return
        self._loop = LoopThread(self._name)
        try:
            self._server = self._loop.run(self._start(), _START_S)
        except (OSError, ValueError, UaError) as error:
            self.close()
            hint = "check host, port and the files of the certificate"
            raise LineError(f"{self._name}: cannot be opened: {error}; {hint}") from error
        except LineError:
            self.close()
            raise
        atexit.register(self.close)
        self._call(lambda: self._safe(fault=False), "hangs; restart the service")

    def send(self, record: InspectionRecord) -> None:
        """Show one verdict, and wait for its acknowledge if asked to; see `LineOutput.send`."""
        what = f"no client acknowledged the verdict of {record.trigger_id}; check the client"
        self._call(partial(self._tell, record), what)

    def show(self, state: StationState) -> None:
        """Show the station's state; see `LineOutput.show`."""
        self._call(lambda: self._hold(self._handshake.show(state)), "hangs; restart the service")

    def close(self) -> None:
        """Go to the safe state and stop the server; see `LineOutput.close`."""
        atexit.unregister(self.close)
        loop, self._loop = self._loop, None
        server, self._server = self._server, None
        if loop is None:
            return
        if server is not None:
            try:
                loop.run(self._stop(server), _STOP_S)
            except (OSError, UaError) as error:
                _log.warning("%s: cannot be closed: %s", self._name, error)
        loop.stop()

    def _call(self, work: Callable[[], Coroutine[Any, Any, None]], what: str) -> None:
        if self._loop is None or self._server is None:
            raise LineError(f"{self._name}: the output is not open")
        try:
            self._loop.run(work(), self._timeout_ms / 1e3)
        except (OSError, UaError) as error:
            self._loop.start(self._safe(fault=True))
            raise LineError(f"{self._name}: {what}: {error}") from error

    async def _start(self) -> Server:
        server = Server()
        await server.init()
        server.set_endpoint(self._url)
        server.set_server_name("Linewarden")
        await server.set_application_uri(NAMESPACE)
        await protect(server, self._security)
        self._namespace = await server.register_namespace(NAMESPACE)
        folders = {"": await server.nodes.objects.add_object(self._node_id(""), VISION_SYSTEM)}
        folders["Result"] = await folders[""].add_object(self._node_id("Result"), "Result")
        for name, (kind, value) in _NODES.items():
            folder, _, browse_name = name.rpartition(".")
            qualified = ua.QualifiedName(browse_name, ua.UInt16(self._namespace))
            node = await folders[folder].add_variable(self._node_id(name), qualified, value, kind)
            if name == "AcknowledgedSequence":
                await node.set_writable()
        await server.start()
        return server

    async def _tell(self, record: InspectionRecord) -> None:
        number = record.recipe_number
        judged = record.verdict is not Verdict.NO_VERDICT
        await self._hold(
            self._handshake.result(record),
            {
                "Result.ResultId": record.trigger_id,
                "Result.PartId": record.part_id or "",
                "Result.ResultState": _COMPLETED if judged else _FAILED,
                "Result.InternalRecipeId": record.recipe,
                "Result.ExternalRecipeId": "" if number is None else str(number),
                "Result.CreationTime": record.triggered_utc,
                "Result.ResultContent": record.model_dump_json(),
            },
        )
        while self._acknowledge and not self._handshake.takes(self._acknowledged()):
            await asyncio.sleep(_ACKNOWLEDGE_POLL_S)
        if self._acknowledge:
            await self._hold(self._handshake.signals)

    def _acknowledged(self) -> int:
        if self._server is None:
            return 0
        value = self._server.read_attribute_value(self._node_id("AcknowledgedSequence")).Value
        return int(value.Value) if value is not None else 0

    async def _safe(self, *, fault: bool) -> None:
        await self._hold(self._handshake.safe(fault=fault))

    async def _stop(self, server: Server) -> None:
        self._server = server
        await self._hold(self._handshake.safe(fault=False), {"CurrentState": "Halted"})
        self._server = None
        await server.stop()

    async def _hold(self, signals: Signals, values: dict[str, Any] | None = None) -> None:
        """Write the nodes; nothing in here waits, so that no request comes between two of them."""
        self._beats = (self._beats + 1) % 2**32
        shown = {
            "CurrentState": next((n for bit, n in _STATES.items() if bit in signals.bits), _IDLE),
            "Heartbeat": self._beats,
            "Result.Valid": Bits.RESULT_VALID in signals.bits,
            "Result.Pass": Bits.PASS in signals.bits,
            "Result.Reject": Bits.REJECT in signals.bits,
            "Result.Review": Bits.REVIEW in signals.bits,
            "Result.SequenceNumber": signals.sequence,
        }
        if self._server is None:
            raise ConnectionError("the server is closed")
        for name, value in (shown | (values or {})).items():
            data = ua.DataValue(ua.Variant(value, _NODES[name][0]))
            await self._server.write_attribute_value(self._node_id(name), data)

    def _node_id(self, name: str) -> ua.NodeId:
        identifier = ua.String(f"{VISION_SYSTEM}.{name}".rstrip("."))
        return ua.NodeId(identifier, ua.Int16(self._namespace))
