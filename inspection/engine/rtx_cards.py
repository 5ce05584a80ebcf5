"""The cards that TensorRT for RTX supports, by the names that a user gives.

Source: the support matrix of TensorRT for RTX 1.7. On Linux it supports x86-64 only.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence

from inspection.engine.cuda import Device
from inspection.errors import ConfigError, EngineError

# Compute capability by the generation of the card.
RTX_CARDS = {
    "rtx-turing": "7.5",
    "rtx-ampere": "8.6",
    "rtx-ada": "8.9",
    "rtx-blackwell": "12.0",
}
TURING = "rtx-turing"
MACHINE = "x86_64"


def capabilities_of(cards: Sequence[str]) -> tuple[str, ...]:
    """Returns the compute capabilities of cards; raises ConfigError for an unknown name."""
    for card in cards:
        if card not in RTX_CARDS:
            raise ConfigError(
                f"{card!r} is not a card that TensorRT for RTX supports: give some of "
                f"{','.join(RTX_CARDS)}. Build for a Jetson or a data-centre card on that machine: "
                "linewarden build BUNDLE"
            )
    return tuple(RTX_CARDS[card] for card in cards)


def require_rtx_machine() -> None:
    """Raises EngineError on a machine for which there is no TensorRT for RTX."""
    if platform.machine() != MACHINE:
        raise EngineError(
            f"engine 'tensorrt-rtx' runs on x86-64 only, and this machine is {platform.machine()}: "
            "on a Jetson use the engine 'tensorrt' with the TensorRT of JetPack"
        )


def require_rtx_card(device: Device) -> None:
    """Raises EngineError for a device that TensorRT for RTX does not support."""
    if device.compute_capability not in RTX_CARDS.values():
        raise EngineError(
            f"engine 'tensorrt-rtx' does not support {device.name} (compute capability "
            f"{device.compute_capability}; it supports {', '.join(RTX_CARDS.values())}): use the "
            "engine 'tensorrt', and build on this machine: linewarden build BUNDLE"
        )
