"""From the configuration of a line to its pipeline."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from edge.archive import ImageArchive
from edge.bundle import open_bundle
from edge.camera import camera_from_config
from edge.golden import require_golden
from edge.inspector import Inspector, open_engine
from edge.line import output_from_config
from edge.line_config import LineConfig
from edge.monitor import DriftMonitor
from edge.part_check import PartCheck
from edge.pipeline import Pipeline
from edge.records import InspectionRecord, identity_from_calibration


@dataclass(frozen=True)
class Station:
    """A line put together.

    Attributes:
        monitor: watches for drift; None when the calibration holds no baseline.
        part_check: the check with reference parts; None when none is configured.
    """

    pipeline: Pipeline
    monitor: DriftMonitor | None
    part_check: PartCheck | None


@contextlib.contextmanager
def open_station(
    config: LineConfig, on_record: Callable[[InspectionRecord], None]
) -> Iterator[Station]:
    """Everything that `config` names, put together and ready for `Pipeline.run`.

    Args:
        on_record: receives each record once, on the delivery thread.

    Raises:
        BundleError: the bundle does not verify, or the recipe is not calibrated for the artefact.
        EngineError: the engine is not installed, cannot run the artefact, or gives other results on
            the golden frames.
    """
    with _open_inspector(config) as inspector:
        monitor, check = _monitor(inspector), _part_check(config, inspector)

        def observe(record: InspectionRecord) -> None:
            if check is not None:
                check.take(record)
            on_record(record)

        pipeline = Pipeline(
            camera=camera_from_config(config.camera),
            inspector=inspector,
            identity=identity_from_calibration(inspector.calibration),
            outputs=[output_from_config(output) for output in config.outputs],
            deadline_ms=config.deadline_ms,
            archive=_archive(config),
            monitor=monitor,
            blocked=check.blocked if check is not None else lambda: None,
            on_record=observe,
        )
        yield Station(pipeline, monitor, check)


@contextlib.contextmanager
def _open_inspector(config: LineConfig) -> Iterator[Inspector]:
    """An inspector whose engine has passed the self-test."""
    bundle, artefact = open_bundle(config.bundle), config.engine.artefact
    calibration = bundle.calibration(config.recipe, artefact)
    engine = open_engine(
        bundle, engine=config.engine.kind, artefact=artefact, threads=config.engine.threads
    )
    with Inspector(bundle, calibration, engine) as inspector:
        require_golden(bundle, artefact, engine)
        yield inspector


def _archive(config: LineConfig) -> ImageArchive | None:
    archive = config.archive
    return ImageArchive(archive.folder, archive.keep, archive.max_bytes) if archive else None


def _monitor(inspector: Inspector) -> DriftMonitor | None:
    baseline = inspector.calibration.drift
    if baseline is None:
        return None
    return DriftMonitor(baseline, inspector.bundle.manifest.preprocessing.crop)


def _part_check(config: LineConfig, inspector: Inspector) -> PartCheck | None:
    if config.checks is None:
        return None
    return PartCheck(config.checks, list(inspector.calibration.scores.values()))
