"""Recipes and bundles: the recipe in force, changeover, reference parts, versions of bundles."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from edge.panel.access.roles import Role
from edge.panel.audit import Undo
from edge.panel.bundles import activate, bundles_of, recipes_of
from edge.panel.fields import number_of
from edge.panel.page import Page, Route, Visit
from edge.panel.refusals import Refused
from edge.station.config import LineConfig
from inspection.errors import LineError


def _path(visit: Visit, below: str = "") -> str:
    return f"/lines/{visit.line.name}/recipes{below}"


def _recipes(visit: Visit) -> Response:
    config = visit.line.config
    state, silence = _state(visit)
    return visit.render(
        recipes=recipes_of(config),
        names=_names(config),
        bundles=bundles_of(config),
        has_checks=bool(config.checks or [one for one in config.recipes.values() if one.checks]),
        state=state,
        silence=silence,
        status_path=_path(visit, "/status"),
        change_path=_path(visit, "/change"),
        check_path=_path(visit, "/check"),
        activate_path=_path(visit, "/activate"),
    )


def _status(visit: Visit) -> Response:
    state, silence = _state(visit)
    return visit.render(
        "recipes_status.html", state=state, silence=silence, names=_names(visit.line.config)
    )


def _names(config: LineConfig) -> dict[int | None, str]:
    """Returns the names of the recipes by number."""
    return {one.number: one.recipe for one in recipes_of(config)}


def _state(visit: Visit) -> tuple[dict[str, Any] | None, str]:
    """Returns the line's answer, or why it gives none: the page is there without a line too."""
    try:
        return visit.line.ask("state", within_s=1.0), ""
    except LineError as error:
        return None, str(error)


def _change_over(visit: Visit) -> Response:
    wanted = number_of(visit.field("number"), "number")
    before = visit.line.ask("recipe")["active"]
    undo = None if before is None else Undo(_path(visit, "/change"), {"number": str(before)})
    with visit.change("recipe_change", f"{before} → {wanted}", undo):
        visit.line.ask("recipe", number=wanted)
    return visit.back(_path(visit))


def _check(visit: Visit) -> Response:
    with visit.change("recipe_check", visit.line.name):
        visit.line.ask("check")
    return visit.back(_path(visit))


def _activate(visit: Visit) -> Response:
    """Activates a version of a bundle; the line takes it when it opens the bundle again."""
    named, version = visit.field("bundle", 4096), visit.field("version")
    bundle = next((one for one in bundles_of(visit.line.config) if str(one.folder) == named), None)
    if bundle is None:
        raise Refused(400, "problem.field", name="bundle")
    wanted = next((one for one in bundle.versions if one.version == version), None)
    if wanted is None:
        raise Refused(409, "problem.no_version", name=bundle.name)
    before = next((one.version for one in bundle.versions if one.is_active), None)
    undo = None
    if before is not None:
        undo = Undo(_path(visit, "/activate"), {"bundle": named, "version": before})
    with visit.change("bundle_activate", f"{bundle.name}: {before} → {version}", undo):
        activate(wanted)
    visit.reload()
    return visit.back(_path(visit))


PAGE = Page(
    "recipes",
    (
        Route("/lines/{line}/recipes", _recipes),
        Route("/lines/{line}/recipes/status", _status),
        Route("/lines/{line}/recipes/change", _change_over, role=Role.OPERATOR, changes=True),
        Route("/lines/{line}/recipes/check", _check, role=Role.OPERATOR, changes=True),
        Route("/lines/{line}/recipes/activate", _activate, role=Role.ENGINEER, changes=True),
    ),
)
