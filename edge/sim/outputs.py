"""A machine for each kind of output, trigger and recipe request; `STAND_INS` is the table."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from edge.encoder import Encoder
from edge.line import (
    EtherNetIpConfig,
    GpioConfig,
    JsonLinesConfig,
    ModbusConfig,
    ModbusServerConfig,
    MqttConfig,
    OpcUaConfig,
    OutputConfig,
    S7Config,
    WebhookConfig,
)
from edge.line.gpio import Gpio
from edge.line.jsonlines import STANDARD_OUTPUT
from edge.peers.access import Secret
from edge.peers.addresses import MqttBroker
from edge.sim.base import LOOPBACK, free_port
from edge.sim.pins import Pins
from edge.sim.plant import Plant
from edge.sim.plcs import PlcPeer
from edge.sim.poller import OpcUaClient, PollingPlc
from edge.sim.receiver import Receiver
from inspection.config.secret import SecretUrl


class SimulatedGpioConfig(GpioConfig):
    """Digital outputs in memory; `pins` are the lines."""

    pins: Any

    def driver(self, encoder: Encoder | None = None) -> Gpio:
        """Implements `GpioConfig.driver`."""
        super().driver(encoder)  # refuses without the package
        return Gpio(self, encoder, self.pins.request_lines)


def _at_plc(config: Any, plant: Plant) -> Any:
    port = plant.plc_of(config).port
    return config.model_copy(update={"host": LOOPBACK, "port": port})


def _modbus_server(config: ModbusServerConfig, plant: Plant) -> ModbusServerConfig:
    port = _listening(config, plant)
    plc = PollingPlc(
        port,
        device_id=config.device_id,
        register_address=config.register_address,
        acknowledge_register=config.acknowledge_register,
    )
    plant.add(plc)
    plc.start()
    return config.model_copy(update={"host": LOOPBACK, "port": port})


def _opcua(config: OpcUaConfig, plant: Plant) -> OpcUaConfig:
    port = _listening(config, plant)
    if config.security is not None:
        plant.notes.append("OPC UA without certificates and password")
    client = OpcUaClient(port)
    plant.add(client)
    client.start()
    return config.model_copy(update={"host": LOOPBACK, "port": port, "security": None})


def _listening(config: Any, plant: Plant) -> int:
    port = free_port()
    plant.notes.append(f"{config.kind} listens on {LOOPBACK}:{port} instead of port {config.port}")
    return port


def _mqtt(config: MqttConfig, plant: Plant) -> MqttConfig:
    changed: MqttConfig = plant.at_broker(config)
    return changed


def _webhook(config: WebhookConfig, plant: Plant) -> WebhookConfig:
    port, secret, named = free_port(), None, None
    if config.secret is not None:
        secret = secrets.token_hex(16)
        file = plant.folder / f"webhook-secret-{port}"
        file.write_text(secret)
        named = Secret(file=file)
        plant.notes.append("the secret of the webhook is made for this run")
    plant.add(Receiver(port, secret=secret))
    path = urlsplit(config.url.reveal()).path
    plant.notes.append(f"web server {config.url} -> {LOOPBACK}:{port}")
    url = SecretUrl(f"http://{LOOPBACK}:{port}{path}")
    return config.model_copy(update={"url": url, "secret": named})


def _gpio(config: GpioConfig, plant: Plant) -> GpioConfig:
    pins = Pins(config.lines, f"digital outputs of {config.chip}")
    plant.notes.append(f"{config.chip} -> lines in memory")
    plant.add(pins)
    gate = config.gate
    if gate is not None and gate.register_file is not None:
        gate = gate.model_copy(update={"register_file": plant.folder / "gate"})
    values = {name: getattr(config, name) for name in GpioConfig.model_fields}
    return SimulatedGpioConfig.model_construct(**{**values, "gate": gate}, pins=pins)


def _jsonlines(config: JsonLinesConfig, plant: Plant) -> JsonLinesConfig:
    if config.path == STANDARD_OUTPUT:
        return config
    place = sum(
        isinstance(one, JsonLinesConfig) for one in plant.config.outputs[: _at(config, plant)]
    )
    path = plant.folder / (f"verdicts-{place}.jsonl" if place else "verdicts.jsonl")
    return config.model_copy(update={"path": path})


def _at(config: OutputConfig, plant: Plant) -> int:
    return next(at for at, one in enumerate(plant.config.outputs) if one is config)


STAND_INS: dict[type, Callable[[Any, Plant], Any]] = {
    EtherNetIpConfig: _at_plc,
    GpioConfig: _gpio,
    JsonLinesConfig: _jsonlines,
    ModbusConfig: _at_plc,
    ModbusServerConfig: _modbus_server,
    MqttConfig: _mqtt,
    OpcUaConfig: _opcua,
    S7Config: _at_plc,
    WebhookConfig: _webhook,
}


def at_its_peer(config: Any, plant: Plant) -> Any:
    """Returns a trigger or recipe request at the simulated peer; as it is without a peer."""
    if isinstance(config, PlcPeer):
        return _at_plc(config, plant)
    return plant.at_broker(config) if isinstance(config, MqttBroker) else config
