"""Configuration of one line: `linewarden run --config line.yaml`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from edge.bundle import REFERENCE_ARTEFACT
from edge.camera import CameraConfig
from edge.config import ConfigPath, StrictModel
from edge.line import OutputConfig
from edge.part_check import ChecksConfig
from edge.verdict import Verdict


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


class ArchiveConfig(StrictModel):
    """Images that are kept.

    Attributes:
        keep: verdicts whose images are kept.
        max_bytes: limit of the folder; the oldest images are deleted first.
    """

    folder: ConfigPath
    keep: tuple[Verdict, ...] = (Verdict.REVIEW, Verdict.REJECT, Verdict.NO_VERDICT)
    max_bytes: Annotated[int, Field(gt=0)]


class LineConfig(StrictModel):
    """A line: bundle and recipe, camera, deadline, outputs, archive, checks.

    Attributes:
        deadline_ms: from the complete frame to the verdict; later is NO_VERDICT.
    """

    schema_version: Literal[1] = 1
    bundle: ConfigPath
    recipe: Annotated[str, Field(coerce_numbers_to_str=True)] = "default"
    engine: EngineConfig = EngineConfig()
    camera: CameraConfig
    deadline_ms: Annotated[float, Field(gt=0)] = 1000.0
    outputs: tuple[OutputConfig, ...] = Field(min_length=1)
    archive: ArchiveConfig | None = None
    checks: ChecksConfig | None = None
