"""Ways to ask for a recipe, imported only when a configuration names them.

To add one, write a file with a class like `modbus.ModbusRequests`, add a line to `SOURCES` and its
configuration to `edge.recipe.request.config`.
"""

from __future__ import annotations

from edge.recipe.request.base import Recipes, RequestSource
from edge.recipe.request.config import RecipeRequestConfig
from edge.recipe.request.thread import RecipeRequestThread
from inspection.config.plugins import Plugin, load_plugin
from inspection.errors import LineError

__all__ = ["SOURCES", "RecipeRequestThread", "recipe_requests_from_config"]

SOURCES = {
    "modbus": Plugin(
        "edge.recipe.request.modbus", "ModbusRequests", "pip install 'linewarden[modbus]'"
    ),
    "mqtt": Plugin("edge.recipe.request.mqtt", "MqttRequests", "pip install 'linewarden[mqtt]'"),
}


def recipe_requests_from_config(
    config: RecipeRequestConfig, recipes: Recipes
) -> RecipeRequestThread:
    """What follows the requests that `config` describes, not yet entered.

    Raises:
        LineError: what it needs is not installed.
    """
    factory = load_plugin("recipe request", config.kind, SOURCES, LineError)
    name = f"recipe request {config.kind} {config.host}:{config.port}"
    source: RequestSource = factory(name, config)
    return RecipeRequestThread(name, source, recipes, config.poll_ms)
