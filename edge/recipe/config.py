"""The recipes of a line, and the changes that each makes to its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import Field, model_validator

from edge.camera import CameraConfig, GenicamConfig
from edge.camera.genicam import GenicamSettings
from edge.part.result import ONLY_VIEW
from edge.peers.triton import TritonServerConfig
from edge.recipe.part_check import ChecksConfig
from inspection.config.claims import Claimant
from inspection.config.loading import ConfigPath, StrictModel
from inspection.engine import THREADS_MAX

Camera = TypeVar("Camera", CameraConfig, CameraConfig | None)
Recipe = Annotated[str, Field(coerce_numbers_to_str=True)]
RecipeNumber = Annotated[int, Field(ge=1, le=65535)]  # fits a register of a PLC
ViewName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]


class ViewConfig(Claimant):
    """One of several cameras that look at every part.

    Attributes:
        bundle: None for that of the line; views with the same one share an engine.
        recipe: None for that of the line.
    """

    camera: CameraConfig
    bundle: ConfigPath | None = None
    recipe: Recipe | None = None


class RecipeViewConfig(StrictModel):
    """The bundle and recipe of one of several views; None for those of the recipe.

    Attributes:
        settings: the settings of its camera that differ.
    """

    bundle: ConfigPath | None = None
    recipe: Recipe | None = None
    settings: GenicamSettings | None = None


class RecipeConfig(StrictModel):
    """A numbered recipe; None takes the value of the line.

    Attributes:
        artefact: file of the bundles to run; see `EngineConfig`.
        settings: the settings of the only camera that differ; for cameras that have `settings`.
        checks: the reference parts of this recipe.
        views: the differences between the views by name, where the line has several.
    """

    bundle: ConfigPath | None = None
    recipe: Recipe | None = None
    artefact: str | None = None
    settings: GenicamSettings | None = None
    checks: ChecksConfig | None = None
    views: dict[ViewName, RecipeViewConfig] = Field(default_factory=dict)

    @property
    def all_settings(self) -> list[tuple[str, GenicamSettings]]:
        """The camera settings of each view with settings."""
        given = {ONLY_VIEW: self.settings}
        given |= {name: view.settings for name, view in self.views.items()}
        return [(name, settings) for name, settings in given.items() if settings is not None]


class EngineConfig(StrictModel):
    """The engine that runs the model.

    Attributes:
        kind: name of the engine; see `inspection.engine.ENGINES`.
        artefact: file of the bundle to run; the recipe must be calibrated through it. Without
            both, what `linewarden build` chose for this machine.
        threads: None for all physical cores.
        keep_warm_ms: run it on an empty image after so long without a part; None: never. A part
            that comes meanwhile waits. With a server this notices its loss between parts.
        server: for the kind `triton`, which leaves inference to that server.
    """

    kind: str | None = None
    artefact: str | None = None
    threads: Annotated[int, Field(ge=1, le=THREADS_MAX)] | None = None
    keep_warm_ms: Annotated[float, Field(ge=1)] | None = None
    server: TritonServerConfig | None = None

    @model_validator(mode="after")
    def _server_of_triton(self) -> EngineConfig:
        if (self.kind == "triton") != (self.server is not None):
            raise ValueError("'kind: triton' and 'server' belong together")
        if self.server is not None and self.threads is not None:
            raise ValueError("'threads' is for an engine on this device: leave it out")
        return self


class RecipesConfig(Claimant):
    """The inspection of a line: bundle, engine, cameras, and numbered recipes.

    Attributes:
        camera: the only one; or else `views`.
        views: several cameras by the name of their view; their verdicts are joined to one.
        recipes: by the numbers that the line requests; see `edge.recipe.changeover`. Without them
            the line has one recipe, and no changeover.
        start_recipe: the number that it starts with.
        checks: leave out for none.
    """

    bundle: ConfigPath
    recipe: Recipe = "default"
    engine: EngineConfig = EngineConfig()
    camera: CameraConfig | None = None
    views: dict[ViewName, ViewConfig] = Field(default_factory=dict)
    recipes: dict[RecipeNumber, RecipeConfig] = Field(default_factory=dict)
    start_recipe: RecipeNumber | None = None
    checks: ChecksConfig | None = None

    @property
    def all_views(self) -> Mapping[str, ViewConfig]:
        """The views by name; a line with one camera has one, called "main"."""
        if self.camera is None:
            return self.views
        return {ONLY_VIEW: ViewConfig(camera=self.camera)}

    def with_recipe(self, number: int) -> RecipesConfig:
        """Returns the configuration while one of its recipes is in force."""
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

    def by_number(self) -> dict[int | None, RecipesConfig]:
        """Returns the configuration under each recipe; itself under None where there are none."""
        if not self.recipes:
            return {None: self}
        return {number: self.with_recipe(number) for number in self.recipes}

    @model_validator(mode="after")
    def _has_cameras(self) -> RecipesConfig:
        if (self.camera is None) == (not self.views):
            raise ValueError("should have either 'camera' or 'views'")
        return self

    @model_validator(mode="after")
    def _has_its_recipes(self) -> RecipesConfig:
        if self.recipes and self.start_recipe not in self.recipes:
            numbers = ", ".join(map(str, self.recipes))
            raise ValueError(f"start_recipe should be one of {numbers}")
        if self.start_recipe is not None and not self.recipes:
            raise ValueError("'start_recipe' needs 'recipes'")
        for number, recipe in self.recipes.items():
            if unknown := recipe.views.keys() - self.views.keys():
                names = ", ".join(sorted(unknown))
                raise ValueError(f"recipes.{number}.views names {names}, not among the views")
            for name, settings in recipe.all_settings:
                if problem := unsettable(self.all_views.get(name), settings):
                    raise ValueError(f"recipes.{number}: {problem}")
        if self.recipes and any(view.bundle or view.recipe for view in self.views.values()):
            raise ValueError(
                "with 'recipes', put bundle and recipe of a view into the views of each recipe"
            )
        return self


def view_with_recipe(view: ViewConfig, recipe: RecipeViewConfig) -> ViewConfig:
    """Returns a view while a recipe is in force."""
    camera = camera_with_settings(view.camera, recipe.settings)
    return ViewConfig(camera=camera, bundle=recipe.bundle, recipe=recipe.recipe)


def camera_with_settings(camera: Camera, settings: GenicamSettings | None) -> Camera:
    """Returns a camera with some of its settings changed."""
    if settings is None or not isinstance(camera, GenicamConfig):
        return camera
    changes = _given(settings)
    if "features" in changes:
        changes["features"] = {**camera.settings.features, **settings.features}
    return camera.model_copy(update={"settings": camera.settings.model_copy(update=changes)})


def unsettable(view: ViewConfig | None, settings: GenicamSettings) -> str:
    """Returns why a recipe cannot change these settings; empty when it can."""
    if view is None:
        return "with several views, put 'settings' into 'views'"
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
    """Returns the given settings by name."""
    return {name: value for name, value in settings if value not in (None, {})}


def trigger_source(camera: CameraConfig) -> str | None:
    """Returns the signal that exposes a camera; None for one that runs free, or as it is set."""
    settings = getattr(camera, "settings", None)
    if not isinstance(settings, GenicamSettings) or settings.trigger is None:
        return None
    return settings.trigger.source


def is_fired(camera: CameraConfig) -> bool:
    """Returns whether a camera exposes a frame when the program tells it to."""
    return trigger_source(camera) == "Software"
