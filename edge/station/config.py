"""Configuration of one line: `linewarden run --config line.yaml`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from edge.camera import GenicamConfig
from edge.encoder import EncoderConfig
from edge.line import GpioConfig, OutputConfig, StorableConfig
from edge.line.gate import GateConfig
from edge.peers.resources import ListeningPort
from edge.pipeline.settings import RunSettings
from edge.recipe.config import (
    RecipesConfig,
    is_fired,
    trigger_source,
)
from edge.recipe.request.config import RecipeRequestConfig
from edge.station.alarm import AlarmConfig
from edge.store.config import RecordsConfig
from edge.store.database import FILE_NAME
from edge.store.station_records import IMAGES_NAME, JOURNAL_NAME
from edge.trigger import (
    CameraTriggerConfig,
    FrameTriggerConfig,
    PresenceTriggerConfig,
    TriggerConfig,
)
from inspection.config.claims import Claim, Claimant
from inspection.config.flaws import Flaw, Keys, refuse
from inspection.config.loading import ConfigPath
from inspection.config.resources import Use, UsedPath

_IS_EXPOSED = (
    "should be Software, or {other} should be camera: a camera that its own input exposes may do "
    "so before the station knows of the part, which would get the frame of the next one"
)
_RUNS_FREE = (
    "should be left out with its section, or {other} should be camera: a camera that its own input "
    "exposes never shows the empty line"
)


class HealthConfig(Claimant):
    """The health page: /metrics, /healthz, /readyz; see `edge.service.health`.

    Attributes:
        port: each line on a device needs its own.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 9540

    def claims(self) -> Iterable[Claim]:
        """Returns the claim to the port."""
        yield Claim(("port",), ListeningPort(self.host, self.port))


