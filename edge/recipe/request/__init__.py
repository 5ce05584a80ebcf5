"""Requests of a peer for a recipe.

To add a kind, write a file like `modbus`, with its configuration, its driver and the command that
installs its package, and add the configuration to `config`.
"""

from edge.recipe.request.config import RecipeRequestConfig
from edge.recipe.request.thread import RecipeRequestThread, recipe_requests_from_config

__all__ = ["RecipeRequestConfig", "RecipeRequestThread", "recipe_requests_from_config"]
