"""Where the conveyor is: what counts its way, imported only when a configuration names it."""

from __future__ import annotations

from typing import Annotated, Protocol

from pydantic import Field

from inspection.config.loading import ConfigPath, StrictModel
from inspection.config.plugins import Plugin, load_plugin
from inspection.errors import LineError

__all__ = ["ENCODERS", "Encoder", "EncoderConfig", "encoder_from_config"]

ENCODERS = {"gpio": Plugin("edge.encoder.gpio", "GpioEncoder", "pip install 'linewarden[gpio]'")}


class Encoder(Protocol):
    """Counts the way of the conveyor. Safe for threads; several may read one encoder."""

    def open(self) -> None:
        """Begin to count; nothing when it counts already.

        Raises:
            LineError: it cannot be opened; the message says what to check.
        """

    def position(self) -> int:
        """Counts since it was opened; it may go back where the encoder tells the direction.

        Raises:
            LineError: it is lost, or not open; `open` begins anew, from 0.
        """

    def close(self) -> None:
        """Release it. Safe to call twice, and without `open`."""


class EncoderConfig(StrictModel):
    """One channel of an incremental encoder at a digital input; see `edge.encoder.gpio`.

    Attributes:
        chip: device file.
        line: name of the line.
    """

    chip: ConfigPath
    line: Annotated[str, Field(min_length=1)]


def encoder_from_config(config: EncoderConfig) -> Encoder:
    """The encoder that `config` describes, not yet opened.

    Raises:
        LineError: what it needs is not installed.
    """
    factory = load_plugin("encoder", "gpio", ENCODERS, LineError)
    encoder: Encoder = factory(chip=config.chip, line=config.line)
    return encoder
