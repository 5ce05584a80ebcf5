"""Configuration of what announces the parts: the section `trigger` of a line's file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edge.peers.addresses import ModbusPeer, MqttBroker, Register
from inspection.config.loading import StrictModel
from inspection.preprocess import Crop

Milliseconds = Annotated[float, Field(gt=0, le=3_600_000)]
Share = Annotated[float, Field(gt=0, lt=1)]


class _Trigger(StrictModel):
    """What all kinds have in common.

    Attributes:
        frame_limit_ms: from the trigger to the frame of the last view: a view without one by then
            has none. None: half of the deadline. With several cameras less than half of the time
            between two parts.
    """

    frame_limit_ms: Milliseconds | None = None


class CameraTriggerConfig(_Trigger):
    """Each frame is a part: a hardware trigger at the camera, or a recording."""

    kind: Literal["camera"] = "camera"


class PresenceTriggerConfig(_Trigger):
    """A camera that runs free, and frames that show a part; see `edge.trigger.presence`.

    Attributes:
        view: whose frames are looked at, where the line has several.
        region: where the part is looked for; it is inspected when it is there. None: all of the
            frame.
        difference: grey levels by which a pixel differs from the empty line.
        share: of the region's pixels, for a part to be there.
        frames: in a row that show it, and that do not, for one part.
        learn_frames: at the start, of the empty line.
    """

    kind: Literal["presence"]
    view: str | None = None
    region: Crop | None = None
    difference: Annotated[float, Field(gt=0, lt=255)] = 25.0
    share: Share = 0.2
    frames: Annotated[int, Field(ge=1, le=100)] = 2
    learn_frames: Annotated[int, Field(ge=1, le=1000)] = 10


class _Fired(_Trigger):
    """What the kinds have in common that are told of parts.

    Attributes:
        debounce_ms: a trigger that follows the one before so soon is none, and only counted.
    """

    debounce_ms: Annotated[float, Field(ge=0, le=60_000)] = 0.0


class SoftwareTriggerConfig(_Fired):
    """`linewarden trigger`, or another program, through the control socket."""

    kind: Literal["software"]


class IntervalTriggerConfig(_Fired):
    """A part at fixed times, on a schedule that does not drift."""

    kind: Literal["interval"]
    period_ms: Milliseconds


class EncoderTriggerConfig(_Fired):
    """A part for every so many counts of the line's `encoder`.

    Attributes:
        counts: between two parts.
    """

    kind: Literal["encoder"]
    counts: Annotated[int, Field(ge=1)]


class ModbusTriggerConfig(_Fired, ModbusPeer):
    """A register or coil of a PLC, which the station polls; see `edge.trigger.modbus`.

    Attributes:
        table: where the trigger stands: a holding register (function code 3) or a coil (1).
        address: of the trigger, counted from 0.
        part_id_address: first holding register of the part id, in ASCII, two characters each; None:
            the PLC gives none.
        part_id_registers: how many there are.
        poll_ms: the PLC holds each value several times as long.
    """

    kind: Literal["modbus"]
    table: Literal["holding_register", "coil"] = "holding_register"
    address: Register
    part_id_address: Register | None = None
    part_id_registers: Annotated[int, Field(ge=1, le=32)] = 8
    poll_ms: Annotated[float, Field(ge=1, le=1000)] = 5.0


class MqttTriggerConfig(_Fired, MqttBroker):
    """Messages of a topic; see `edge.trigger.mqtt`.

    Attributes:
        topic: whose messages are triggers; the text of one is the part id.
    """

    kind: Literal["mqtt"]
    topic: Annotated[str, Field(pattern=r"^[^+#\x00]+$")]


FrameTriggerConfig = CameraTriggerConfig | PresenceTriggerConfig
FiredTriggerConfig = (
    SoftwareTriggerConfig
    | IntervalTriggerConfig
    | EncoderTriggerConfig
    | ModbusTriggerConfig
    | MqttTriggerConfig
)
TriggerConfig = Annotated[FrameTriggerConfig | FiredTriggerConfig, Field(discriminator="kind")]
