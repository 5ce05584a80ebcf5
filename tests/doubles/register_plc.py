"""A PLC for tests: the simulated one, with holding registers and coils that a test writes."""

from __future__ import annotations

from edge.sim.plc import Plc, Registers


class RegisterPlc(Plc):
    """Serves 64 bits and 64 holding registers as device 1; `client` is the test's own way in."""

    def __init__(self, port: int) -> None:
        super().__init__(port, Registers(block=64))
