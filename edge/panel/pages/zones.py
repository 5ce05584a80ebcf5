"""Zones and alignment: draw a layout on a frame, and save it as a version.

The page `layout_trial` tries a version on the last parts, and takes it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from edge.panel.access.roles import Role
from edge.panel.audit import Undo
from edge.panel.fields import number_of
from edge.panel.inspected import Inspected, PartFrame, frame_of, frames_of, inspected_of
from edge.panel.page import WHY_MAX, Page, Route, Visit
from edge.panel.refusals import Refused
from edge.panel.zones.chosen import (
    change_route,
    good_parts_of,
    inspected_in,
    job_of,
    layouts_of,
    page_of,
    path_of,
    small_picture,
    told_as_refusal,
)
from edge.panel.zones.layouts import KEYS, Version
from edge.panel.zones.preview import preview
from edge.panel.zones.trials import PARTS, commands_for, in_force
from inspection.bundle.calibration_file import Calibration
from inspection.errors import LinewardenError
from inspection.images import read_image

_FRAMES = 12  # to draw on
_DRAWING_MAX = 1_000_000
_SIZE = 1280
_SHOWN = 20  # versions


def _zones(visit: Visit) -> Response:
    query = visit.request.query_params
    inspected = inspected_in(visit, query.get("recipe", ""))
    layouts, problems = layouts_of(visit, inspected), []
    versions = layouts.versions()
    chosen = layouts.find(query["version"]) if query.get("version") else next(iter(versions), None)
    active: Calibration | None = None
    frames: list[PartFrame] = []
    try:
        active = inspected.calibration()
    except LinewardenError as error:
        problems.append(str(error))
    try:
        frames = frames_of(visit.line, inspected, _FRAMES)
    except LinewardenError as error:
        problems.append(str(error))
    reference = _chosen_reference(query.get("part"), chosen, frames)
    job = job_of(visit, inspected, chosen) if chosen is not None else None
    good = good_parts_of(visit, inspected)
    return visit.render(
        inspected=inspected,
        choices=[
            (one.label, page_of(visit, one), one == inspected) for one in inspected_of(visit.line)
        ],
        versions=[
            (one, page_of(visit, inspected, version=one.number)) for one in versions[:_SHOWN]
        ],
        chosen=chosen,
        in_force=in_force(versions[:_SHOWN], active),
        active=active,
        frames=_frame_links(visit, inspected, frames, chosen),
        problems=problems,
        good_parts=good,
        parts=PARTS,
        commands=commands_for(inspected, chosen, good) if chosen is not None else [],
        open_job=job.name if job is not None and job.is_open else "",
        trial_path=f"{path_of(visit, '/trial')}?{_named(inspected, chosen)}",
        path=path_of(visit),
        editor=_editor(visit, inspected, reference, _start(chosen, active), versions)
        if reference
        else None,
    )


def _chosen_reference(
    part: str | None, chosen: Version | None, frames: list[PartFrame]
) -> str | None:
    if part:
        return f"part:{part}"
    if chosen is not None:
        return f"version:{chosen.number}"
    return f"part:{frames[0].trigger}" if frames else None


def _frame_links(
    visit: Visit, inspected: Inspected, frames: list[PartFrame], chosen: Version | None
) -> list[tuple[str, str, str]]:
    """Returns name, small picture and address of each frame to draw on."""
    version = {} if chosen is None else {"version": chosen.number}
    return [
        (
            one.trigger,
            small_picture(visit, one),
            page_of(visit, inspected, part=one.trigger, **version),
        )
        for one in frames
    ]


def _named(inspected: Inspected, chosen: Version | None) -> str:
    return urlencode({"recipe": inspected.key, "version": chosen.number if chosen else ""})


def _start(chosen: Version | None, active: Calibration | None) -> dict[str, Any]:
    """Returns the drawing to begin with: that of a version, or else of the active calibration."""
    if chosen is not None:
        return chosen.drawn()
    if active is None or active.layout is None:
        return {}
    drawn = active.layout.model_dump(mode="json", include=set(KEYS))
    if drawn["alignment"]:
        del drawn["alignment"]["mark_png"]
    return drawn


def _editor(
    visit: Visit,
    inspected: Inspected,
    reference: str,
    drawn: dict[str, Any],
    versions: list[Version],
) -> dict[str, Any]:
    """Returns what the script needs."""
    frame = read_image(_reference(visit, inspected, reference))
    picture = urlencode({"recipe": inspected.key, "reference": reference})
    return {
        "recipe": inspected.key,
        "reference": reference,
        "width": frame.shape[1],
        "height": frame.shape[0],
        "picture": f"{path_of(visit, '/picture')}?{picture}",
        "drawn": drawn,
        "newest": versions[0].number if versions else 0,
        "save": path_of(visit, "/save"),
        "preview": path_of(visit, "/preview"),
        "texts": visit.texts.below("zones"),
    }


def _reference(visit: Visit, inspected: Inspected, name: str) -> Path:
    """Returns the picture that a page names: "version:3", or "part:TRIGGER"."""
    kind, _, which = name.partition(":")
    if kind == "version":
        return layouts_of(visit, inspected).find(which).reference()
    if kind == "part":
        return frame_of(visit.line, inspected, which).path
    raise Refused(400, "problem.field", name="reference")


def _show_picture(visit: Visit) -> Response:
    query = visit.request.query_params
    inspected = inspected_in(visit, query.get("recipe", ""))
    path = _reference(visit, inspected, query.get("reference", ""))
    content, media = visit.panel.thumbnails.picture(path.parent, path.name, _SIZE)
    return Response(content, media_type=media)


def _preview(visit: Visit) -> Response:
    inspected = inspected_in(visit, visit.field("recipe"))
    reference = _reference(visit, inspected, visit.field("reference"))
    preprocessing = inspected.preprocessing()
    drawn = visit.field("layout", _DRAWING_MAX)
    with told_as_refusal():
        layout = layouts_of(visit, inspected).check(drawn, reference, preprocessing)
    picture = preview(read_image(reference), layout, preprocessing)
    return Response(picture, media_type="image/jpeg")


def _save(visit: Visit) -> Response:
    inspected = inspected_in(visit, visit.field("recipe"))
    picture = _reference(visit, inspected, visit.field("reference")).read_bytes()
    newest = number_of(visit.field("newest"), "newest")
    return _saved(visit, inspected, visit.field("layout", _DRAWING_MAX), picture, newest)


def _restore(visit: Visit) -> Response:
    """Saves an earlier version again, as the newest one."""
    inspected = inspected_in(visit, visit.field("recipe"))
    layouts = layouts_of(visit, inspected)
    earlier = layouts.find(visit.field("version"))
    newest = layouts.versions()[0].number
    picture = earlier.reference().read_bytes()
    return _saved(visit, inspected, json.dumps(earlier.drawn()), picture, newest)


def _saved(visit: Visit, inspected: Inspected, drawn: str, picture: bytes, before: int) -> Response:
    undo = None
    if before:
        form = {"recipe": inspected.key, "version": str(before)}
        undo = Undo(path_of(visit, "/restore"), form)
    saved = (visit.account.name, visit.field("why", WHY_MAX))
    with (
        told_as_refusal(),
        visit.change("zones_save", f"{inspected.label}: {before} → {before + 1}", undo),
    ):
        version = layouts_of(visit, inspected).save(
            drawn, picture, inspected.preprocessing(), saved, before
        )
    return visit.back(page_of(visit, inspected, version=version.number))


PAGE = Page(
    "zones",
    (
        Route("/lines/{line}/zones", _zones, role=Role.ENGINEER),
        Route("/lines/{line}/zones/picture", _show_picture, role=Role.ENGINEER),
        change_route("preview", _preview, asks_why=False, body_max_bytes=_DRAWING_MAX),
        change_route("save", _save, body_max_bytes=_DRAWING_MAX),
        change_route("restore", _restore),
    ),
)
