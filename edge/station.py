"""From the configuration of a line to its pipeline."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from edge.archive import ImageArchive
from edge.camera import camera_from_config
from edge.inspector import Inspector
from edge.line import output_from_config
from edge.line_config import LineConfig
from edge.pipeline import Pipeline
from edge.records import InspectionRecord, identity_from_calibration


@contextlib.contextmanager
def open_station(
    config: LineConfig, on_record: Callable[[InspectionRecord], None]
) -> Iterator[Pipeline]:
    """Everything that `config` names, put together and ready for `Pipeline.run`.

    Args:
        on_record: receives each record once, on the delivery thread.

    Raises:
        BundleError: the bundle does not verify, or the recipe is not calibrated for the artefact.
        EngineError: the engine is not installed or cannot run the artefact.
    """
    with _open_inspector(config) as inspector:
        yield Pipeline(
            camera=camera_from_config(config.camera),
            inspector=inspector,
            identity=identity_from_calibration(inspector.calibration),
            outputs=[output_from_config(output) for output in config.outputs],
            deadline_ms=config.deadline_ms,
            archive=_archive(config),
            on_record=on_record,
        )


def _open_inspector(config: LineConfig) -> Inspector:
    return Inspector.open(
        config.bundle,
        config.recipe,
        engine=config.engine.kind,
        artefact=config.engine.artefact,
        threads=config.engine.threads,
    )


def _archive(config: LineConfig) -> ImageArchive | None:
    archive = config.archive
    return ImageArchive(archive.folder, archive.keep, archive.max_bytes) if archive else None
