"""A test pulse: one signal of one output for a moment, while the line does not run.

The pulse ends in the safe state of the output. When the process dies in between, a server of the
station and its GPIO lines fall with it; words in a PLC stay as they are, and the still heartbeat
tells the PLC that the station is dead. A test never carries the number of a part that waits.
"""

from __future__ import annotations

import contextlib
import time

from edge.line import output_from_config
from edge.line.handshake import NOTHING, Bits
from edge.line.outputs_config import output_names, untracked
from edge.line.signals import Held
from edge.station.config import LineConfig
from edge.station.control import is_listening
from inspection.errors import ConfigError, LineError

SIGNALS = {str(bit.name): bit for bit in Bits if bit not in {Bits.BUSY, Bits.HEARTBEAT}}
"""The bits that can be tested: the station never sets BUSY, and moves the heartbeat by itself."""

WITH_BITS = {"modbus", "modbus_server", "s7", "ethernet_ip", "opcua", "gpio"}
"""The kinds of outputs whose drivers are `Held`; the panel has not the packages to make one."""

SECONDS_MAX = 10.0


def pulse(config: LineConfig, output: str, signal: str, seconds: float) -> None:
    """Shows one signal for a time, and then the safe state.

    Args:
        output: its name, see `output_names`.
        signal: one of `SIGNALS`.

    Raises:
        ConfigError: there is no such output, or it has no signals, or nothing tells whether the
            line runs.
        LineError: the line runs, or the output cannot be reached.
    """
    named = dict(zip(output_names(config.outputs), config.outputs, strict=True))
    if output not in named:
        raise ConfigError(f"no output {output!r}: the line has {', '.join(named)}")
    driver = output_from_config(untracked(named[output]))
    if not isinstance(driver, Held):
        raise ConfigError(
            f"output {output}: has no bits to test; let a part come and look what arrives there"
        )
    require_stopped(config)
    with contextlib.closing(driver):
        driver.open()
        try:
            driver.hold(SIGNALS[signal])
            time.sleep(seconds)
        finally:
            driver.hold(NOTHING)  # unlike `close`, which logs it, this tells when it fails


def require_stopped(config: LineConfig) -> None:
    """Refuses while the line runs, also one that hangs.

    Raises:
        ConfigError: the line has no control socket, so that nothing tells whether it runs.
        LineError: it runs.
    """
    path = config.control_socket
    if path is None:
        raise ConfigError(
            "'control_socket' is not set: nothing tells whether the line runs; set it, such as to "
            "line.sock"
        )
    if is_listening(path):
        raise LineError(
            f"control_socket {path}: the line runs and holds its outputs; stop it first "
            "(systemctl stop linewarden@LINE)"
        )
