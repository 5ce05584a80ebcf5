"""Configuration of a gate, and the shift register that it describes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from edge.config import ConfigPath, StrictModel
from edge.journal import Journal
from edge.line.encoders import BeltClock, Encoder
from edge.line.tracking import Gate, ShiftRegister

Milliseconds = Annotated[float, Field(gt=0, le=60_000)]

_TOLERANCE = 0.05  # of the travel


class EncoderConfig(StrictModel):
    """A belt encoder on a digital input, whose rising edges are counted.

    Attributes:
        chip: device file.
        line: name of the line.
    """

    chip: ConfigPath
    line: Annotated[str, Field(min_length=1)]


class GateConfig(StrictModel):
    """Where the gate is, and what it does; either `travel_ms` or `travel_counts` with `encoder`.

    Attributes:
        travel_ms: from the complete frame until the part is at the gate.
        travel_counts: the same in counts of the encoder.
        pulse_ms: how long the gate opens for one part.
        tolerance: in the unit of the travel, how far a part reaches behind its position; a gate
            that opens later is told. None: a twentieth of the travel.
        unseen: what becomes of parts that passed the camera while the station saw nothing: between
            two processes, and during a fault.
        register_file: where the parts on the way are kept over a restart; None: nowhere, so that
            all of them are unseen.
    """

    travel_ms: Milliseconds | None = None
    travel_counts: Annotated[int, Field(gt=0)] | None = None
    encoder: EncoderConfig | None = None
    pulse_ms: Milliseconds = 100.0
    tolerance: Annotated[float, Field(gt=0)] | None = None
    unseen: Literal["reject", "pass"] = "reject"
    register_file: ConfigPath | None = None

    @model_validator(mode="after")
    def _one_travel(self) -> GateConfig:
        if (self.travel_ms is None) == (self.travel_counts is None):
            raise ValueError("should have either 'travel_ms' or 'travel_counts'")
        if (self.travel_counts is None) != (self.encoder is None):
            raise ValueError("'travel_counts' and 'encoder' belong together")
        return self


def register_from_config(name: str, config: GateConfig, gate: Gate) -> ShiftRegister:
    """The shift register of a gate, not yet open.

    Raises:
        OSError: the encoder or the folder of the register cannot be used.
    """
    travel = config.travel_counts or (config.travel_ms or 0.0) * 1e6
    tolerance = _TOLERANCE * travel
    if config.tolerance is not None:
        tolerance = config.tolerance * (1 if config.travel_counts else 1e6)
    if config.register_file is not None:
        config.register_file.parent.mkdir(parents=True, exist_ok=True)
    return ShiftRegister(
        name=name,
        distance=round(travel),
        tolerance=round(tolerance),
        encoder=BeltClock() if config.encoder is None else _gpio_encoder(config.encoder),
        gate=gate,
        journal=Journal(config.register_file) if config.register_file is not None else None,
        rejects_unseen=config.unseen == "reject",
    )


def _gpio_encoder(config: EncoderConfig) -> Encoder:
    from edge.line.gpio_encoder import GpioEncoder  # noqa: PLC0415 - needs gpiod

    return GpioEncoder(config.chip, config.line)
