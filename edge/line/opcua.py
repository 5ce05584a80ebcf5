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
            PartId             the name of the part on the line; empty without one
            ResultState        1 completed, 4 failed (NO_VERDICT)
            InternalRecipeId   the recipe
            ExternalRecipeId   its number, as a PLC requests it; empty without one
            CreationTime       UTC
            ResultContent      the record as JSON

Heartbeat, AcknowledgedSequence, Valid, Pass, Reject, Review and SequenceNumber are additions. The
server does not offer the node set and the methods of the specification. The nodes of a verdict
change together between two requests: read them by one Read request, or take ResultContent alone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationInfo, model_validator

from edge.line.handshake import Bits, Signals
from edge.line.server_output import ServerOutput
from edge.part.record import InspectionRecord
from edge.part.signal import TEXT_MAX, Signal, Value
from edge.peers.access import OpcUaSecurity
from edge.peers.addresses import Host, Milliseconds, Port
from edge.peers.certificates import below, opcua_flaws
from edge.peers.connections import ConnectionLimits
from edge.peers.resources import ListeningPort
from inspection.config.claims import Claim, Claimant
from inspection.config.flaws import refuse
from inspection.config.loading import reads_files
from inspection.config.plugins import Sdk, require
from inspection.errors import LineError
from inspection.verdict import Verdict

if TYPE_CHECKING:
    from asyncua import ua
    from asyncua.server import server as opcua_server
    from asyncua.server.server import Server
    from asyncua.ua import uaerrors

    from edge.line import opcua_access
else:
    ua, uaerrors = Sdk("asyncua.ua"), Sdk("asyncua.ua.uaerrors")
    opcua_server = Sdk("asyncua.server.server")
    opcua_access = Sdk("edge.line.opcua_access")  # with classes of asyncua as bases

NAMESPACE = "urn:linewarden:line"
VISION_SYSTEM = "VisionSystem"

_ACKNOWLEDGE_POLL_S = 0.002
_ACKNOWLEDGED = "AcknowledgedSequence"
_NODES: dict[str, tuple[str, Any]] = {  # name -> member of ua.VariantType, first value
    "CurrentState": ("String", "Initialized"),
    "Heartbeat": ("UInt32", 0),
    _ACKNOWLEDGED: ("UInt16", 0),
    "Result.Valid": ("Boolean", False),
    "Result.Pass": ("Boolean", False),
    "Result.Reject": ("Boolean", False),
    "Result.Review": ("Boolean", False),
    "Result.SequenceNumber": ("UInt16", 0),
    "Result.ResultId": ("String", ""),
    "Result.PartId": ("String", ""),
    "Result.ResultState": ("Int32", 0),
    "Result.InternalRecipeId": ("String", ""),
    "Result.ExternalRecipeId": ("String", ""),
    "Result.CreationTime": ("DateTime", datetime(1970, 1, 1, tzinfo=timezone.utc)),
    "Result.ResultContent": ("String", ""),
}
_STATES = {Bits.FAULT: "Error", Bits.BUSY: "SingleExecution", Bits.READY: "Ready"}
_IDLE = "Initialized"
_COMPLETED, _FAILED = 1, 4
_INSTALL = "pip install 'linewarden[opcua]'"


class OpcUaConfig(Claimant):
    """Serves OPC UA clients; see `edge.line.opcua`.

    Attributes:
        host: address to listen on (0.0.0.0: all).
        security: None admits every client, unencrypted.
        acknowledge: each verdict waits until a client has written AcknowledgedSequence.
        hold_ms: least time that a verdict is shown without `acknowledge`; the next one waits for
            it.
        timeout_ms: limit of `send` and `show`.
        connections: limits of the connections of the clients.
    """

    kind: Literal["opcua"]
    host: Host
    port: Port = 4840
    security: OpcUaSecurity | None = None
    acknowledge: bool = False
    hold_ms: Milliseconds = 200.0
    timeout_ms: Milliseconds = 500.0
    connections: ConnectionLimits = ConnectionLimits()

    def claims(self) -> Iterable[Claim]:
        """Returns the claim to the port."""
        yield Claim(("port",), ListeningPort(self.host, self.port))

    @model_validator(mode="after")
    def _certificate_is_its_own(self, info: ValidationInfo) -> OpcUaConfig:
        security = self.security
        if security is not None and reads_files(info):
            flaws = opcua_flaws(security.certificate_file, security.key_file, NAMESPACE)
            refuse(below("security", flaws))
        return self

    def driver(self) -> OpcUa:
        """Returns the output, not yet opened; raises LineError without the package."""
        require("output 'opcua'", "asyncua", _INSTALL, LineError)
        return OpcUa(self)


