"""A plant around the configuration of a line, so that it runs as written, without hardware.

Each peer with an address gets a machine on loopback: PLC, broker, web server, network camera. A
camera or GPIO chip at a bus of the device is replaced: by a recording of drawn parts, and by lines
in memory. A missing bundle is replaced by that of `edge.sim.parts`. Every file that the line writes
lies in the folder of the plant. `Plant.notes` names each difference from the file.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edge.camera import CameraConfig, PyAvConfig
from edge.recipe.part_check import ChecksConfig
from edge.sim.base import LOOPBACK, free_port
from edge.sim.outputs import STAND_INS, at_its_peer
from edge.sim.parts import write_bundle
from edge.sim.plant import Plant
from edge.sim.sources import cameras_of, encoder_of
from edge.station.config import LineConfig
from edge.store.config import ImagesConfig, RecordsConfig
from inspection.errors import LineError

_log = logging.getLogger(__name__)
_IMAGES = ImagesConfig(pass_sample=1.0, max_bytes=300_000_000, min_free_bytes=100_000_000)


@contextmanager
def simulated(
    config: LineConfig,
    folder: Path,
    *,
    parts: int | None = None,
    period_s: float = 0.5,
    for_panel: bool = False,
) -> Iterator[Plant]:
    """Starts the machines around a line, and closes them at the end.

    Args:
        config: of the line, loaded without its files.
        folder: empty; takes every file of the line.
        parts: length of the recordings; None repeats them without end.
        period_s: time between two parts.
        for_panel: give the line a control socket and records, also where its file has none.

    Raises:
        LineError: a package or program for a machine is not installed; the message says which.
        CameraError: the same for a camera.
    """
    plant = Plant(config, folder, period_s)
    with plant.resources:
        # The peers first: they read the addresses of the file.
        outputs = tuple(STAND_INS[type(one)](one, plant) for one in config.outputs)
        changes: dict[str, Any] = {
            "outputs": outputs,
            "trigger": at_its_peer(config.trigger, plant),
        }
        if config.recipe_request is not None:
            changes["recipe_request"] = at_its_peer(config.recipe_request, plant)
        changes |= _own_files(plant, for_panel=for_panel) | cameras_of(plant, parts)
        plant.config = _with_bundles(config.model_copy(update=changes), plant)
        with _announcing(plant, parts):
            yield plant


def _own_files(plant: Plant, *, for_panel: bool) -> dict[str, Any]:
    """Returns the changes that keep files and ports of the line within the plant."""
    config = plant.config
    changes: dict[str, Any] = {}
    if config.control_socket is not None or for_panel:
        changes["control_socket"] = plant.folder / "line.sock"
    if config.records is not None or for_panel:
        records = config.records or RecordsConfig(folder=plant.folder, images=_IMAGES)
        changes["records"] = records.model_copy(update={"folder": plant.folder / "records"})
    if config.health is not None:
        port = free_port()
        changes["health"] = config.health.model_copy(update={"host": LOOPBACK, "port": port})
        plant.notes.append(f"health page at http://{LOOPBACK}:{port}/metrics")
    if config.encoder is not None:
        changes["encoder"] = encoder_of(config.encoder, plant)
    if config.checks is not None:
        changes["checks"] = _without_scores(config.checks, plant)
    return changes


def _without_scores(checks: ChecksConfig, plant: Plant) -> ChecksConfig:
    if any(part.score is not None for part in checks.parts):
        plant.notes.append("reference parts without their range of scores, that of your bundle")
    parts = tuple(part.model_copy(update={"score": None}) for part in checks.parts)
    return checks.model_copy(update={"parts": parts})


def _with_bundles(config: LineConfig, plant: Plant) -> LineConfig:
    """Replaces each bundle of the line by the simulated one, with the recipes that it names."""
    named = config.by_number().values()
    recipes = sorted(
        {one.recipe for one in named}
        | {view.recipe for one in named for view in one.all_views.values() if view.recipe}
    )
    channels = 3 if any(_is_colour(view.camera) for view in config.all_views.values()) else 1
    bundle = plant.folder / "bundle"
    write_bundle(bundle, channels=channels, recipes=recipes)
    plant.notes.append("bundle: one that calls a bright spot a defect")
    views = {name: view.model_copy(update={"bundle": None}) for name, view in config.views.items()}
    numbered = {
        number: recipe.model_copy(
            update={
                "bundle": None,
                "artefact": None,
                "checks": recipe.checks and _without_scores(recipe.checks, plant),
                "views": {
                    name: view.model_copy(update={"bundle": None})
                    for name, view in recipe.views.items()
                },
            }
        )
        for number, recipe in config.recipes.items()
    }
    if config.engine.server is not None:
        plant.notes.append(f"server {config.engine.server.host} -> ONNX Runtime in this process")
    engine = config.engine.model_copy(update={"kind": None, "artefact": None, "server": None})
    changes = {"bundle": bundle, "views": views, "recipes": numbered, "engine": engine}
    return config.model_copy(update=changes)


def _is_colour(camera: CameraConfig) -> bool:
    return isinstance(camera, PyAvConfig) and camera.colour == "bgr"


@contextmanager
def _announcing(plant: Plant, parts: int | None) -> Iterator[None]:
    """Announces parts every period within the block, where the trigger waits for a peer."""
    ended = threading.Event()

    def announce() -> None:
        number = 0
        while not ended.wait(plant.period_s) and (parts is None or number < parts):
            if number == 0 and not plant.is_ready():
                continue
            number += 1
            try:
                plant.announce(number)
            except LineError as error:
                number -= 1  # the line is not there yet, or not ready
                _log.debug("no part announced: %s", error)

    thread = threading.Thread(target=announce, name="announcing", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
