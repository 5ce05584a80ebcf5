"""Reads temperatures, clocks, throttling and memory of the device from the kernel.

The files, as far as they exist:

    sys/class/thermal/thermal_zone*/{type,temp}             m°C
    sys/class/thermal/cooling_device*/{type,cur_state}      0 is off; above, a part is slowed down
    sys/devices/system/cpu/cpufreq/policy*/{scaling_cur_freq,scaling_max_freq}   kHz
    sys/class/devfreq/*/{cur_freq,max_freq}                 Hz; the GPU of a Jetson is one of them
    sys/devices/system/cpu/cpu*/thermal_throttle/package_throttle_count          x86
    sys/class/hwmon/hwmon*/oc*_event_cnt                    Jetson: over-current events
    proc/meminfo                                            kB

Sources: the kernel's Documentation/ABI and NVIDIA's Jetson Linux Developer Guide. A PC's
GPU is not in sysfs; NVIDIA's dcgm-exporter has its metrics.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_COUNTERS = {
    "package_throttle_count": "sys/devices/system/cpu/cpu*/thermal_throttle",
    "oc*_event_cnt": "sys/class/hwmon/hwmon*",
}


class Reading(NamedTuple):
    """One figure of the device.

    Attributes:
        quantity: a key of `QUANTITIES`.
        part: zone, clock or counter.
        value: in the unit of the quantity.
    """

    quantity: str
    part: str
    value: float


QUANTITIES = {
    "temperature_celsius": "Temperature of a thermal zone.",
    "cooling_state": "State of a cooling device; above 0 a fan turns or a clock is lowered.",
    "frequency_hertz": "Present clock.",
    "frequency_max_hertz": "Highest clock allowed at present.",
    "throttle_events": "Times that the hardware slowed down since it was started.",
    "memory_bytes": "Memory of the device.",
    "memory_available_bytes": "Memory available without swapping.",
}


def read_device(root: Path = Path("/")) -> Iterator[Reading]:
    """Yields the figures of this device; leaves out a file that cannot be read at present.

    Args:
        root: folder of sys/ and proc/.
    """
    thermal = root / "sys/class/thermal"
    for zone in sorted(thermal.glob("thermal_zone*")):
        yield from _reading("temperature_celsius", _label(zone), zone / "temp", 1e-3)
    for device in sorted(thermal.glob("cooling_device*")):
        yield from _reading("cooling_state", _label(device), device / "cur_state", 1)
    for policy in sorted((root / "sys/devices/system/cpu/cpufreq").glob("policy*")):
        part = policy.name.replace("policy", "cpu")
        yield from _reading("frequency_hertz", part, policy / "scaling_cur_freq", 1e3)
        yield from _reading("frequency_max_hertz", part, policy / "scaling_max_freq", 1e3)
    for device in sorted((root / "sys/class/devfreq").glob("*")):
        yield from _reading("frequency_hertz", device.name, device / "cur_freq", 1)
        yield from _reading("frequency_max_hertz", device.name, device / "max_freq", 1)
    for name, folders in _COUNTERS.items():
        for path in sorted(root.glob(f"{folders}/{name}")):
            yield from _reading("throttle_events", _counter(path), path, 1)
    yield from _memory(root / "proc/meminfo")


def _reading(quantity: str, part: str, path: Path, factor: float) -> Iterator[Reading]:
    text = _text(path)
    if re.fullmatch(r"-?\d+", text):
        yield Reading(quantity, part, int(text) * factor)


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError):  # a zone whose unit is switched off gives EAGAIN
        return ""


def _label(folder: Path) -> str:
    """Returns the type with the number: types need not be unique."""
    number = re.sub(r"\D", "", folder.name)
    return f"{_text(folder / 'type')}-{number}"


def _counter(path: Path) -> str:
    if path.name.startswith("oc"):
        return f"{path.parent.name}-{path.name.removesuffix('_event_cnt')}"
    return path.parents[1].name


def _memory(path: Path) -> Iterator[Reading]:
    found = dict(re.findall(r"^(\w+):\s+(\d+) kB$", _text(path), re.MULTILINE))
    for quantity, name in {
        "memory_bytes": "MemTotal",
        "memory_available_bytes": "MemAvailable",
    }.items():
        if name in found:
            yield Reading(quantity, name, int(found[name]) * 1024.0)
