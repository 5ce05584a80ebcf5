"""Zones and alignment: draw a layout on a frame, try it on the last parts, take it."""

from __future__ import annotations

import contextlib
import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from edge.panel.access.roles import Role
from edge.panel.audit import Undo
from edge.panel.command import linewarden
from edge.panel.fields import number_of
from edge.panel.inspected import (
    Inspected,
    PartFrame,
    frame_at,
    frame_of,
    frames_of,
    inspected_of,
)
from edge.panel.jobs import Asked, Job, State
from edge.panel.page import WHY_MAX, Page, Route, Visit
from edge.panel.refusals import Refused
from edge.panel.zones.layouts import KEYS, Layouts, Version
from edge.panel.zones.preview import preview
from inspection.bundle.calibration_file import Calibration
from inspection.errors import LinewardenError
from inspection.images import read_image
from inspection.redaction import redacted

_FRAMES = 12  # to draw on
_PARTS = (10, 50, 200)  # to try on
_DRAWING_MAX = 1_000_000
_SIZE = 1280
_SHOWN = 20  # versions
_LIMIT_S = 600.0  # of a trial
_LOG_LINES = 5


def _path(visit: Visit, below: str = "") -> str:
    return f"/lines/{visit.line.name}/zones{below}"


def _here(visit: Visit, inspected: Inspected, **more: object) -> str:
    return f"{_path(visit)}?{urlencode({'recipe': inspected.key, **more})}"


@contextlib.contextmanager
def _told_as_refusal() -> Iterator[None]:
    """Makes a refusal of the product one of the page, in the same words."""
    try:
        yield
    except LinewardenError as error:
        raise Refused(409, "problem.message", message=redacted(str(error))) from error


def _inspected(visit: Visit, key: str) -> Inspected:
    """Returns the recipe with a key; the first one for an empty key."""
    all_of_them = inspected_of(visit.line)
    found = next((one for one in all_of_them if key in {one.key, ""}), None)
    if found is None:
        raise Refused(404, "zones.no_recipe")
    return found


def _layouts(visit: Visit, inspected: Inspected) -> Layouts:
    return Layouts(visit.panel.config.folder / "layouts" / visit.line.name / inspected.key)


def _good_parts(visit: Visit, inspected: Inspected) -> Path | None:
    folder = visit.panel.config.good_parts.get(visit.line.name)
    if folder is not None and (folder / inspected.recipe).is_dir():
        return folder / inspected.recipe
    return folder


def _reference(visit: Visit, inspected: Inspected, name: str) -> Path:
    """Returns the picture that a page names: "version:3", or "part:TRIGGER"."""
    kind, _, which = name.partition(":")
    if kind == "version":
        return _layouts(visit, inspected).find(which).reference()
    if kind == "part":
        return frame_of(visit.line, inspected, which).path
    raise Refused(400, "problem.field", name="reference")


def _zones(visit: Visit) -> Response:
    query = visit.request.query_params
    inspected = _inspected(visit, query.get("recipe", ""))
    layouts, problems = _layouts(visit, inspected), []
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
    job = _job_of(visit, inspected, chosen) if chosen is not None else None
    return visit.render(
        inspected=inspected,
        choices=[
            (one.label, _here(visit, one), one == inspected) for one in inspected_of(visit.line)
        ],
        versions=[(one, _here(visit, inspected, version=one.number)) for one in versions[:_SHOWN]],
        chosen=chosen,
        in_force=_in_force(versions[:_SHOWN], active),
        active=active,
        frames=_frame_links(visit, inspected, frames, chosen),
        problems=problems,
        good_parts=_good_parts(visit, inspected),
        parts=_PARTS,
        commands=_commands(visit, inspected, chosen),
        open_job=job.name if job is not None and job.is_open else "",
        trial_path=f"{_path(visit, '/trial')}?{_named(inspected, chosen)}",
        path=_path(visit),
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
        (one.trigger, _picture(visit, one), _here(visit, inspected, part=one.trigger, **version))
        for one in frames
    ]


def _picture(visit: Visit, frame: PartFrame) -> str:
    return f"/lines/{visit.line.name}/parts/{frame.trigger}/images/{frame.place}?size=160"


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
        "picture": f"{_path(visit, '/picture')}?{picture}",
        "drawn": drawn,
        "newest": versions[0].number if versions else 0,
        "save": _path(visit, "/save"),
        "preview": _path(visit, "/preview"),
        "texts": visit.texts.below("zones"),
    }


def _in_force(versions: list[Version], active: Calibration | None) -> int | None:
    """Returns the number of the version whose layout the active calibration has."""
    if active is None or active.layout is None:
        return None
    layout = active.layout.model_dump(mode="json")
    for one in versions:
        if one.trial.exists() and _trial(one)["calibration"].get("layout") == layout:
            return one.number
    return None


