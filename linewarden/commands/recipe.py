"""Change a running line over to another recipe, or show its recipes.

The line runs with the same configuration (`linewarden run`), which has `recipes` and
a `control_socket`. The line verifies and loads the next recipe while it inspects, and
changes over between two triggers. When the recipe cannot be loaded, the line goes on
with the recipe in force, and this command says why (exit code 7). Stopping this command
does not stop the changeover.

Without a number the command lists the recipes; a star marks the recipe in force. --again
reads the recipe in force again, with a newer calibration, also on a line without numbered
recipes.

examples:
  linewarden recipe --config configs/line/recipes.yaml
  linewarden recipe --config line.yaml 2
  linewarden recipe --config line.yaml --again
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
    wanted = parser.add_mutually_exclusive_group()
    wanted.add_argument("number", nargs="?", type=int, help="the recipe to change over to")
    wanted.add_argument("--again", action="store_true", help="read the recipe in force again")
    running_line.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Asks the line; raises LineError when the line refuses or the changeover fails."""
    line = RunningLine(args)
    is_question = args.number is None and not args.again
    recipe = line.ask("recipe") if is_question else _change(line, args)
    if args.json:
        print(json.dumps(recipe))
    elif is_question:
        _print_recipes(line.config, recipe)
    elif recipe["active"] is None:
        print("the recipe was read again")
    else:
        print(f"recipe {recipe['active']} is in force")
    return 0


def _change(line: RunningLine, args: argparse.Namespace) -> dict[str, Any]:
    wanted = {"again": True} if args.again else {"number": args.number}
    recipe = line.ask("recipe", **wanted)
    while recipe["is_loading"]:
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
    elif recipe["is_loading"]:
        print("the recipe is being read again")
    if recipe["failure"] is not None:
        print(recipe["failure"])
