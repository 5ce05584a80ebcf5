"""Configuration of one line: `linewarden run --config line.yaml`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from edge.alarm import AlarmConfig
from edge.bundle import REFERENCE_ARTEFACT
from edge.camera import CameraConfig
from edge.camera.genicam import GenicamSettings
from edge.config import ConfigPath, StrictModel
from edge.encoder import EncoderConfig
from edge.line import GpioConfig, OutputConfig, StorableConfig
from edge.recipe.config import (
    Recipe,
    RecipeConfig,
    RecipeNumber,
    RecipeViewConfig,
    ViewConfig,
    ViewName,
    camera_with_settings,
    unsettable,
    view_with_recipe,
)
from edge.recipe.part_check import ChecksConfig
from edge.recipe.request.config import RecipeRequestConfig
from edge.stages.views import ONLY_VIEW
from edge.store.config import RecordsConfig
from edge.trigger import (
    CameraTriggerConfig,
    FrameTriggerConfig,
    PresenceTriggerConfig,
    TriggerConfig,
)


class EngineConfig(StrictModel):
    """What runs the model.

    Attributes:
        kind: name of the engine; see `edge.engine.ENGINES`.
        artefact: file of the bundle to run; the recipe must be calibrated through it.
        threads: None for all physical cores.
        keep_warm_ms: run it on an empty image when it had no part for so long; None: never. A part
            that comes meanwhile waits.
    """

    kind: str = "onnxruntime"
    artefact: str = REFERENCE_ARTEFACT
    threads: Annotated[int, Field(ge=1)] | None = None
    keep_warm_ms: Annotated[float, Field(ge=1)] | None = None


class HealthConfig(StrictModel):
    """The health page: /metrics, /healthz, /readyz; see `edge.service.health`.

    Attributes:
        port: each line on a device needs its own.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 9540