class OpcUa(ServerOutput["Server"]):
    """Holds the verdicts ready for OPC UA clients."""

    def __init__(self, config: OpcUaConfig) -> None:
        super().__init__(
            f"opcua {config.host}:{config.port}",
            acknowledged=config.acknowledge,
            hold_ms=config.hold_ms,
            timeout_ms=config.timeout_ms,
            limits=config.connections,
            errors=(uaerrors.UaError,),
            start_errors=(ValueError,),
            hint="check host, port and the files of the certificate",
        )
        self._config = config
        self._beats = 0
        self._namespace = 0
        self._shown: dict[str, tuple[Any, int]] = {}

    def signals(self) -> Sequence[Signal]:
        """Returns the nodes with the values that clients read."""
        return [self._signal(name) for name in _NODES]

    def _signal(self, name: str) -> Signal:
        value, at_ns = self._shown.get(name, (None, None))
        is_input = name == _ACKNOWLEDGED
        address = f"ns={self._namespace};s={VISION_SYSTEM}.{name}"
        return Signal(name, address, _told(value), at_ns, is_input)

    def _not_taken(self, trigger_id: str) -> str:
        return f"no client acknowledged the verdict of {trigger_id}; check the client"

    async def _start(self) -> Server:
        server = opcua_server.Server()
        await server.init()
        server.set_endpoint(f"opc.tcp://{self._config.host}:{self._config.port}/linewarden")
        server.set_server_name("Linewarden")
        await server.set_application_uri(NAMESPACE)
        await opcua_access.protect(server, self._config.security)
        self._namespace = await server.register_namespace(NAMESPACE)
        folders = {"": await server.nodes.objects.add_object(self._node_id(""), VISION_SYSTEM)}
        folders["Result"] = await folders[""].add_object(self._node_id("Result"), "Result")
        for name, (kind, value) in _NODES.items():
            folder, _, browse_name = name.rpartition(".")
            qualified = ua.QualifiedName(browse_name, ua.UInt16(self._namespace))
            node = await folders[folder].add_variable(
                self._node_id(name), qualified, value, ua.VariantType[kind]
            )
            if name == _ACKNOWLEDGED:
                await node.set_writable()
        await server.start()
        return server

    async def _tell(self, record: InspectionRecord, server: Server) -> None:
        number = record.recipe_number
        judged = record.verdict is not Verdict.NO_VERDICT
        await self._hold(
            server,
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
        if self._config.acknowledge:
            await self._wait(self._acknowledge(server), server)

    async def _acknowledge(self, server: Server) -> None:
        while not self._handshake.takes(self._acknowledged(server)):
            await asyncio.sleep(_ACKNOWLEDGE_POLL_S)

    def _acknowledged(self, server: Server) -> int:
        value = server.read_attribute_value(self._node_id(_ACKNOWLEDGED)).Value
        # A client may also write an array of the same type.
        number = value.Value if value is not None and isinstance(value.Value, int) else 0
        self._shown[_ACKNOWLEDGED] = number, time.monotonic_ns()
        return number

    async def _stop(self, server: Server) -> None:
        await self._hold(server, self._handshake.safe(fault=False), {"CurrentState": "Halted"})
        await server.stop()

    async def _hold(
        self, server: Server, signals: Signals, values: dict[str, Any] | None = None
    ) -> None:
        """Writes the nodes without waiting, so that no request comes between two of them."""
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
        for name, value in (shown | (values or {})).items():
            data = ua.DataValue(ua.Variant(value, ua.VariantType[_NODES[name][0]]))
            await server.write_attribute_value(self._node_id(name), data)
            self._shown[name] = value, time.monotonic_ns()

    def _node_id(self, name: str) -> ua.NodeId:
        identifier = ua.String(f"{VISION_SYSTEM}.{name}".rstrip("."))
        return ua.NodeId(identifier, ua.Int16(self._namespace))


def _told(value: Any) -> Value:
    if isinstance(value, datetime):
        return value.isoformat()
    return value[:TEXT_MAX] if isinstance(value, str) else value
