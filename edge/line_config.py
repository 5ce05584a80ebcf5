"""Configuration of one line: `linewarden run --config line.yaml`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from edge.alarm import AlarmConfig
from edge.bundle import REFERENCE_ARTEFACT
from edge.camera import CameraConfig
from edge.config import ConfigPath, StrictModel
from edge.line import OutputConfig, StorableConfig
from edge.store.config import RecordsConfig


class EngineConfig(StrictModel):
    """What runs the model.

    Attributes:
        kind: name of the engine; see `edge.engine.ENGINES`.
        artefact: file of the bundle to run; the recipe must be calibrated through it.
        threads: None for all physical cores.
    """

    kind: str = "onnxruntime"
    artefact: str = REFERENCE_ARTEFACT
    threads: Annotated[int, Field(ge=1)] | None = None


class LineConfig(StrictModel):
    """A line: bundle and recipe, camera, deadline, outputs, records.

    Attributes:
        deadline_ms: from the complete frame to the verdict; later is NO_VERDICT.
        records: leave out to keep none. With them, verdicts for MQTT and webhooks are stored
            until they are confirmed.
        alarm: leave out for none.
    """

    schema_version: Literal[1] = 1
    bundle: ConfigPath
    recipe: Annotated[str, Field(coerce_numbers_to_str=True)] = "default"
    engine: EngineConfig = EngineConfig()
    camera: CameraConfig
    deadline_ms: Annotated[float, Field(gt=0)] = 1000.0
    outputs: tuple[OutputConfig, ...] = Field(min_length=1)
    records: RecordsConfig | None = None
    alarm: AlarmConfig | None = None

    @model_validator(mode="after")
    def _outboxes_of_their_own(self) -> LineConfig:
        names = [output.outbox for output in self.outputs if isinstance(output, StorableConfig)]
        if self.records is not None and len(set(names)) < len(names):
            raise ValueError("two outputs send to the same place; remove one")
        return self
