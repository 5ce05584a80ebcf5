"""The machines around a line, and the configuration of the line between them."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge.line import MqttConfig
from edge.sim.base import LOOPBACK, Machine, free_port
from edge.sim.broker import Broker
from edge.sim.counting import CountingPlc
from edge.sim.plcs import PlcPeer, address_of, plc_at
from edge.station.config import LineConfig
from edge.station.control import ask
from edge.trigger.mqtt import MqttTriggerConfig
from edge.trigger.software import SoftwareTriggerConfig


@dataclass
class Plant:
    """The machines around a line, and the configuration of the line between them.

    Attributes:
        folder: every file of the line and of the machines lies in it.
        notes: differences between `config` and the file, for people.
    """

    config: LineConfig
    folder: Path
    period_s: float
    machines: list[Machine] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    resources: ExitStack = field(default_factory=ExitStack)
    plcs: dict[tuple[Any, ...], CountingPlc] = field(default_factory=dict)
    broker: Broker | None = None

    def add(self, machine: Machine) -> None:
        """Adds a machine that the end of the plant closes."""
        self.machines.append(machine)
        self.resources.callback(machine.close)

    def plc_of(self, peer: PlcPeer) -> CountingPlc:
        """Returns the PLC at an address; all parts of the configuration share it."""
        key = address_of(peer)
        if key not in self.plcs:
            self.plcs[key] = plc_at(self.config, peer, free_port())
            self.notes.append(f"PLC {peer.host}:{peer.port} -> {LOOPBACK}:{self.plcs[key].port}")
            self.add(self.plcs[key])
        return self.plcs[key]

    def at_broker(self, peer: Any) -> Any:
        """Returns a configuration at the broker on loopback, without TLS and password."""
        if self.broker is None:
            topic = next((o.topic for o in self.config.outputs if isinstance(o, MqttConfig)), "")
            self.broker = Broker(free_port(), self.folder, topic=topic)
            self.add(self.broker)
            self.broker.subscribe()
        secured = " without TLS and password" if peer.tls or peer.password else ""
        self.notes.append(
            f"broker {peer.host}:{peer.port} -> {LOOPBACK}:{self.broker.port}{secured}"
        )
        changes = {"host": LOOPBACK, "port": self.broker.port, "tls": None}
        return peer.model_copy(update={**changes, "username": None, "password": None})

    def is_ready(self) -> bool:
        """Returns whether every machine that is told the state of the station sees READY."""
        if self.config.checks is not None:
            return True  # READY comes with the reference parts
        bits = [machine.view().bits for machine in self.machines]
        return all(one["READY"] for one in bits if "READY" in one)

    def announce(self, number: int) -> None:
        """Announces one part, where the trigger of the line waits for a peer."""
        trigger, part_id = self.config.trigger, f"PART-{number:04}"
        if isinstance(trigger, PlcPeer):
            (plc,) = [one for one in self.plcs.values() if one.port == trigger.port]
            plc.announce(part_id)
        elif isinstance(trigger, MqttTriggerConfig) and self.broker is not None:
            self.broker.publish(trigger.topic, part_id)
        elif isinstance(trigger, SoftwareTriggerConfig) and self.config.control_socket:
            ask(self.config.control_socket, "trigger", part_id=part_id)
