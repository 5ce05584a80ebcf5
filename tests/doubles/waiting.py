"""Waits for another thread or process."""

import time
from collections.abc import Callable


def wait_for(condition: Callable[[], object], limit_s: float = 10.0) -> None:
    """Polls until `condition` holds."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)
