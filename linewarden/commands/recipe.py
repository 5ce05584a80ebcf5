"""Change a running line over to another recipe, or show its recipes.

The line runs with the same configuration (`linewarden run`), which has `recipes` and
a `control_socket`. The line verifies and loads the next recipe while it inspects, and
changes over between two triggers. When the recipe cannot be loaded, the line goes on
with the recipe in force, and this command says why (exit code 7). Stopping this command
does not stop the changeover.

Without a number the command lists the recipes; a star marks the recipe in force. The
number of the recipe in force reads its calibration again.

examples:
  linewarden recipe --config configs/line/recipes.yaml
  linewarden recipe --config line.yaml 2
  linewarden recipe --config line.yaml --json
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from edge.station.config import LineConfig
from inspection.errors import LineError
from linewarden import running_line
from linewarden.running_line import RunningLine

_POLL_S = 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("number", nargs="?", type=int, help="the recipe to change over to")
    running_line.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Asks the line; raises LineError when the line refuses or the changeover fails."""
    line = RunningLine(args)
    recipe = line.ask("recipe") if args.number is None else _change_to(line, args.number)
    if args.json:
        print(json.dumps(recipe))
    elif args.number is None:
        _print_recipes(line.config, recipe)
    else:
        print(f"recipe {recipe['active']} is in force")
    return 0


def _change_to(line: RunningLine, number: int) -> dict[str, Any]:
    recipe = line.ask("recipe", number=number)
    while recipe["loading"] is not None:
        time.sleep(_POLL_S)
        recipe = line.ask("recipe")
    if recipe["failure"] is not None:
        raise LineError(recipe["failure"])
    return recipe


def _print_recipes(config: LineConfig, recipe: dict[str, Any]) -> None:
    for number in config.recipes:
        there = config.with_recipe(number)
        mark = "*" if number == recipe["active"] else " "
        artefact = there.engine.artefact or "default"
        print(f"{mark} {number:>5}  {there.bundle}  {there.recipe}  {artefact}")
    if not config.recipes:
        print("the line has no numbered recipes")
    if recipe["loading"] is not None:
        print(f"recipe {recipe['loading']} is loading")
    if recipe["failure"] is not None:
        print(recipe["failure"])
