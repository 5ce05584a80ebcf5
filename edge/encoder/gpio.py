"""An encoder at a digital input, counted by the kernel (GPIO character device, libgpiod 2).

One channel does not tell the direction: a conveyor that goes back counts up. The kernel numbers
every edge, also those beyond its full buffer, so that a late reader misses none.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

from pydantic import Field

from inspection.config.claims import Claim, Claimant
from inspection.config.loading import ConfigPath
from inspection.config.plugins import Sdk, require
from inspection.config.resources import gpio_line
from inspection.errors import LineError

if TYPE_CHECKING:
    import gpiod
    from gpiod import line as gpiod_line
else:
    gpiod, gpiod_line = Sdk("gpiod"), Sdk("gpiod.line")

_INSTALL = "pip install 'linewarden[gpio]'"
_NUMBERS = 1 << 32  # a __u32 in the kernel's gpio_v2_line_event; 5 kHz go round it in 10 days


class EncoderConfig(Claimant):
    """Configures one channel of an incremental encoder at a digital input; see `edge.encoder.gpio`.

    Attributes:
        chip: device file, as /dev/gpiochip0.
        line: name of the line in the device tree.
    """

    chip: ConfigPath
    line: Annotated[str, Field(min_length=1)]

    def claims(self) -> Iterable[Claim]:
        """Returns the claim to the line."""
        yield Claim(("line",), gpio_line(self.chip, self.line))

    def driver(self) -> GpioEncoder:
        """Returns the encoder, not yet opened; raises LineError without the package."""
        require("encoder 'gpio'", "gpiod", _INSTALL, LineError)
        return GpioEncoder(chip=self.chip, line=self.line)


class EdgeEvent(Protocol):
    """The used part of `gpiod.EdgeEvent`."""

    @property
    def line_seqno(self) -> int:
        """Number of the edge on its line, from 1; 0 follows the last of 32 bits."""


class EdgeRequest(Protocol):
    """The used part of `gpiod.LineRequest`."""

    def wait_edge_events(self, timeout: float) -> bool:
        """Returns whether events can be read."""

    def read_edge_events(self) -> Sequence[EdgeEvent]:
        """Returns the new events, the oldest first."""

    def release(self) -> None:
        """Releases the line."""


class GpioEncoder:
    """Counts rising edges of one line; see `edge.encoder.Encoder`.

    Args:
        chip: device file, as /dev/gpiochip0.
        line: name of the line in the device tree.
        request_lines: replaces `gpiod.request_lines` in tests.
    """

    def __init__(
        self,
        *,
        chip: Path,
        line: str,
        request_lines: Callable[..., EdgeRequest] | None = None,
    ) -> None:
        self._name = f"encoder {chip} {line}"
        self._chip = chip
        self._line = line
        self._request_lines: Callable[..., EdgeRequest] = request_lines or gpiod.request_lines
        self._lock = threading.Lock()
        self._request: EdgeRequest | None = None
        self._position = 0
        self._number = 0  # of the last edge

    def open(self) -> None:
        """Takes the line, unless it holds it already."""
        with self._lock:
            if self._request is not None:
                return
            settings = gpiod.LineSettings(edge_detection=gpiod_line.Edge.RISING)
            try:
                self._request = self._request_lines(
                    str(self._chip), consumer="linewarden", config={self._line: settings}
                )
            except (OSError, ValueError) as error:
                raise LineError(
                    f"{self._name}: the line cannot be taken: {error}; see `gpioinfo` for its "
                    "name, and that no other program holds it"
                ) from error
            self._position = self._number = 0

    def position(self) -> int:
        """Returns the number of edges since `open`; see `Encoder.position`."""
        with self._lock:
            if self._request is None:
                raise LineError(f"{self._name}: the encoder is not open")
            try:
                while self._request.wait_edge_events(0):
                    number = self._request.read_edge_events()[-1].line_seqno
                    self._position += (number - self._number) % _NUMBERS
                    self._number = number
            except OSError as error:
                self._release()
                raise LineError(f"{self._name}: lost: {error}; check the wiring") from error
            return self._position

    def close(self) -> None:
        """Releases the line."""
        with self._lock:
            self._release()

    def _release(self) -> None:
        request, self._request = self._request, None
        if request is not None:
            request.release()
