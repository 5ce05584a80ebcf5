"""Numbered recipes in the configuration of a line."""

from pathlib import Path

import pytest

from edge.camera import PylonConfig
from edge.station.config import LineConfig
from inspection.config.loading import load_config
from inspection.errors import ConfigError

ONE_CAMERA = """
bundle: flange
recipe: normal
camera: {kind: replay, path: parts}
outputs: [{kind: jsonlines, path: "-"}]
"""
TWO_VIEWS = """
bundle: flange
views:
  top: {camera: {kind: replay, path: parts}}
  side: {camera: {kind: replay, path: sides}}
outputs: [{kind: jsonlines, path: "-"}]
"""


def line(folder: Path, text: str) -> LineConfig:
    path = folder / "line.yaml"
    path.write_text(text)
    return load_config(path, LineConfig)


def test_a_recipe_says_what_differs_from_the_line(tmp_path: Path) -> None:
    recipes = "recipes: {1: {}, 2: {bundle: lid, recipe: strict, artefact: model-int8.onnx}}\n"
    config = line(tmp_path, ONE_CAMERA + recipes + "start_recipe: 1\n")
    first, second = config.with_recipe(1), config.with_recipe(2)
    assert (first.bundle, first.recipe) == (tmp_path / "flange", "normal")
    assert first.engine == config.engine
    assert (second.bundle, second.recipe) == (tmp_path / "lid", "strict")
    assert second.engine.artefact == "model-int8.onnx"


def test_a_recipe_says_what_differs_between_the_views(tmp_path: Path) -> None:
    recipes = "recipes: {1: {recipe: a, views: {side: {bundle: edge, recipe: b}}}}\n"
    config = line(tmp_path, TWO_VIEWS + recipes + "start_recipe: 1\n").with_recipe(1)
    side = config.all_views["side"]
    assert (side.bundle, side.recipe) == (tmp_path / "edge", "b")
    assert (config.all_views["top"].bundle, config.recipe) == (None, "a")


def test_a_recipe_changes_settings_of_the_camera(tmp_path: Path) -> None:
    settings = "settings: {exposure_us: 5000, gain_db: 6, features: {Gamma: 0.8}}"
    text = ONE_CAMERA.replace("kind: replay, path: parts", "kind: pylon, " + settings)
    recipes = "recipes: {1: {}, 2: {settings: {exposure_us: 900, features: {Gamma: 1}}}}\n"
    config = line(tmp_path, text + recipes + "start_recipe: 1\n")
    assert config.with_recipe(1).camera == config.camera
    camera = config.with_recipe(2).camera
    assert isinstance(camera, PylonConfig)
    changed = camera.settings
    assert (changed.exposure_us, changed.gain_db, changed.features) == (900, 6, {"Gamma": 1})


PYLON = ONE_CAMERA.replace("kind: replay, path: parts", "kind: pylon, settings: {gain_db: 6}")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            ONE_CAMERA + "recipes: {1: {settings: {gain_db: 2}}}\nstart_recipe: 1\n",
            "recipes.1: a camera of kind replay has no 'settings'",
        ),
        (
            PYLON + "recipes: {1: {settings: {exposure_us: 9, gain_db: 2}}}\nstart_recipe: 1\n",
            "recipes.1: settings: exposure_us should be in the settings of the camera too",
        ),
        (
            PYLON + "recipes: {1: {settings: {trigger: {source: Line1}}}}\nstart_recipe: 1\n",
            "recipes.1: settings.trigger is that of the line, the same for all recipes",
        ),
        (
            TWO_VIEWS + "recipes: {1: {settings: {gain_db: 2}}}\nstart_recipe: 1\n",
            "recipes.1: with several views, put 'settings' into 'views'",
        ),
        (ONE_CAMERA + "recipes: {1: {}, 2: {}}\n", "start_recipe should be one of 1, 2"),
        (ONE_CAMERA + "recipes: {1: {}}\nstart_recipe: 3\n", "start_recipe should be one of 1"),
        (ONE_CAMERA + "start_recipe: 3\n", "'start_recipe' needs 'recipes'"),
        (ONE_CAMERA + "recipes: {0: {}}\nstart_recipe: 1\n", "greater than or equal to 1"),
        (
            TWO_VIEWS + "recipes: {1: {views: {botom: {}}}}\nstart_recipe: 1\n",
            "recipes.1.views names botom, not among the views",
        ),
        (
            TWO_VIEWS.replace("path: sides}", "path: sides}, recipe: b")
            + "recipes: {1: {}}\nstart_recipe: 1\n",
            "with 'recipes', put bundle and recipe of a view into the views of each recipe",
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_name(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(ConfigError) as refused:
        line(tmp_path, text)
    assert why in str(refused.value)