class LineConfig(StrictModel):
    """A line: bundle and recipe, camera or views, trigger, deadline, outputs, records.

    Attributes:
        camera: the only one; or else `views`.
        views: several cameras by the names of what they show; their verdicts are joined to one.
        recipes: by the numbers under which the line asks for them; see `edge.recipe.changeover`.
            Without them it has one, and no changeover.
        start_recipe: the number that it starts with.
        recipe_request: who asks for recipes beside `linewarden recipe`; None for none.
        encoder: counts the way of the conveyor.
        lost_camera: open it again until it is there, with FAULT meanwhile; or end the run.
        deadline_ms: from the trigger to the verdict; later is NO_VERDICT.
        parts_max: parts between trigger and verdict; a further one is NO_VERDICT, overtrigger.
        records: leave out to keep none. With them, verdicts for MQTT and webhooks are stored
            until they are confirmed.
        alarm: leave out for none.
        checks: leave out for none.
        health: None for no health page.
        control_socket: Unix domain socket for `linewarden trigger`; see `edge.control`.
    """

    schema_version: Literal[1] = 1
    bundle: ConfigPath
    recipe: Recipe = "default"
    engine: EngineConfig = EngineConfig()
    camera: CameraConfig | None = None
    views: dict[ViewName, ViewConfig] = Field(default_factory=dict)
    recipes: dict[RecipeNumber, RecipeConfig] = Field(default_factory=dict)
    start_recipe: RecipeNumber | None = None
    recipe_request: RecipeRequestConfig | None = None
    trigger: TriggerConfig = CameraTriggerConfig()
    encoder: EncoderConfig | None = None
    lost_camera: Literal["reopen", "stop"] = "reopen"
    deadline_ms: Annotated[float, Field(gt=0)] = 1000.0
    parts_max: Annotated[int, Field(ge=1, le=100)] = 3
    outputs: tuple[OutputConfig, ...] = Field(min_length=1)
    records: RecordsConfig | None = None
    alarm: AlarmConfig | None = None
    checks: ChecksConfig | None = None
    health: HealthConfig | None = None
    control_socket: ConfigPath | None = None

    @property
    def all_views(self) -> Mapping[str, ViewConfig]:
        """The views by name; a line with one camera has one, called "main"."""
        if self.camera is None:
            return self.views
        return {ONLY_VIEW: ViewConfig(camera=self.camera)}

    def with_recipe(self, number: int) -> LineConfig:
        """The line as it is while a recipe of it is in force."""
        recipe = self.recipes[number]
        engine = self.engine.model_copy(
            update={"artefact": recipe.artefact or self.engine.artefact}
        )
        views = {
            name: view_with_recipe(view, recipe.views.get(name, RecipeViewConfig()))
            for name, view in self.views.items()
        }
        changes = {
            "bundle": recipe.bundle or self.bundle,
            "recipe": recipe.recipe or self.recipe,
            "checks": recipe.checks or self.checks,
            "camera": camera_with_settings(self.camera, recipe.settings),
            "engine": engine,
            "views": views,
        }
        return self.model_copy(update=changes)

    @model_validator(mode="after")
    def _has_cameras(self) -> LineConfig:
        if (self.camera is None) == (not self.views):
            raise ValueError("should have either 'camera' or 'views'")
        return self

    @model_validator(mode="after")
    def _has_its_recipes(self) -> LineConfig:
        if self.recipes and self.start_recipe not in self.recipes:
            numbers = ", ".join(map(str, self.recipes))
            raise ValueError(f"start_recipe should be one of {numbers}")
        if self.start_recipe is not None and not self.recipes:
            raise ValueError("'start_recipe' needs 'recipes'")
        if self.recipe_request is not None and not self.recipes:
            raise ValueError("'recipe_request' needs 'recipes'")
        for number, recipe in self.recipes.items():
            if unknown := recipe.views.keys() - self.views.keys():
                names = ", ".join(sorted(unknown))
                raise ValueError(f"recipes.{number}.views names {names}, not among the views")
            for name, settings in recipe.all_settings:
                if problem := unsettable(self.all_views.get(name), settings):
                    raise ValueError(f"recipes.{number}: {problem}")
        if self.recipes and any(view.bundle or view.recipe for view in self.views.values()):
            raise ValueError("with 'recipes', bundle and recipe of a view stand in theirs: views")
        return self

    @model_validator(mode="after")
    def _outputs_of_their_own(self) -> LineConfig:
        names = [output.outbox for output in self.outputs if isinstance(output, StorableConfig)]
        if self.records is not None and len(set(names)) < len(names):
            raise ValueError("two outputs send to the same place; remove one")
        gates = [one.gate for one in self.outputs if isinstance(one, GpioConfig) and one.gate]
        if self.encoder is None and any(gate.travel_counts is not None for gate in gates):
            raise ValueError("gate.travel_counts needs 'encoder'")
        return self

    @model_validator(mode="after")
    def _has_what_the_trigger_needs(self) -> LineConfig:
        trigger = self.trigger
        if (trigger.frame_limit_ms or 0) > self.deadline_ms:
            raise ValueError("trigger.frame_limit_ms should not be above deadline_ms")
        if trigger.kind == "software" and self.control_socket is None:
            raise ValueError("trigger.kind 'software' needs 'control_socket'")
        if trigger.kind == "encoder" and self.encoder is None:
            raise ValueError("trigger.kind 'encoder' needs 'encoder'")
        if isinstance(trigger, PresenceTriggerConfig):
            _check_view(trigger.view, list(self.all_views))
        fired = [name for name, view in self.all_views.items() if is_fired(view.camera)]
        if isinstance(trigger, FrameTriggerConfig) and fired:
            raise ValueError(
                "a camera whose trigger source is Software gives no frame by itself: "
                "trigger.kind should be software, interval, encoder, modbus or mqtt"
            )
        return self


def _check_view(name: str | None, views: Sequence[str]) -> None:
    if name not in views and not (name is None and len(views) == 1):
        raise ValueError(f"trigger.view should be one of {', '.join(views)}")


def is_fired(camera: CameraConfig) -> bool:
    """Whether a camera exposes a frame when the program tells it to."""
    settings = getattr(camera, "settings", None)
    if not isinstance(settings, GenicamSettings) or settings.trigger is None:
        return False
    return settings.trigger.source == "Software"
