"""Every bit, word, topic and node of a running line, as it was last written or read."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from edge.part.signal import HasSignals, Signal


def signal_values(drivers: Mapping[str, object]) -> dict[str, Any]:
    """Returns the signals of each driver as JSON values, by the driver's name.

    A signal has "name", "address", "value", "is_input", and "age_ms" since it was written or read;
    value and age are None before the first exchange. A driver without signals, as a file, has none.
    """
    now_ns = time.monotonic_ns()
    return {
        name: [_values(one, now_ns) for one in driver.signals()]
        for name, driver in drivers.items()
        if isinstance(driver, HasSignals)
    }


def _values(signal: Signal, now_ns: int) -> dict[str, Any]:
    age_ms = None if signal.seen_ns is None else max(0.0, (now_ns - signal.seen_ns) / 1e6)
    return {
        "name": signal.name,
        "address": signal.address,
        "value": signal.value,
        "is_input": signal.is_input,
        "age_ms": age_ms,
    }