def _trial(version: Version) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(version.trial.read_text(encoding="utf-8"))
    return found


def _commands(visit: Visit, inspected: Inspected, chosen: Version | None) -> list[str]:
    """Returns the command lines that do the same on the device."""
    if chosen is None:
        return []
    good = _good_parts(visit, inspected) or "FOLDER"
    trial = ["linewarden", *_trying(inspected, chosen, Path(good)), "--parts", "PATH"]
    take = ["linewarden", "layout", "take", inspected.bundle, chosen.trial, "--reason", "TEXT"]
    return [shlex.join(map(str, words)) for words in (trial, take)]


def _trying(inspected: Inspected, version: Version, good: Path) -> list[object]:
    words: list[object] = ["layout", "try", inspected.bundle, version.path, "--good", good]
    return [*words, f"--recipe={inspected.recipe}", "--save", version.trial]


def _show_picture(visit: Visit) -> Response:
    query = visit.request.query_params
    inspected = _inspected(visit, query.get("recipe", ""))
    path = _reference(visit, inspected, query.get("reference", ""))
    content, media = visit.panel.thumbnails.picture(path.parent, path.name, _SIZE)
    return Response(content, media_type=media)


def _preview(visit: Visit) -> Response:
    inspected = _inspected(visit, visit.field("recipe"))
    reference = _reference(visit, inspected, visit.field("reference"))
    preprocessing = inspected.preprocessing()
    drawn = visit.field("layout", _DRAWING_MAX)
    with _told_as_refusal():
        layout = _layouts(visit, inspected).check(drawn, reference, preprocessing)
    picture = preview(read_image(reference), layout, preprocessing)
    return Response(picture, media_type="image/jpeg")


def _save(visit: Visit) -> Response:
    inspected = _inspected(visit, visit.field("recipe"))
    picture = _reference(visit, inspected, visit.field("reference")).read_bytes()
    newest = number_of(visit.field("newest"), "newest")
    return _saved(visit, inspected, visit.field("layout", _DRAWING_MAX), picture, newest)


def _restore(visit: Visit) -> Response:
    """Saves an earlier version again, as the newest one."""
    inspected = _inspected(visit, visit.field("recipe"))
    layouts = _layouts(visit, inspected)
    earlier = layouts.find(visit.field("version"))
    newest = layouts.versions()[0].number
    picture = earlier.reference().read_bytes()
    return _saved(visit, inspected, json.dumps(earlier.drawn()), picture, newest)


def _saved(visit: Visit, inspected: Inspected, drawn: str, picture: bytes, before: int) -> Response:
    undo = None
    if before:
        form = {"recipe": inspected.key, "version": str(before)}
        undo = Undo(_path(visit, "/restore"), form)
    saved = (visit.account.name, visit.field("why", WHY_MAX))
    with (
        _told_as_refusal(),
        visit.change("zones_save", f"{inspected.label}: {before} → {before + 1}", undo),
    ):
        version = _layouts(visit, inspected).save(
            drawn, picture, inspected.preprocessing(), saved, before
        )
    return visit.back(_here(visit, inspected, version=version.number))


def _try(visit: Visit) -> Response:
    inspected = _inspected(visit, visit.field("recipe"))
    version = _layouts(visit, inspected).find(visit.field("version"))
    most = visit.field("parts")
    if most not in map(str, _PARTS):
        raise Refused(400, "problem.field", name="parts")
    good = _good_parts(visit, inspected)
    if good is None:
        raise Refused(409, "zones.no_good_parts", line=visit.line.name)
    frames = frames_of(visit.line, inspected, int(most))
    with _told_as_refusal(), visit.change("zones_try", f"{inspected.label}: {version.number}"):
        parts = ["--parts", *(one.path for one in frames)] if frames else []
        words = [*_trying(inspected, version, good), "--threads", 1, *parts]
        asked = Asked(
            subject=_subject(visit, inspected),
            kind="zones",
            words=[str(word) for word in words],
            limit_s=_LIMIT_S,
            by=visit.account.name,
        )
        # The outcome of an earlier trial of this version must not be taken for that of this one.
        visit.panel.jobs.start(asked, prepare=lambda: version.trial.unlink(missing_ok=True))
    return visit.back(_here(visit, inspected, version=version.number))


