"""Configuration of a gate, and the shift register that it describes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import Field, model_validator

from edge.encoder import Encoder
from edge.line.belt import Belt, BeltClock, EncoderBelt
from edge.line.tracking import Gate, ShiftRegister
from edge.part.journal import Journal
from inspection.config.claims import Claim, Claimant
from inspection.config.loading import ConfigPath
from inspection.config.resources import Use, UsedPath
from inspection.errors import LineError

Milliseconds = Annotated[float, Field(gt=0, le=60_000)]

_TOLERANCE = 0.05  # of the travel


class GateConfig(Claimant):
    """Configures the gate; give either `travel_ms` or `travel_counts`.

    Attributes:
        travel_ms: from the trigger until the part is at the gate.
        travel_counts: the same in counts of the line's encoder.
        pulse_ms: how long the gate opens for one part.
        tolerance: in the unit of the travel, how far a part reaches behind its position; the output
            reports a gate that opens later. None: a twentieth of the travel.
        unseen: the gate's action on parts that passed the camera while the station saw nothing:
            between two processes, and during a fault.
        register_file: keeps the parts on the way over a restart; None: after a restart all of
            them are unseen.
    """

    travel_ms: Milliseconds | None = None
    travel_counts: Annotated[int, Field(gt=0)] | None = None
    pulse_ms: Milliseconds = 100.0
    tolerance: Annotated[float, Field(gt=0)] | None = None
    unseen: Literal["reject", "pass"] = "reject"
    register_file: ConfigPath | None = None

    def claims(self) -> Iterable[Claim]:
        """Returns the claim to the file of the register."""
        if self.register_file is not None:
            yield Claim(("register_file",), UsedPath(self.register_file, Use.FILE, "the gate"))

    @model_validator(mode="after")
    def _one_travel(self) -> GateConfig:
        if (self.travel_ms is None) == (self.travel_counts is None):
            raise ValueError("should have either 'travel_ms' or 'travel_counts'")
        return self


def register_from_config(
    name: str, config: GateConfig, gate: Gate, encoder: Encoder | None
) -> ShiftRegister:
    """Returns the shift register of a gate, not yet open.

    Args:
        encoder: the encoder of the line; `travel_counts` needs it.

    Raises:
        OSError: the folder of the register cannot be used.
        LineError: the encoder cannot be opened.
    """
    if config.register_file is not None:
        config.register_file.parent.mkdir(parents=True, exist_ok=True)
    belt, travel, unit = _belt(name, config, encoder)
    tolerance = config.tolerance or _TOLERANCE * travel
    return ShiftRegister(
        name=name,
        distance=round(travel * unit),
        tolerance=round(tolerance * unit),
        belt=belt,
        gate=gate,
        journal=Journal(config.register_file) if config.register_file is not None else None,
        rejects_unseen=config.unseen == "reject",
    )


def _belt(name: str, config: GateConfig, encoder: Encoder | None) -> tuple[Belt, float, float]:
    """Returns the belt, the configured travel, and the unit of the travel in units of the belt."""
    if config.travel_ms is not None:
        return BeltClock(), config.travel_ms, 1e6
    if encoder is None or config.travel_counts is None:
        raise LineError(f"{name}: travel_counts needs the encoder of the line")
    return EncoderBelt(encoder), config.travel_counts, 1
