"""Digital outputs and a conveyor without hardware: the used part of gpiod's requests."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edge.line.gpio_lines import GpioRole
from edge.sim.base import History, Machine, Seen, View, last_verdict

if TYPE_CHECKING:
    from gpiod.line import Value


class Pins(Machine):
    """The lines of a GPIO chip; `request_lines` replaces `gpiod.request_lines`.

    Args:
        roles: name of the line for each role.

    Attributes:
        values: of each line by name.
        history: time in nanoseconds and values after each of the last changes.
        error: raised by every call, where the driver of the chip should fail.
        settings: of each line, as the output asked for.
        is_released: nobody holds the lines.
    """

    def __init__(self, roles: Mapping[GpioRole, str], title: str = "digital outputs") -> None:
        super().__init__()
        self.values: dict[str, bool] = {}
        self.history: History[tuple[int, dict[str, bool]]] = History()
        self.error: OSError | None = None
        self.settings: dict[str, Any] = {}
        self.is_released = True
        self._roles = dict(roles)
        self._title = title

    def request_lines(self, _path: str, *, consumer: str, config: dict[str, Any]) -> Pins:
        """Takes all lines, inactive; raises OSError while another holds them."""
        if self.error is not None:
            raise self.error
        if not self.is_released:
            raise OSError(16, f"Device or resource busy; {consumer} cannot take them")
        self.settings = config
        self.values = dict.fromkeys(config, False)
        self.is_released = False
        return self

    def set_values(self, values: dict[int | str, Value]) -> None:
        """Sets several lines at once."""
        if self.is_released:
            raise OSError(1, "the lines are released")
        if self.error is not None:
            raise self.error
        self.running.wait()
        before = self.is_on("result_valid")
        self.values = self.values | {str(name): bool(value) for name, value in values.items()}
        self.history.append((time.monotonic_ns(), dict(self.values)))
        if self.is_on("result_valid") and not before:
            self.seen.append(Seen(None, self.is_on("pass"), self.is_on("reject")))

    def release(self) -> None:
        """Releases the lines."""
        self.is_released = True

    def is_on(self, role: GpioRole) -> bool:
        """Returns whether the line of a role is active; False where it has none."""
        return self.values.get(self._roles.get(role, ""), False)

    def view(self) -> View:
        """Implements `Machine.view`."""
        bits = {role.upper(): self.is_on(role) for role in self._roles}
        return View(self._title, bits, last_verdict(self.seen))


class Conveyor(Machine):
    """An encoder on a conveyor with constant speed; it counts from its start on."""

    def __init__(self, counts_per_s: float) -> None:
        super().__init__()
        self._counts_per_s = counts_per_s
        self._started_ns: int | None = None

    def open(self) -> None:
        """Implements `Encoder.open`."""
        if self._started_ns is None:
            self._started_ns = time.monotonic_ns()

    def position(self) -> int:
        """Implements `Encoder.position`."""
        if self._started_ns is None:
            return 0
        return int((time.monotonic_ns() - self._started_ns) / 1e9 * self._counts_per_s)

    def close(self) -> None:
        """Implements `Encoder.close`."""
        self._started_ns = None

    def view(self) -> View:
        """Implements `Machine.view`."""
        return View("conveyor", {}, {"counts": self.position()})