def _show_trial(visit: Visit) -> Response:
    query = visit.request.query_params
    inspected = _inspected(visit, query.get("recipe", ""))
    version = _layouts(visit, inspected).find(query.get("version", ""))
    job = _job_of(visit, inspected, version)
    if job is not None and job.state is State.DONE:
        job = None  # its outcome says it all
    trial = _outcome(version, job)
    return visit.render(
        "zones_trial.html",
        job=job,
        log=job.tail()[-_LOG_LINES:] if job is not None else [],
        idle=visit.texts("zones.not_tried") if trial is None else "",
        trial=trial,
        changed=_changed(visit, trial) if trial is not None else [],
    )


def _changed(
    visit: Visit, trial: dict[str, Any]
) -> list[tuple[str, str, dict[str, Any], dict[str, Any]]]:
    """Returns name, small picture and both results of each part with another verdict."""
    found = []
    with visit.line.reader() as reader:
        for one in trial["parts"]:
            if one["before"]["verdict"] != one["after"]["verdict"]:
                frame = frame_at(visit.line, reader, Path(one["image"]))
                name = Path(one["image"]).name if frame is None else frame.trigger
                picture = "" if frame is None else _picture(visit, frame)
                found.append((name, picture, one["before"], one["after"]))
    return found


def _subject(visit: Visit, inspected: Inspected) -> str:
    return f"{visit.line.name}/zones/{inspected.key}"


def _job_of(visit: Visit, inspected: Inspected, version: Version) -> Job | None:
    return visit.panel.jobs.newest(_subject(visit, inspected), str(version.trial))


def _outcome(version: Version, job: Job | None) -> dict[str, Any] | None:
    """Returns the outcome of the trial of a version; None while one is asked for."""
    is_open = job is not None and job.is_open
    return _trial(version) if version.trial.exists() and not is_open else None


def _cancel(visit: Visit) -> Response:
    inspected = _inspected(visit, visit.field("recipe"))
    job = visit.panel.jobs.open(_subject(visit, inspected))
    if job is None:
        raise Refused(409, "problem.no_job")
    with visit.change("job_cancel", f"{inspected.label}: {job.name}"):
        visit.panel.jobs.cancel(job.name)
    return visit.back(_here(visit, inspected))


def _take(visit: Visit) -> Response:
    inspected = _inspected(visit, visit.field("recipe"))
    version = _layouts(visit, inspected).find(visit.field("version"))
    trial = _outcome(version, _job_of(visit, inspected, version))
    if trial is None:
        raise Refused(409, "zones.no_trial", number=version.number)
    undo = Undo(_path(visit, "/back"), {"recipe": inspected.key, "seal": trial["replaces"]})
    with (
        _told_as_refusal(),
        visit.change("zones_take", f"{inspected.label}: {version.number}", undo),
    ):
        linewarden("layout", "take", inspected.bundle, version.trial, *_by(visit))
    visit.reload(*(inspected.numbers or (None,)))
    return visit.back(_here(visit, inspected, version=version.number))


def _back(visit: Visit) -> Response:
    """Makes the calibration before active again, with its layout."""
    inspected = _inspected(visit, visit.field("recipe"))
    seal = visit.field("seal")
    words = ("rollback", inspected.bundle, seal, f"--recipe={inspected.recipe}")
    active = inspected.calibration()
    undo = None
    if active is not None:
        undo = Undo(_path(visit, "/back"), {"recipe": inspected.key, "seal": active.seal})
    with _told_as_refusal(), visit.change("zones_back", f"{inspected.label}: {seal[:12]}", undo):
        if not seal.isalnum():
            raise Refused(400, "problem.field", name="seal")
        linewarden("calibrations", *words, *_by(visit))
    visit.reload(*(inspected.numbers or (None,)))
    return visit.back(_here(visit, inspected))


def _by(visit: Visit) -> tuple[str, str]:
    """Returns the options for author and reason, whose values may begin with a dash."""
    return f"--author={visit.account.name}", f"--reason={visit.field('why', WHY_MAX)}"


def _change(below: str, handler: Callable[[Visit], Response], **settings: Any) -> Route:
    path = f"/lines/{{line}}/zones/{below}"
    return Route(path, handler, role=Role.ENGINEER, changes=True, **settings)


PAGE = Page(
    "zones",
    (
        Route("/lines/{line}/zones", _zones, role=Role.ENGINEER),
        Route("/lines/{line}/zones/picture", _show_picture, role=Role.ENGINEER),
        Route("/lines/{line}/zones/trial", _show_trial, role=Role.ENGINEER),
        _change("preview", _preview, asks_why=False, body_max_bytes=_DRAWING_MAX),
        _change("save", _save, body_max_bytes=_DRAWING_MAX),
        _change("restore", _restore),
        _change("try", _try),
        _change("cancel", _cancel),
        _change("take", _take),
        _change("back", _back),
    ),
)
