"""Configuration of one inspection station: what `linewarden run` reads."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edge.archive import ArchiveConfig
from edge.bundle import REFERENCE_ARTEFACT
from edge.camera.replay import ReplayConfig
from edge.config import ConfigPath, StrictModel
from edge.line.jsonlines import JsonLinesConfig

CameraConfig = ReplayConfig
OutputConfig = JsonLinesConfig


class EngineConfig(StrictModel):
    """What runs the model.

    Attributes:
        artefact: file of the bundle.
        threads: None takes all physical cores.
    """

    kind: Literal["onnxruntime"] = "onnxruntime"
    artefact: str = REFERENCE_ARTEFACT
    threads: Annotated[int, Field(ge=1, le=256)] | None = None


class LineConfig(StrictModel):
    """A camera, a bundle, and where verdicts go.

    Attributes:
        recipe: name of the calibration in the bundle.
        deadline_ms: a part without verdict this long after its frame was captured gets NO_VERDICT.
        outputs: every one of them is told each verdict.
    """

    schema_version: Literal[1] = 1
    bundle: ConfigPath
    recipe: str = "default"
    engine: EngineConfig = EngineConfig()
    camera: CameraConfig
    deadline_ms: Annotated[float, Field(gt=0)] = 1000.0
    outputs: tuple[OutputConfig, ...] = ()
    archive: ArchiveConfig | None = None
