"""From the configuration of a line to its pipeline."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import NamedTuple

from edge.alarm import Alarm, RejectAlarm, log_alarm
from edge.changeover import Changeover
from edge.control import ControlSocket, station_commands
from edge.encoder import Encoder, encoder_from_config
from edge.intake import PartLimits
from edge.line import LineOutput, StorableConfig, output_from_config
from edge.line_config import LineConfig
from edge.loaded_recipe import LoadedRecipe, load_recipe, view_camera
from edge.monitor import DriftWatch
from edge.pipeline import Pipeline
from edge.recipe_request import recipe_requests_from_config
from edge.records import InspectionRecord
from edge.service import health_from_config
from edge.station_status import StationStatus
from edge.status import PipelineStatus
from edge.store.images import ImageArchive
from edge.store.station import IMAGES_NAME, StationRecords
from edge.trigger import trigger_from_config
from edge.triggers import Trigger
from edge.views import View


class Station(NamedTuple):
    """A line, put together.

    Attributes:
        records: None where none are kept.
        alarm: None where none is configured.
        drift: watches nothing when no calibration holds a baseline.
        changeover: the recipe in force and its check with reference parts.
    """

    pipeline: Pipeline
    records: StationRecords | None
    alarm: RejectAlarm | None
    drift: DriftWatch
    changeover: Changeover

    def status(self) -> StationStatus:
        """What the line does now; from any thread."""
        recipe = self.changeover.active
        recipes = {view: inspector.identity for view, inspector in recipe.inspectors.items()}
        return StationStatus(
            pipeline=self.pipeline.status(),
            recipe=self.changeover.status,
            check=recipe.check.status if recipe.check is not None else None,
            rejects=dict(self.alarm.raised) if self.alarm is not None else {},
            drift=self.drift.standing(recipes),
            records=self.records.status() if self.records is not None else None,
        )


@contextlib.contextmanager
def open_station(
    config: LineConfig,
    on_record: Callable[[InspectionRecord], None],
    on_alarm: Callable[[Alarm], None] = log_alarm,
    *,
    on_turn: Callable[[PipelineStatus], None] | None = None,
    waits_to_open: bool = False,
) -> Iterator[Station]:
    """Everything that `config` names, put together and ready for `Pipeline.run`.

    Args:
        on_record: receives each record once, on the delivery thread.
        on_alarm: receives an alarm when it begins and when it ends, on the delivery thread.
        on_turn: see `Pipeline`.
        waits_to_open: see `Pipeline`.

    Raises:
        ConfigError: the health page cannot be served.
        BundleError: the bundle does not verify, or the recipe is not calibrated for the artefact.
        EngineError: the engine is not installed, cannot run the artefact, or gives other results on
            the golden frames.
        LineError: the control socket cannot be opened, or what the trigger needs is not installed.
        RecordsError: the records cannot be opened.
    """
    with ExitStack() as stack:
        encoder = encoder_from_config(config.encoder) if config.encoder is not None else None
        if encoder is not None:
            stack.callback(encoder.close)
        pipeline: Pipeline
        drift = DriftWatch()

        def load(number: int | None) -> LoadedRecipe:
            recipe = load_recipe(config, number)
            with ExitStack() as failed:
                failed.callback(recipe.close)
                recipe.watch(drift)
                failed.pop_all()
            return recipe

        start = load(config.start_recipe)
        changeover = Changeover(start, config.recipes, load, lambda: pipeline)
        stack.callback(changeover.close)
        cameras = {name: view_camera(camera) for name, camera in start.cameras.items()}
        views = [
            View(name, camera, start.inspectors[name], expose)
            for name, (camera, expose) in cameras.items()
        ]
        outputs, records = _open_outputs(config, encoder, stack)
        health = health_from_config(config, views)
        alarm = RejectAlarm(config.alarm, on_alarm) if config.alarm is not None else None

        takers = [
            records.on_record if records is not None else None,
            alarm.note if alarm is not None else None,
            changeover.take,
            health.observe if health is not None else None,
            on_record,
        ]

        def keep(record: InspectionRecord) -> None:
            for take in filter(None, takers):
                take(record)

        def turn() -> None:
            if on_turn is not None:
                on_turn(pipeline.status())

        pipeline = Pipeline(
            views=views,
            outputs=outputs,
            limits=_limits(config),
            trigger=trigger_from_config(config.trigger, encoder),
            reopens=config.lost_camera == "reopen",
            keep_warm_ms=config.engine.keep_warm_ms,
            archive=_archive(config),
            watch=drift if drift.is_watching or config.recipes else None,
            blocked=changeover.blocked,
            on_trigger=records.on_trigger if records is not None else _ignore,
            on_record=keep,
            on_turn=turn,
            waits_to_open=waits_to_open,
        )
        station = Station(pipeline, records, alarm, drift, changeover)
        if health is not None:
            stack.enter_context(health.serving(station.status))
        if config.control_socket is not None:
            commands = station_commands(pipeline, changeover, station.status)
            stack.enter_context(ControlSocket(config.control_socket, commands))
        if config.recipe_request is not None:
            stack.enter_context(recipe_requests_from_config(config.recipe_request, changeover))
        yield station


def _ignore(_trigger: Trigger) -> None:
    pass


def _open_outputs(
    config: LineConfig, encoder: Encoder | None, stack: ExitStack
) -> tuple[list[LineOutput], StationRecords | None]:
    """The outputs in their order, those that can be stored behind an outbox where there is one."""
    outputs = [output_from_config(output, encoder) for output in config.outputs]
    if config.records is None:
        return outputs, None
    stored = {
        output.outbox: outputs[place]
        for place, output in enumerate(config.outputs)
        if isinstance(output, StorableConfig)
    }
    records = stack.enter_context(StationRecords(config.records, stored).open())
    behind = {output.name: output for output in records.outputs}
    return [
        behind[output.outbox] if isinstance(output, StorableConfig) else direct
        for output, direct in zip(config.outputs, outputs, strict=True)
    ], records


def _limits(config: LineConfig) -> PartLimits:
    return PartLimits(
        deadline_ms=config.deadline_ms,
        frame_limit_ms=config.trigger.frame_limit_ms,
        debounce_ms=getattr(config.trigger, "debounce_ms", 0.0),
        parts_max=config.parts_max,
    )


def _archive(config: LineConfig) -> ImageArchive | None:
    records = config.records
    if records is None or records.images is None:
        return None
    return ImageArchive(records.folder / IMAGES_NAME, records.images)
