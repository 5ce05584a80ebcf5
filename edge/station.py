"""From the configuration of a line to its pipeline."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from edge.alarm import Alarm, RejectAlarm, log_alarm
from edge.camera import camera_from_config
from edge.inspector import Inspector
from edge.line import LineOutput, StorableConfig, output_from_config
from edge.line_config import LineConfig
from edge.pipeline import Pipeline
from edge.records import InspectionRecord, identity_from_calibration
from edge.store.images import ImageArchive
from edge.store.station import IMAGES_NAME, StationRecords
from edge.triggers import Trigger


class Station(NamedTuple):
    """A line, put together.

    Attributes:
        records: None where none are kept.
        alarm: None where none is configured.
    """

    pipeline: Pipeline
    records: StationRecords | None
    alarm: RejectAlarm | None


@contextlib.contextmanager
def open_station(
    config: LineConfig,
    on_record: Callable[[InspectionRecord], None],
    on_alarm: Callable[[Alarm], None] = log_alarm,
) -> Iterator[Station]:
    """Everything that `config` names, put together and ready for `Pipeline.run`.

    Args:
        on_record: receives each record once, on the delivery thread.
        on_alarm: receives each change of the alarm, there too.

    Raises:
        BundleError: the bundle does not verify, or the recipe is not calibrated for the artefact.
        EngineError: the engine is not installed or cannot run the artefact.
        RecordsError: the records cannot be opened.
    """
    with contextlib.ExitStack() as stack:
        inspector = stack.enter_context(_open_inspector(config))
        identity = identity_from_calibration(inspector.calibration)
        outputs, stored = _outputs(config)
        records = None
        if config.records is not None:
            records = StationRecords(config.records, identity, stored)
            stack.enter_context(records.open())
            outputs += records.outputs
        alarm = RejectAlarm(config.alarm, on_alarm) if config.alarm is not None else None

        def keep(record: InspectionRecord) -> None:
            if records is not None:
                records.on_record(record)
            if alarm is not None:
                alarm.note(record)
            on_record(record)

        pipeline = Pipeline(
            camera=camera_from_config(config.camera),
            inspector=inspector,
            identity=identity,
            outputs=outputs,
            deadline_ms=config.deadline_ms,
            archive=_archive(config),
            on_trigger=records.on_trigger if records is not None else _ignore,
            on_record=keep,
        )
        yield Station(pipeline, records, alarm)


def _ignore(_trigger: Trigger) -> None:
    pass


def _outputs(config: LineConfig) -> tuple[list[LineOutput], dict[str, LineOutput]]:
    """The outputs that are told at once, and by name those behind an outbox."""
    direct: list[LineOutput] = []
    stored: dict[str, LineOutput] = {}
    for output in config.outputs:
        if config.records is not None and isinstance(output, StorableConfig):
            stored[output.outbox] = output_from_config(output)
        else:
            direct.append(output_from_config(output))
    return direct, stored


def _open_inspector(config: LineConfig) -> Inspector:
    return Inspector.open(
        config.bundle,
        config.recipe,
        engine=config.engine.kind,
        artefact=config.engine.artefact,
        threads=config.engine.threads,
    )


def _archive(config: LineConfig) -> ImageArchive | None:
    records = config.records
    if records is None or records.images is None:
        return None
    return ImageArchive(records.folder / IMAGES_NAME, records.images)
