"""Numbered recipes of a line: what each changes of its configuration."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import Field

from edge.camera import CameraConfig, GenicamConfig
from edge.camera.genicam import GenicamSettings
from edge.config import ConfigPath, StrictModel
from edge.recipe.part_check import ChecksConfig
from edge.stages.views import ONLY_VIEW

Camera = TypeVar("Camera", CameraConfig, CameraConfig | None)
Recipe = Annotated[str, Field(coerce_numbers_to_str=True)]
RecipeNumber = Annotated[int, Field(ge=1, le=65535)]  # fits a register of a PLC
ViewName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]


class ViewConfig(StrictModel):
    """One of several cameras that look at every part.

    Attributes:
        bundle: None for that of the line; views with the same one share an engine.
        recipe: None for that of the line.
    """

    camera: CameraConfig
    bundle: ConfigPath | None = None
    recipe: Recipe | None = None


class RecipeViewConfig(StrictModel):
    """What one of several views is judged by; None for that of the recipe.

    Attributes:
        settings: of its camera, those that differ.
    """

    bundle: ConfigPath | None = None
    recipe: Recipe | None = None
    settings: GenicamSettings | None = None


class RecipeConfig(StrictModel):
    """What a recipe number stands for; None for what the line itself says.

    Attributes:
        artefact: file of the bundles to run; see `EngineConfig`.
        settings: of the only camera, those that differ from what stands there; for cameras that
            have `settings`.
        checks: the reference parts of this recipe.
        views: what differs between them, by their names, where the line has several.
    """

    bundle: ConfigPath | None = None
    recipe: Recipe | None = None
    artefact: str | None = None
    settings: GenicamSettings | None = None
    checks: ChecksConfig | None = None
    views: dict[ViewName, RecipeViewConfig] = Field(default_factory=dict)

    @property
    def all_settings(self) -> list[tuple[str, GenicamSettings]]:
        """The camera settings of each view that has some."""
        given = {ONLY_VIEW: self.settings}
        given |= {name: view.settings for name, view in self.views.items()}
        return [(name, settings) for name, settings in given.items() if settings is not None]


def view_with_recipe(view: ViewConfig, recipe: RecipeViewConfig) -> ViewConfig:
    """A view as it is while a recipe is in force."""
    camera = camera_with_settings(view.camera, recipe.settings)
    return ViewConfig(camera=camera, bundle=recipe.bundle, recipe=recipe.recipe)


def camera_with_settings(camera: Camera, settings: GenicamSettings | None) -> Camera:
    """A camera with some of its settings changed."""
    if settings is None or not isinstance(camera, GenicamConfig):
        return camera
    changes = _given(settings)
    if "features" in changes:
        changes["features"] = {**camera.settings.features, **settings.features}
    return camera.model_copy(update={"settings": camera.settings.model_copy(update=changes)})


def unsettable(view: ViewConfig | None, settings: GenicamSettings) -> str:
    """Why a recipe cannot change these settings; empty when it can."""
    if view is None:
        return "with several views, 'settings' stand in 'views'"
    if not isinstance(view.camera, GenicamConfig):
        return f"a camera of kind {view.camera.kind} has no 'settings'"
    if settings.trigger is not None:
        return "settings.trigger is that of the line, the same for all recipes"
    known = view.camera.settings
    unset = {
        *(_given(settings).keys() - _given(known)),
        *(settings.features.keys() - known.features),
    }
    if unset:  # the camera would keep it when another recipe takes over
        return f"settings: {', '.join(sorted(unset))} should be in the settings of the camera too"
    return ""


def _given(settings: GenicamSettings) -> dict[str, Any]:
    """The settings that are set, by name."""
    return {name: value for name, value in settings if value not in (None, {})}
