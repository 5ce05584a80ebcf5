"""The simulated PLC for an address of a line's configuration, by its protocol."""

from __future__ import annotations

from typing import Any

from edge.line import ModbusConfig
from edge.peers.addresses import EtherNetIpPeer, ModbusPeer, S7Peer
from edge.recipe.request.modbus import ModbusRecipeRequestConfig
from edge.sim.base import LOOPBACK
from edge.sim.controllers import LogixPlc, S7Plc
from edge.sim.counting import CountingPlc
from edge.sim.plc import Plc, Registers
from edge.station.config import LineConfig
from edge.trigger.modbus import ModbusTriggerConfig

PlcPeer = ModbusPeer | S7Peer | EtherNetIpPeer


def plc_peers(config: LineConfig) -> list[PlcPeer]:
    """Returns the parts of a line that speak to a PLC."""
    parts = (*config.outputs, config.trigger, config.recipe_request)
    return [one for one in parts if isinstance(one, PlcPeer)]


def plc_at(config: LineConfig, peer: PlcPeer, port: int, host: str = LOOPBACK) -> CountingPlc:
    """Starts the PLC of a peer, with all places that the line uses there.

    Raises:
        LineError: its package is not installed, or the port cannot be opened.
    """
    if isinstance(peer, ModbusPeer):
        return Plc(port, registers_of(config, peer), host=host, device_id=peer.device_id)
    here = _uses(config, peer)
    if isinstance(peer, S7Peer):
        return S7Plc(port, [one for one in here if isinstance(one, S7Peer)], host=host)
    return LogixPlc(port, [one for one in here if isinstance(one, EtherNetIpPeer)], host=host)


def address_of(peer: PlcPeer) -> tuple[Any, ...]:
    """Returns what tells two PLCs apart."""
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


def _uses(config: LineConfig, peer: PlcPeer) -> list[PlcPeer]:
    return [one for one in plc_peers(config) if address_of(one) == address_of(peer)]
