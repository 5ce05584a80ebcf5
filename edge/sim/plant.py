"""A plant around the configuration of a line, so that it runs as written, without hardware.

Each peer with an address gets a machine on loopback: PLC, broker, web server, network camera. A
camera or GPIO chip at a bus of the device is replaced: by a recording of drawn parts, and by lines
in memory. A missing bundle is replaced by that of `edge.sim.parts`. Every file that the line writes
lies in the folder of the plant. `Plant.notes` names each difference from the file.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from edge.camera import CameraConfig, PyAvConfig, ReplayConfig
from edge.camera.replay import ReplayCamera
from edge.encoder import Encoder, EncoderConfig
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
from edge.part.frame import Frame
from edge.peers.access import Secret
from edge.peers.addresses import EtherNetIpPeer, ModbusPeer, MqttBroker, S7Peer
from edge.recipe.part_check import ChecksConfig
from edge.recipe.request.modbus import ModbusRecipeRequestConfig
from edge.sim.base import LOOPBACK, Machine, free_port
from edge.sim.broker import Broker
from edge.sim.camera import MjpegCamera, jpegs
from edge.sim.controllers import LogixPlc, S7Plc
from edge.sim.parts import drawn_part, empty_belt, write_bundle, write_frames
from edge.sim.pins import Conveyor, Pins
from edge.sim.plc import Plc, Registers
from edge.sim.poller import OpcUaClient, PollingPlc
from edge.sim.receiver import Receiver
from edge.station.config import LineConfig
from edge.station.control import ask
from edge.trigger.encoder import EncoderTriggerConfig
from edge.trigger.modbus import ModbusTriggerConfig
from edge.trigger.mqtt import MqttTriggerConfig
from edge.trigger.presence import PresenceTriggerConfig
from edge.trigger.software import SoftwareTriggerConfig
from inspection.config.secret import SecretUrl
from inspection.errors import LineError

_log = logging.getLogger(__name__)

PlcPeer = ModbusPeer | S7Peer | EtherNetIpPeer
AnyPlc = Plc | S7Plc | LogixPlc

_DEFECTIVE = (3, 6)  # places of the defective parts in each `_CYCLE` parts
_CYCLE = 8
_PRESENCE_HZ, _PRESENCE_FRAMES = 20.0, 5  # frames with a part, and as many without
_LOOK_S = 0.02  # between two looks whether the line is READY
_LIVE_HZ = 5.0  # of the network camera


class SimulatedGpioConfig(GpioConfig):
    """Digital outputs in memory; `pins` are the lines."""

    pins: Any

    def driver(self, encoder: Encoder | None = None) -> Gpio:
        """Implements `GpioConfig.driver`."""
        super().driver(encoder)  # refuses without the package
        return Gpio(self, encoder, self.pins.request_lines)


class SimulatedEncoderConfig(EncoderConfig):
    """A conveyor with constant speed in place of an encoder."""

    conveyor: Any

    def driver(self) -> Any:
        """Implements `EncoderConfig.driver`."""
        return self.conveyor


class WaitingReplayConfig(ReplayConfig):
    """A recording that begins when the line is READY, as a PLC holds back the first part."""

    is_ready: Any

    def driver(self) -> ReplayCamera:
        """Implements `ReplayConfig.driver`."""
        return _WaitingReplay(self, self.is_ready)


class _WaitingReplay(ReplayCamera):
    def __init__(self, config: ReplayConfig, is_ready: Callable[[], bool]) -> None:
        super().__init__(config)
        self._is_ready = is_ready
        self._has_begun = False

    def read(self, timeout_s: float) -> Frame | None:
        if not self._has_begun:
            if not self._is_ready():
                time.sleep(min(timeout_s, _LOOK_S))
                return None
            self._has_begun = True
            self.open()  # the schedule begins now
        return super().read(timeout_s)


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
    plcs: dict[tuple[Any, ...], AnyPlc] = field(default_factory=dict)
    broker: Broker | None = None

    def add(self, machine: Machine) -> None:
        """Adds a machine that the end of the plant closes."""
        self.machines.append(machine)
        self.resources.callback(machine.close)

    def plc_of(self, peer: PlcPeer) -> AnyPlc:
        """Returns the PLC at an address; all parts of the configuration share it."""
        key = _address(peer)
        if key not in self.plcs:
            self.plcs[key] = _plc(self.config, peer)
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


@contextmanager
def simulated(
    config: LineConfig, folder: Path, *, parts: int | None = None, period_s: float = 0.5
) -> Iterator[Plant]:
    """Starts the machines around a line, and closes them at the end.

    Args:
        config: of the line, loaded without its files.
        folder: empty; takes every file of the line.
        parts: length of the recordings; None repeats them without end.
        period_s: time between two parts.

    Raises:
        LineError: a package or program for a machine is not installed; the message says which.
        CameraError: the same for a camera.
    """
    plant = Plant(config, folder, period_s)
    with plant.resources:
        # The peers first: they read the addresses of the file.
        outputs = tuple(STAND_INS[type(one)](one, plant) for one in config.outputs)
        changes: dict[str, Any] = {
            "outputs": outputs,
            "trigger": _at_its_peer(config.trigger, plant),
        }
        if config.recipe_request is not None:
            changes["recipe_request"] = _at_its_peer(config.recipe_request, plant)
        changes |= _own_files(plant) | _cameras(plant, parts)
        plant.config = _with_bundles(config.model_copy(update=changes), plant)
        with _announcing(plant, parts):
            yield plant


def _plc(config: LineConfig, peer: PlcPeer) -> AnyPlc:
    """Returns the PLC at an address, with all places that the line uses there."""
    if isinstance(peer, ModbusPeer):
        return Plc(free_port(), registers_of(config, peer), device_id=peer.device_id)
    here = _uses(config, peer)
    if isinstance(peer, S7Peer):
        return S7Plc(free_port(), [one for one in here if isinstance(one, S7Peer)])
    return LogixPlc(free_port(), [one for one in here if isinstance(one, EtherNetIpPeer)])


def _uses(config: LineConfig, peer: PlcPeer) -> list[PlcPeer]:
    """Returns the parts of a line that use the PLC at an address."""
    parts = (*config.outputs, config.trigger, config.recipe_request)
    return [one for one in parts if isinstance(one, PlcPeer) and _address(one) == _address(peer)]


def _address(peer: PlcPeer) -> tuple[Any, ...]:
    if isinstance(peer, ModbusPeer):
        return "modbus", peer.host, peer.port, peer.device_id
    if isinstance(peer, S7Peer):
        return "s7", peer.host, peer.port, peer.rack, peer.slot
    return "ethernet_ip", peer.host, peer.port, peer.slot


def registers_of(config: LineConfig, peer: ModbusPeer) -> Registers:
    """Returns the registers that a line uses in the PLC at an address."""
    used: dict[str, Any] = {}
    for one in _uses(config, peer):
        if isinstance(one, ModbusConfig):
            used |= {"block": one.register_address, "acknowledge": one.acknowledge_register}
        elif isinstance(one, ModbusTriggerConfig):
            used |= {"trigger": one.address, "is_coil": one.table == "coil"}
            if one.part_id_address is not None:
                used["part_id"] = (one.part_id_address, one.part_id_registers)
        elif isinstance(one, ModbusRecipeRequestConfig):
            used |= {"recipe_request": one.request_address, "recipe_status": one.status_address}
    return Registers(**used)


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


def _at_its_peer(config: Any, plant: Plant) -> Any:
    """Returns a trigger or recipe request at the simulated peer; as it is without a peer."""
    if isinstance(config, PlcPeer):
        return _at_plc(config, plant)
    return plant.at_broker(config) if isinstance(config, MqttBroker) else config


def _own_files(plant: Plant) -> dict[str, Any]:
    """Returns the changes that keep the files of the line within the plant."""
    config = plant.config
    changes: dict[str, Any] = {}
    if config.control_socket is not None:
        changes["control_socket"] = plant.folder / "line.sock"
    if config.records is not None:
        folder = plant.folder / "records"
        changes["records"] = config.records.model_copy(update={"folder": folder})
    if config.health is not None:
        changes["health"] = config.health.model_copy(update={"port": free_port()})
    if config.encoder is not None:
        changes["encoder"] = _encoder(config.encoder, plant)
    if config.checks is not None:
        changes["checks"] = _without_scores(config.checks, plant)
    return changes


def _encoder(config: EncoderConfig, plant: Plant) -> EncoderConfig:
    trigger = plant.config.trigger
    counts = trigger.counts if isinstance(trigger, EncoderTriggerConfig) else 1000
    conveyor = Conveyor(counts / plant.period_s)
    plant.notes.append(f"encoder {config.line} -> a conveyor with constant speed")
    plant.add(conveyor)
    return SimulatedEncoderConfig(chip=config.chip, line=config.line, conveyor=conveyor)


def _without_scores(checks: ChecksConfig, plant: Plant) -> ChecksConfig:
    if any(part.score is not None for part in checks.parts):
        plant.notes.append("reference parts without their range of scores, that of your bundle")
    parts = tuple(part.model_copy(update={"score": None}) for part in checks.parts)
    return checks.model_copy(update={"parts": parts})


def _cameras(plant: Plant, parts: int | None) -> dict[str, Any]:
    config = plant.config
    if config.camera is not None:
        return {"camera": _camera("camera", config.camera, plant, parts)}
    return {
        "views": {
            name: view.model_copy(update={"camera": _camera(name, view.camera, plant, parts)})
            for name, view in config.views.items()
        }
    }


def _camera(name: str, config: CameraConfig, plant: Plant, parts: int | None) -> CameraConfig:
    if isinstance(config, PyAvConfig):
        frames = [drawn_part(n, is_defective=n in _DEFECTIVE) for n in range(_CYCLE)]
        camera = MjpegCamera(jpegs(frames), rate_hz=_LIVE_HZ)
        plant.add(camera)
        plant.notes.append(f"{name}: {config.url} -> {camera.url}")
        return config.model_copy(update={"url": SecretUrl(camera.url)})
    folder = plant.folder / name
    is_presence = isinstance(plant.config.trigger, PresenceTriggerConfig)
    write_frames(folder, _belt(plant, parts) if is_presence else _parts(plant.config, parts))
    plant.notes.append(f"{name}: {config.kind} -> drawn parts in {folder}")
    rate_hz = _PRESENCE_HZ if is_presence else 1 / plant.period_s
    is_free = plant.config.trigger.kind in ("camera", "presence")
    return WaitingReplayConfig(
        kind="replay",
        path=folder,
        loop=parts is None,
        rate_hz=rate_hz if is_free else None,
        is_ready=plant.is_ready,
    )


def _parts(config: LineConfig, parts: int | None) -> list[tuple[str, Any]]:
    """Returns drawn parts with their names; the reference parts of a check come first."""
    checks = config.checks.parts if config.checks is not None else ()
    is_defective = [part.expect != "PASS" for part in checks]
    count = _CYCLE if parts is None else parts
    is_defective += [place % _CYCLE in _DEFECTIVE for place in range(max(0, count - len(checks)))]
    return [
        ("crack" if bad else "good", drawn_part(number, is_defective=bad))
        for number, bad in enumerate(is_defective)
    ]


def _belt(plant: Plant, parts: int | None) -> list[tuple[str, Any]]:
    """Returns the frames of a running belt: empty at the start, then a part and a gap in turn."""
    trigger = plant.config.trigger
    learnt = trigger.learn_frames if isinstance(trigger, PresenceTriggerConfig) else 0
    frames = [("empty", empty_belt(number)) for number in range(learnt + 2)]
    for name, part in _parts(plant.config, parts):
        frames += [(name, part)] * _PRESENCE_FRAMES
        frames += [("empty", empty_belt(number)) for number in range(_PRESENCE_FRAMES)]
    return frames


def _with_bundles(config: LineConfig, plant: Plant) -> LineConfig:
    """Replaces each bundle of the line by the simulated one, with the recipes that it names."""
    named = [config.with_recipe(number) for number in config.recipes] or [config]
    recipes = sorted(
        {one.recipe for one in named}
        | {view.recipe for one in named for view in one.all_views.values() if view.recipe}
    )
    channels = 3 if any(_is_colour(view.camera) for view in config.all_views.values()) else 1
    bundle = plant.folder / "bundle"
    write_bundle(bundle, channels=channels, recipes=recipes)
    plant.notes.append("bundle: one that calls a bright spot a defect")
    views = {name: view.model_copy(update={"bundle": None}) for name, view in config.views.items()}
    numbered = {
        number: recipe.model_copy(
            update={
                "bundle": None,
                "artefact": None,
                "checks": recipe.checks and _without_scores(recipe.checks, plant),
                "views": {
                    name: view.model_copy(update={"bundle": None})
                    for name, view in recipe.views.items()
                },
            }
        )
        for number, recipe in config.recipes.items()
    }
    if config.engine.server is not None:
        plant.notes.append(f"server {config.engine.server.host} -> ONNX Runtime in this process")
    engine = config.engine.model_copy(update={"kind": None, "artefact": None, "server": None})
    changes = {"bundle": bundle, "views": views, "recipes": numbered, "engine": engine}
    return config.model_copy(update=changes)


def _is_colour(camera: CameraConfig) -> bool:
    return isinstance(camera, PyAvConfig) and camera.colour == "bgr"


@contextmanager
def _announcing(plant: Plant, parts: int | None) -> Iterator[None]:
    """Announces parts every period within the block, where the trigger waits for a peer."""
    ended = threading.Event()

    def announce() -> None:
        number = 0
        while not ended.wait(plant.period_s) and (parts is None or number < parts):
            if number == 0 and not plant.is_ready():
                continue
            number += 1
            try:
                plant.announce(number)
            except LineError as error:
                number -= 1  # the line is not there yet, or not ready
                _log.debug("no part announced: %s", error)

    thread = threading.Thread(target=announce, name="announcing", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
