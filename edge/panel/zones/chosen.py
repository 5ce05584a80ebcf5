"""What the pages about the layouts of a line share: the recipe in an address, its layouts, jobs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from edge.panel.access.roles import Role
from edge.panel.inspected import Inspected, PartFrame, inspected_of
from edge.panel.jobs import Job
from edge.panel.page import Route, Visit
from edge.panel.refusals import Refused
from edge.panel.zones.layouts import Layouts, Version
from inspection.errors import LinewardenError
from inspection.redaction import redacted


def path_of(visit: Visit, below: str = "") -> str:
    """Returns an address below the page of zones of the line."""
    return f"/lines/{visit.line.name}/zones{below}"


def page_of(visit: Visit, inspected: Inspected, **more: object) -> str:
    """Returns the address of the page of zones with a recipe, and more of the choice."""
    return f"{path_of(visit)}?{urlencode({'recipe': inspected.key, **more})}"


@contextlib.contextmanager
def told_as_refusal() -> Iterator[None]:
    """Makes a refusal of the product one of the page, in the same words."""
    try:
        yield
    except LinewardenError as error:
        raise Refused(409, "problem.message", message=redacted(str(error))) from error


def inspected_in(visit: Visit, key: str) -> Inspected:
    """Returns the recipe with a key; the first one for an empty key.

    Raises:
        Refused: the line has no such recipe.
    """
    all_of_them = inspected_of(visit.line)
    found = next((one for one in all_of_them if key in {one.key, ""}), None)
    if found is None:
        raise Refused(404, "zones.no_recipe")
    return found


def layouts_of(visit: Visit, inspected: Inspected) -> Layouts:
    """Returns the versions of the layout of a recipe."""
    return Layouts(visit.panel.config.folder / "layouts" / visit.line.name / inspected.key)


def good_parts_of(visit: Visit, inspected: Inspected) -> Path | None:
    """Returns the folder with good parts of a recipe; None where the panel has none of the line."""
    folder = visit.panel.config.good_parts.get(visit.line.name)
    if folder is not None and (folder / inspected.recipe).is_dir():
        return folder / inspected.recipe
    return folder


def small_picture(visit: Visit, frame: PartFrame) -> str:
    """Returns the address of the small picture of a frame."""
    return f"/lines/{visit.line.name}/parts/{frame.trigger}/images/{frame.place}?size=160"


def subject_of(visit: Visit, inspected: Inspected) -> str:
    """Returns the subject of the trials of a recipe: there is one at a time."""
    return f"{visit.line.name}/zones/{inspected.key}"


def job_of(visit: Visit, inspected: Inspected, version: Version) -> Job | None:
    """Returns the newest trial of a version; None for one that nobody has tried."""
    return visit.panel.jobs.newest(subject_of(visit, inspected), str(version.trial))


def change_route(below: str, handler: Callable[[Visit], Response], **settings: Any) -> Route:
    """Returns the route of a change of a layout."""
    path = f"/lines/{{line}}/zones/{below}"
    return Route(path, handler, role=Role.ENGINEER, changes=True, **settings)
