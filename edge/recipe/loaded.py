"""A recipe, verified and loaded: the inspector of each view, and the check with reference parts."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from edge.camera import CameraConfig, camera_from_config
from edge.camera.base import SoftwareTriggered
from edge.drift.monitor import DriftMonitor, DriftWatch
from edge.pipeline.settings import ViewCamera
from edge.recipe.config import RecipesConfig, is_fired
from edge.recipe.part_check import PartCheck
from edge.recipe.remote import ReconnectingEngine
from inspection.bundle import Bundle, Chosen, chosen_here, open_bundle
from inspection.bundle.calibration_file import RecipeIdentity
from inspection.engine import Engine
from inspection.errors import ConfigError
from inspection.golden import GoldenFrame, golden_frames, require_golden
from inspection.inspector import Inspector
from inspection.opening import EarlyPass, open_chosen, open_early


@dataclass(frozen=True)
class LoadedRecipe:
    """The recipe that a line inspects by.

    Attributes:
        number: None where the line has no numbered recipes.
        inspectors: of each view; those with the same bundle share it and its engine.
        cameras: of each view, with the settings of the recipe.
        check: None where none is configured.
        resources: closed by `close`.
    """

    number: int | None
    inspectors: Mapping[str, Inspector]
    cameras: Mapping[str, CameraConfig]
    check: PartCheck | None
    resources: ExitStack

    @property
    def identities(self) -> dict[str, RecipeIdentity]:
        """The recipe, artefact and thresholds behind the verdicts of each view."""
        return {view: inspector.identity for view, inspector in self.inspectors.items()}

    def watch(self, drift: DriftWatch) -> None:
        """Watches each view with a baseline in its calibration."""
        for name, inspector in self.inspectors.items():
            baseline = inspector.calibration.drift
            if baseline is not None:
                crop = inspector.bundle.manifest.preprocessing.crop
                drift.add(name, inspector.identity, DriftMonitor(baseline, crop))

    def other_cameras(self, before: LoadedRecipe) -> dict[str, ViewCamera]:
        """Returns the cameras, not yet opened, whose settings are not those of another recipe."""
        return {
            name: view_camera(config)
            for name, config in self.cameras.items()
            if config != before.cameras[name]
        }

    def close(self) -> None:
        """Close its engines; no part may need them any more."""
        self.resources.close()


def load_recipe(config: RecipesConfig, number: int | None) -> LoadedRecipe:
    """Verify and open a recipe of a line, from any thread; engines that pass the self-test.

    Args:
        number: one of `config.recipes`; None for the recipe of the line itself.

    Raises:
        BundleError: a bundle does not verify, or the recipe is not calibrated for the artefact.
        ConfigError: a camera has another window than its bundle was taught with.
        EngineError: the engine is not installed, cannot run the artefact, or gives other results on
            the golden frames.
    """
    if number is not None:
        config = config.with_recipe(number)
    opened: dict[Path, _Opened] = {}
    first_stages: dict[Path, EarlyPass | None] = {}
    inspectors = {}
    with ExitStack() as stack:
        for name, view in config.all_views.items():
            path = view.bundle or config.bundle
            if path not in opened:
                opened[path] = _open_engine(config, path, stack)
            bundle, chosen, engine, _ = opened[path]
            _require_window(name, view.camera, bundle)
            recipe = view.recipe or config.recipe
            calibration = bundle.calibration(recipe, chosen.artefact, chosen.engine)
            if not calibration.has_zones and path not in first_stages:
                first_stages[path] = _open_early(config, opened[path], stack)
            early = None if calibration.has_zones else first_stages[path]
            inspectors[name] = Inspector(bundle, calibration, engine, number, early=early)
        cameras = {name: view.camera for name, view in config.all_views.items()}
        check = _part_check(config, inspectors)
        return LoadedRecipe(number, inspectors, cameras, check, stack.pop_all())


def view_camera(config: CameraConfig) -> ViewCamera:
    """The camera that `config` describes, not yet opened; fired where it waits for the program.

    Raises:
        CameraError: a package for it is not installed.
    """
    camera = camera_from_config(config)
    if is_fired(config) and isinstance(camera, SoftwareTriggered):
        return ViewCamera(camera, camera.trigger)
    return ViewCamera(camera)


class _Opened(NamedTuple):
    bundle: Bundle
    chosen: Chosen
    engine: Engine
    golden: list[GoldenFrame]


def _open_engine(config: RecipesConfig, path: Path, stack: ExitStack) -> _Opened:
    """Opens a bundle and its engine, which passes the self-test; `stack` closes it."""
    bundle, settings = open_bundle(path), config.engine
    chosen = chosen_here(bundle, settings.kind, settings.artefact)
    server = None if settings.server is None else settings.server.resolved(bundle.manifest.name)
    golden = golden_frames(bundle)

    def opened() -> Engine:
        engine = open_chosen(bundle, chosen, threads=settings.threads, server=server)
        try:
            require_golden(bundle, chosen.artefact, engine, frames=golden)
        except BaseException:
            engine.close()
            raise
        return engine

    engine = opened() if server is None else ReconnectingEngine(opened)
    stack.callback(engine.close)
    return _Opened(bundle, chosen, engine, golden)


def _open_early(config: RecipesConfig, opened: _Opened, stack: ExitStack) -> EarlyPass | None:
    """Opens the first stage of a bundle, if it has one, which passes the self-test."""
    bundle, chosen, _, golden = opened
    early = open_early(bundle, chosen, threads=config.engine.threads)
    if early is not None and chosen.first is not None:
        stack.callback(early.engine.close)
        artefact = chosen.first.artefact
        require_golden(bundle, artefact, early.engine, chosen.first, frames=golden)
    return early


def _require_window(view: str, camera: CameraConfig, bundle: Bundle) -> None:
    """Refuses a camera whose pixels are not those that the model was taught on."""
    taught = bundle.manifest.preprocessing.window
    if camera.window == taught:
        return
    has = "none, for 8 bits" if camera.window is None else str(camera.window)
    mend = (
        "leave out window in the configuration of the camera"
        if taught is None
        else f"set window of the camera to {{low: {taught.low}, high: {taught.high}}}"
    )
    raise ConfigError(
        f"view {view!r}: the camera has the window {has}, and {bundle.manifest.name} was taught "
        f"with {'none' if taught is None else taught}: {mend}, or teach again with its window"
    )


def _part_check(config: RecipesConfig, inspectors: Mapping[str, Inspector]) -> PartCheck | None:
    if config.checks is None:
        return None
    scores = {
        name: [score - one.margin for score in one.calibration.scores.values()]
        for name, one in inspectors.items()
    }
    return PartCheck(config.checks, scores)