class LineConfig(RecipesConfig):
    """A line: bundle and recipe, camera or views, trigger, deadline, outputs, records.

    Attributes:
        recipe_request: the peer that requests recipes; None for none.
        encoder: counts the travel of the conveyor.
        lost_camera: reopen it until it is back, with FAULT meanwhile; or stop the run.
        deadline_ms: from the trigger to the verdict; a later verdict is NO_VERDICT.
        parts_max: parts between trigger and verdict; a further one is NO_VERDICT, overtrigger.
        records: leave out to keep none. With them, verdicts for MQTT and webhooks are stored
            until they are confirmed.
        alarm: leave out for none.
        health: None for no health page.
        control_socket: Unix domain socket for `linewarden trigger`; see `edge.station.control`.
    """

    moved_keys: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"archive": "write records: {folder: ..., images: {keep: ..., max_bytes: ...}} instead"}
    )

    schema_version: Literal[1] = 1
    recipe_request: RecipeRequestConfig | None = None
    trigger: TriggerConfig = CameraTriggerConfig()
    encoder: EncoderConfig | None = None
    lost_camera: Literal["reopen", "stop"] = "reopen"
    deadline_ms: Annotated[float, Field(gt=0)] = 1000.0
    parts_max: Annotated[int, Field(ge=1, le=100)] = 3
    outputs: tuple[OutputConfig, ...] = Field(min_length=1)
    records: RecordsConfig | None = None
    alarm: AlarmConfig | None = None
    health: HealthConfig | None = None
    control_socket: ConfigPath | None = None

    def claims(self) -> Iterable[Claim]:
        """Returns the claims to the control socket and to the files of the records."""
        if self.control_socket is not None:
            yield Claim(("control_socket",), UsedPath(self.control_socket, Use.FILE, "the socket"))
        if self.records is not None:
            folder = self.records.folder
            for name in (FILE_NAME, JOURNAL_NAME):
                yield Claim(("records", "folder"), UsedPath(folder / name, Use.FILE, "records"))
            images = UsedPath(folder / IMAGES_NAME, Use.FOLDER, "images of records")
            yield Claim(("records", "folder"), images)

    @model_validator(mode="after")
    def _requests_its_recipes(self) -> LineConfig:
        if self.recipe_request is not None and not self.recipes:
            refuse([Flaw(("recipe_request",), "needs {other}", ("recipes",))])
        return self

    @model_validator(mode="after")
    def _gates_have_their_encoder(self) -> LineConfig:
        refuse(
            flaw
            for place, output in enumerate(self.outputs)
            if isinstance(output, GpioConfig) and output.gate is not None
            for flaw in self._flaws_of_gate(output.gate, ("outputs", place, "gate"))
        )
        return self

    def _flaws_of_gate(self, gate: GateConfig, keys: Keys) -> Iterable[Flaw]:
        if gate.travel_counts is not None and self.encoder is None:
            yield Flaw((*keys, "travel_counts"), "needs {other}", ("encoder",))
        if gate.travel_ms is not None and gate.travel_ms <= self.deadline_ms:
            what = "should be above {other}: a part would be at the gate before its verdict"
            yield Flaw((*keys, "travel_ms"), what, ("deadline_ms",))

    @model_validator(mode="after")
    def _peers_answer_before_their_thread_hangs(self) -> LineConfig:
        refuse(
            flaw for keys, part in self._waiting_for_peers() for flaw in _flaws_of_wait(keys, part)
        )
        return self

    def _waiting_for_peers(self) -> Iterable[tuple[Keys, object]]:
        """Yields the trigger and the outputs, but for those that wait behind an outbox."""
        yield ("trigger",), self.trigger
        for place, output in enumerate(self.outputs):
            if self.records is None or not isinstance(output, StorableConfig):
                yield ("outputs", place), output

    @model_validator(mode="after")
    def _has_what_the_trigger_needs(self) -> LineConfig:
        trigger = self.trigger
        if (trigger.frame_limit_ms or 0) > self.deadline_ms:
            limit = ("trigger", "frame_limit_ms")
            refuse([Flaw(limit, "should not be above {other}", ("deadline_ms",))])
        for kind, key in (("software", "control_socket"), ("encoder", "encoder")):
            if trigger.kind == kind and getattr(self, key) is None:
                refuse([Flaw(("trigger", "kind"), f"{kind!r} needs {{other}}", (key,))])
        if isinstance(trigger, PresenceTriggerConfig):
            _check_view(trigger.view, list(self.all_views))
            refuse(self._flaws_of_wired_cameras(_RUNS_FREE))
            refuse(self._flaws_of_region(trigger))
        fired = [name for name, view in self.all_views.items() if is_fired(view.camera)]
        if isinstance(trigger, FrameTriggerConfig) and fired:
            raise ValueError(
                "a camera whose trigger source is Software gives no frame by itself: "
                "trigger.kind should be software, interval, encoder, modbus, s7, ethernet_ip "
                "or mqtt"
            )
        if not isinstance(trigger, FrameTriggerConfig):
            refuse(self._flaws_of_wired_cameras(_IS_EXPOSED))
        return self

    def _flaws_of_wired_cameras(self, what: str) -> Iterable[Flaw]:
        """Refuse cameras with a trigger of their own where something else announces the parts."""
        for name, view in self.all_views.items():
            if trigger_source(view.camera) not in (None, "Software"):
                keys = (*self._keys_of_camera(name), "settings", "trigger", "source")
                yield Flaw(keys, what, ("trigger", "kind"))

    def _flaws_of_region(self, trigger: PresenceTriggerConfig) -> Iterable[Flaw]:
        """Refuse a region beyond the frame, where the camera has one size for all recipes."""
        name = trigger.view or next(iter(self.all_views))
        camera, region = self.all_views[name].camera, trigger.region
        sized: object = camera
        keys = self._keys_of_camera(name)
        if isinstance(camera, GenicamConfig):
            sized, keys = camera.settings, (*keys, "settings")
        if region is not None and not self.recipes:
            ends = {"width": region.left + region.width, "height": region.top + region.height}
            for side, end in ends.items():
                if end > (getattr(sized, side, None) or end):
                    what = f"reaches to pixel {end}, beyond {{other}}"
                    yield Flaw(("trigger", "region"), what, (*keys, side))

    def _keys_of_camera(self, view: str) -> Keys:
        return ("camera",) if self.camera is not None else ("views", view, "camera")


def _flaws_of_wait(keys: Keys, part: object) -> Iterable[Flaw]:
    hold_ms: float = getattr(part, "hold_ms", 0.0)
    limit_ms = RunSettings.limit_s * 1e3
    if getattr(part, "timeout_ms", 0.0) + hold_ms > limit_ms:
        both = " together with hold_ms" if hold_ms else ""
        what = f"should not be above {limit_ms:g}{both}: a thread that waits longer counts as hung"
        yield Flaw((*keys, "timeout_ms"), what)


def _check_view(name: str | None, views: Sequence[str]) -> None:
    if name not in views and not (name is None and len(views) == 1):
        raise ValueError(f"trigger.view should be one of {', '.join(views)}")
