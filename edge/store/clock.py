"""The clocks of the device: the time of day, the time since its start, and how good the first is.

The time of day can be anything: a device without a battery begins in 1970, a person or a server
sets it wrong. The time since the start only ever counts.
"""

from __future__ import annotations

import ctypes
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_TIMESYNCD = Path("/run/systemd/timesync/synchronized")  # systemd-timesyncd makes it
_FORBIDDEN, _TIME_ERROR = -1, 5  # of adjtimex(2)
_TIMEX_BYTES = 512  # `struct timex` has 208 or fewer


class ClockReading(NamedTuple):
    """The clocks at one moment.

    Attributes:
        utc: time of day.
        boot_id: differs after every start of the device.
        since_boot_s: also counts while the device sleeps.
        is_synchronized: a time server or another reference keeps the time of day right.
    """

    utc: datetime
    boot_id: str
    since_boot_s: float
    is_synchronized: bool


def read_clocks() -> ClockReading:
    """Returns the clocks now."""
    return ClockReading(
        utc=datetime.now(timezone.utc),
        boot_id=_BOOT_ID.read_text().strip(),
        since_boot_s=time.clock_gettime(time.CLOCK_BOOTTIME),
        is_synchronized=_is_synchronized(),
    )


def _is_synchronized() -> bool:
    """Returns the kernel's flag; where a sandbox forbids the call, the one of systemd-timesyncd."""
    # All fields are 0, so that the call reads only, which needs no privilege.
    state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    if state == _FORBIDDEN:
        return _TIMESYNCD.exists()
    return bool(state != _TIME_ERROR)
