"""Configuration of one line: `linewarden run --config line.yaml`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, model_validator

from edge.encoder import EncoderConfig
from edge.line import GpioConfig, OutputConfig, StorableConfig
from edge.recipe.config import (
    RecipesConfig,
    is_fired,
)
from edge.recipe.request.config import RecipeRequestConfig
from edge.station.alarm import AlarmConfig
from edge.store.config import RecordsConfig
from edge.trigger import (
    CameraTriggerConfig,
    FrameTriggerConfig,
    PresenceTriggerConfig,
    TriggerConfig,
)
from inspection.config.loading import ConfigPath, StrictModel


class HealthConfig(StrictModel):
    """The health page: /metrics, /healthz, /readyz; see `edge.service.health`.

    Attributes:
        port: each line on a device needs its own.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 9540


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

    @model_validator(mode="after")
    def _requests_its_recipes(self) -> LineConfig:
        if self.recipe_request is not None and not self.recipes:
            raise ValueError("'recipe_request' needs 'recipes'")
        return self

    @model_validator(mode="after")
    def _outputs_of_their_own(self) -> LineConfig:
        names = [output.outbox for output in self.outputs if isinstance(output, StorableConfig)]
        if self.records is not None and len(set(names)) < len(names):
            raise ValueError(
                "two outputs send to the same place; remove one, or give webhooks a name"
            )
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
