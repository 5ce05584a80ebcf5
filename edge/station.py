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
from edge.service import health_from_config
from edge.status import PipelineStatus


@contextlib.contextmanager
def open_station(
    config: LineConfig,
    on_record: Callable[[InspectionRecord], None],
    *,
    on_turn: Callable[[PipelineStatus], None] | None = None,
    waits_to_open: bool = False,
) -> Iterator[Pipeline]:
    """Everything that `config` names, put together and ready for `Pipeline.run`.

    Args:
        on_record: receives each record once, on the delivery thread.
        on_turn: see `Pipeline`.
        waits_to_open: see `Pipeline`.

    Raises:
        ConfigError: the health page cannot be served.
        BundleError: the bundle does not verify, or the recipe is not calibrated for the artefact.
        EngineError: the engine is not installed or cannot run the artefact.
    """
    with _open_inspector(config) as inspector, contextlib.ExitStack() as stack:
        health = health_from_config(config, inspector)

        def record(made: InspectionRecord) -> None:
            if health is not None:
                health.observe(made)
            on_record(made)

        def turn() -> None:
            if on_turn is not None:
                on_turn(pipeline.status())

        pipeline = Pipeline(
            camera=camera_from_config(config.camera),
            inspector=inspector,
            identity=identity_from_calibration(inspector.calibration),
            outputs=[output_from_config(output) for output in config.outputs],
            deadline_ms=config.deadline_ms,
            archive=_archive(config),
            on_record=record,
            on_turn=turn,
            waits_to_open=waits_to_open,
        )
        if health is not None:
            stack.enter_context(health.serving(pipeline.status))
        yield pipeline


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
