"""Builds the pipeline of a line from its configuration."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from edge.drift.monitor import DriftWatch
from edge.encoder import Encoder
from edge.line import HoldsFile, LineOutput, StorableConfig, output_from_config, output_names
from edge.part.record import InspectionRecord
from edge.pipeline.pipeline import Pipeline
from edge.pipeline.settings import (
    Hooks,
    PartLimits,
    RunSettings,
    View,
    ignore,
    note_no_verdict,
    note_nowhere,
)
from edge.pipeline.status import PipelineStatus, RunSummary
from edge.recipe.changeover import Changeover
from edge.recipe.loaded import LoadedRecipe, load_recipe, view_camera
from edge.recipe.request import recipe_requests_from_config
from edge.station.alarm import RejectAlarm, RejectMonitor, log_alarm
from edge.station.commands import station_commands
from edge.station.config import LineConfig
from edge.station.control import ControlSocket
from edge.station.newest_part import NewestPart
from edge.station.signals import signal_values
from edge.station.status import StationStatus
from edge.station.trouble_watch import TroubleWatch
from edge.store.images import ImageArchive
from edge.store.labelling import Labelling
from edge.store.station_records import IMAGES_NAME, StationRecords


class Station(NamedTuple):
    """An assembled line.

    Attributes:
        records: None where none are kept.
        alarm: None where none is configured.
        drift: watches nothing when no calibration holds a baseline.
        changeover: holds the recipe in force and its check with reference parts.
        newest: the newest part as pictures.
        labelling: takes the labels of people.
        drivers: of the outputs by name, and of the trigger, behind everything that stores or times.
    """

    pipeline: Pipeline
    records: StationRecords | None
    alarm: RejectMonitor | None
    drift: DriftWatch
    changeover: Changeover
    newest: NewestPart
    labelling: Labelling
    drivers: Mapping[str, object]

    def reopen_files(self) -> None:
        """Has the outputs open their files anew, as after a log rotation; from a signal handler."""
        for driver in self.drivers.values():
            if isinstance(driver, HoldsFile):
                driver.reopen()

    def with_outboxes(self, summary: RunSummary) -> RunSummary:
        """Returns a summary that counts the verdicts in the outboxes as waiting too."""
        if self.records is None:
            return summary
        labels, waiting = self.records.labels, self.records.status().outboxes
        counted = {labels[outbox]: count for outbox, count in waiting.items()}
        outputs = {
            name: replace(output, waiting=output.waiting + counted.get(name, 0))
            for name, output in summary.outputs.items()
        }
        return replace(summary, outputs=outputs)

    def state(self) -> dict[str, Any]:
        """Returns the state as the control socket answers it; from any thread."""
        pipeline = self.pipeline
        return {
            "state": pipeline.state.value,
            "faults": pipeline.faults,
            **self.status().as_json(),
        }

    def status(self) -> StationStatus:
        """Returns the state of the line at this moment; from any thread."""
        recipe = self.changeover.active
        return StationStatus(
            pipeline=self.pipeline.status(),
            recipe=self.changeover.status,
            identities=recipe.identities,
            check=recipe.check.status if recipe.check is not None else None,
            rejects=dict(self.alarm.raised) if self.alarm is not None else {},
            drift=self.drift.standing(recipe.identities),
            records=self.records.status() if self.records is not None else None,
        )


@contextlib.contextmanager
def open_station(
    config: LineConfig,
    on_record: Callable[[InspectionRecord], None],
    on_alarm: Callable[[RejectAlarm], None] = log_alarm,
    *,
    on_turn: Callable[[PipelineStatus], None] | None = None,
    waits_to_open: bool = False,
) -> Iterator[Station]:
    """Opens everything that `config` names, ready for `Pipeline.run`.

    Args:
        on_record: receives each record once, on the delivery thread.
        on_alarm: receives an alarm when it begins and when it ends, on the delivery thread.
        on_turn: see `Hooks`.
        waits_to_open: see `RunSettings`.

    Raises:
        BundleError: the bundle does not verify, or the recipe is not calibrated for the artefact.
        EngineError: the engine is not installed, cannot run the artefact, or gives other results on
            the golden frames.
        LineError: the control socket cannot be opened, or a package for the trigger is not
            installed.
        RecordsError: the records cannot be opened.
    """
    with ExitStack() as stack:
        encoder = _open_encoder(config, stack)
        drift = DriftWatch()
        changeover = _open_changeover(config, drift, stack)
        outputs, records, drivers = _open_outputs(config, encoder, stack)
        trigger = config.trigger.driver(encoder)
        alarm = RejectMonitor(config.alarm, on_alarm) if config.alarm is not None else None
        archive = _archive(config, records)
        newest = NewestPart(archive)
        changes = config.recipes or config.control_socket  # a later calibration may have a baseline
        pipeline = Pipeline(
            views=_views(changeover.active),
            outputs=outputs,
            settings=_settings(config, waits_to_open),
            trigger=trigger,
            archive=newest,
            watch=drift if drift.is_watching or changes else None,
            hooks=_hooks(records, alarm, changeover, on_record, on_turn),
        )
        changeover.serve(pipeline)
        station = Station(
            pipeline,
            records,
            alarm,
            drift,
            changeover,
            newest,
            Labelling(records, archive),
            drivers={**drivers, "trigger": trigger},
        )
        _open_requests(config, station, stack)
        if records is not None:
            watch = TroubleWatch(station.state, records)
            stack.enter_context(watch.watching())
        yield station


def _open_encoder(config: LineConfig, stack: ExitStack) -> Encoder | None:
    if config.encoder is None:
        return None
    encoder = config.encoder.driver()
    stack.callback(encoder.close)
    return encoder


def _open_changeover(config: LineConfig, drift: DriftWatch, stack: ExitStack) -> Changeover:
    """Opens the recipe of the start, and what opens the others."""
    load = partial(_load, config, drift)
    changeover = Changeover(load(config.start_recipe), config.recipes, load)
    stack.callback(changeover.close)
    return changeover


def _hooks(
    records: StationRecords | None,
    alarm: RejectMonitor | None,
    changeover: Changeover,
    on_record: Callable[[InspectionRecord], None],
    on_turn: Callable[[PipelineStatus], None] | None,
) -> Hooks:
    """Returns the calls of the pipeline; each record goes to the database first."""
    observers = [
        records.on_record if records is not None else None,
        alarm.add if alarm is not None else None,
        changeover.on_record,
        on_record,
    ]
    return Hooks(
        blocked=partial(_blocked, changeover, records),
        on_trigger=records.on_trigger if records is not None else note_nowhere,
        on_verdict=records.on_verdict if records is not None else note_no_verdict,
        on_pending=records.on_pending if records is not None else ignore,
        on_record=partial(_pass_on, [observe for observe in observers if observe is not None]),
        on_turn=on_turn,
    )


def _load(config: LineConfig, drift: DriftWatch, number: int | None) -> LoadedRecipe:
    """Verifies and opens a recipe, and watches it for drift."""
    recipe = load_recipe(config, number)
    with ExitStack() as failed:
        failed.callback(recipe.close)
        recipe.watch(drift)
        failed.pop_all()
    return recipe


def _views(start: LoadedRecipe) -> list[View]:
    cameras = {name: view_camera(config) for name, config in start.cameras.items()}
    return [
        View(name, camera, start.inspectors[name], expose)
        for name, (camera, expose) in cameras.items()
    ]


def _pass_on(
    observers: Sequence[Callable[[InspectionRecord], None]], record: InspectionRecord
) -> None:
    for observe in observers:
        observe(record)


def _blocked(changeover: Changeover, records: StationRecords | None) -> str | None:
    return changeover.blocked() or (records.blocked() if records is not None else None)


def _open_requests(config: LineConfig, station: Station, stack: ExitStack) -> None:
    """Opens the control socket and the recipe requests of a peer, where configured."""
    drivers = dict(station.drivers)
    requests = None
    if config.recipe_request is not None:
        requests = recipe_requests_from_config(config.recipe_request, station.changeover)
        drivers["recipe_request"] = requests
    if config.control_socket is not None:
        commands = station_commands(
            station.pipeline,
            station.changeover,
            station.state,
            newest=station.newest,
            labelling=station.labelling,
            signals=partial(signal_values, drivers),
        )
        stack.enter_context(ControlSocket(config.control_socket, commands))
    if requests is not None:
        stack.enter_context(requests)


def _open_outputs(
    config: LineConfig, encoder: Encoder | None, stack: ExitStack
) -> tuple[dict[str, LineOutput], StationRecords | None, dict[str, LineOutput]]:
    """Returns the outputs by name, in their order; with records, the storable behind an outbox.

    The last are the same outputs without their outboxes.
    """
    outputs = [output_from_config(output, encoder) for output in config.outputs]
    names = output_names(config.outputs)
    drivers = dict(zip(names, outputs, strict=True))
    if config.records is None:
        return drivers, None, drivers
    storable = [
        (output.outbox, name, direct)
        for name, output, direct in zip(names, config.outputs, outputs, strict=True)
        if isinstance(output, StorableConfig)
    ]
    stored = {outbox: direct for outbox, _, direct in storable}
    labels = {outbox: name for outbox, name, _ in storable}
    records = stack.enter_context(StationRecords(config.records, stored, labels).open())
    behind = {output.name: output for output in records.outputs}
    return (
        {
            name: behind[output.outbox] if isinstance(output, StorableConfig) else direct
            for name, output, direct in zip(names, config.outputs, outputs, strict=True)
        },
        records,
        drivers,
    )


def _settings(config: LineConfig, waits_to_open: bool) -> RunSettings:
    return RunSettings(
        parts=PartLimits(
            deadline_ms=config.deadline_ms,
            frame_limit_ms=config.trigger.frame_limit_ms,
            debounce_ms=getattr(config.trigger, "debounce_ms", 0.0),
            parts_max=config.parts_max,
        ),
        reopens=config.lost_camera == "reopen",
        waits_to_open=waits_to_open,
        keep_warm_ms=config.engine.keep_warm_ms,
    )


def _archive(config: LineConfig, records: StationRecords | None) -> ImageArchive | None:
    if records is None or config.records is None or config.records.images is None:
        return None
    return ImageArchive(
        config.records.folder / IMAGES_NAME, config.records.images, records.service.now
    )
