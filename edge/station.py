"""From the configuration of a line to its pipeline."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from edge.archive import ImageArchive
from edge.bundle import Bundle, open_bundle
from edge.camera import camera_from_config
from edge.camera.guarded import SoftwareTriggered
from edge.control import ControlSocket, pipeline_commands
from edge.encoder import encoder_from_config
from edge.engine import Engine
from edge.inspector import Inspector, open_engine
from edge.intake import PartLimits
from edge.line import output_from_config
from edge.line_config import LineConfig, ViewConfig, is_fired
from edge.pipeline import Pipeline
from edge.records import InspectionRecord
from edge.trigger import trigger_from_config
from edge.views import View


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
        LineError: the control socket cannot be opened, or what the trigger needs is not installed.
    """
    with ExitStack() as stack:
        encoder = encoder_from_config(config.encoder) if config.encoder is not None else None
        if encoder is not None:
            stack.callback(encoder.close)
        pipeline = Pipeline(
            views=_open_views(config, stack),
            outputs=[output_from_config(output) for output in config.outputs],
            limits=_limits(config),
            trigger=trigger_from_config(config.trigger, encoder),
            reopens=config.lost_camera == "reopen",
            keep_warm_ms=config.engine.keep_warm_ms,
            archive=_archive(config),
            on_record=on_record,
        )
        if config.control_socket is not None:
            stack.enter_context(ControlSocket(config.control_socket, pipeline_commands(pipeline)))
        yield pipeline


def _open_views(config: LineConfig, stack: ExitStack) -> list[View]:
    """The views; those with the same bundle share it and its engine."""
    opened: dict[Path, tuple[Bundle, Engine]] = {}
    views = []
    for name, view in config.all_views.items():
        path = view.bundle or config.bundle
        if path not in opened:
            opened[path] = _open_engine(config, path)
            stack.callback(opened[path][1].close)
        bundle, engine = opened[path]
        calibration = bundle.calibration(view.recipe or config.recipe, config.engine.artefact)
        views.append(_view(name, view, Inspector(bundle, calibration, engine)))
    return views


def _open_engine(config: LineConfig, path: Path) -> tuple[Bundle, Engine]:
    bundle, engine = open_bundle(path), config.engine
    return bundle, open_engine(
        bundle, engine=engine.kind, artefact=engine.artefact, threads=engine.threads
    )


def _view(name: str, config: ViewConfig, inspector: Inspector) -> View:
    camera = camera_from_config(config.camera)
    if is_fired(config.camera) and isinstance(camera, SoftwareTriggered):
        return View(name, camera, inspector, camera.trigger)
    return View(name, camera, inspector)


def _limits(config: LineConfig) -> PartLimits:
    return PartLimits(
        deadline_ms=config.deadline_ms,
        frame_limit_ms=config.trigger.frame_limit_ms,
        debounce_ms=getattr(config.trigger, "debounce_ms", 0.0),
        parts_max=config.parts_max,
    )


def _archive(config: LineConfig) -> ImageArchive | None:
    archive = config.archive
    return ImageArchive(archive.folder, archive.keep, archive.max_bytes) if archive else None
