"""Teach: collect images of good parts, and teach or calibrate with them as a job."""

from __future__ import annotations

from typing import Any

from starlette.responses import JSONResponse, Response

from edge.panel.access.roles import Role
from edge.panel.audit import Undo
from edge.panel.bundles import bundles_of
from edge.panel.fields import number_of
from edge.panel.jobs import Asked
from edge.panel.page import Page, Route, Visit
from edge.panel.refusals import Refused
from edge.panel.teach.parts import Part, Taught, TaughtFile
from edge.panel.teach.quality import Judgement, judge
from edge.panel.teach.sources import Import, collect, files_of, folders_below, inside, sent
from edge.panel.teach.tools import TOOLS, missing
from edge.panel.thumbnails import scaled
from inspection.errors import LinewardenError
from inspection.images import encode_jpeg

_STRIP, _SHOWN = 6, 60  # of the collected images
_SIDE, _QUALITY = 960, 85  # of the live picture
_UPLOAD_MAX_BYTES = 64_000_000
_STEP_S = 5.0  # of an import
_NAMED = 10
_LIMIT_S = 12 * 3600.0
_LINES = 40


def _path(visit: Visit, below: str = "") -> str:
    return f"/lines/{visit.line.name}/teach{below}"


def _part(visit: Visit) -> Part:
    return visit.panel.teach.parts.find(visit.line.name, visit.request.path_params["part"])


def _parts(visit: Visit) -> Response:
    parts = visit.panel.teach.parts.of(visit.line.name)
    return visit.render(
        parts=[(part, len(part.collection.images()), _open_job(visit, part)) for part in parts],
        views=list(visit.line.config.views),
        new_path=_path(visit, "/new"),
        path=_path(visit),
    )


def _new(visit: Visit) -> Response:
    name, view = visit.field("name"), visit.field("view") if "view" in visit.form else ""
    if view and view not in visit.line.config.views:
        raise Refused(400, "problem.field", name="view")
    with visit.change("teach_part", name):
        part = visit.panel.teach.parts.add(visit.line.name, name, view)
    return visit.back(_path(visit, f"/{part.name}"))


def _work(visit: Visit) -> Response:
    part, root = _part(visit), visit.panel.config.teach.import_root
    path = _path(visit, f"/{part.name}")
    return visit.render(
        "teach_part.html",
        part=part,
        path=path,
        results_path=f"{path}/results",
        images=part.collection.images()[:_SHOWN],
        folders=folders_below(root) if root is not None and root.is_dir() else [],
        root=root,
        bundles=[one for one in bundles_of(visit.line.config) if not one.problem],
        taught=part.taught(),
        missing={kind: missing(kind) for kind in TOOLS},
        extras={kind: tool.extra for kind, tool in TOOLS.items()},
        job=_open_job(visit, part),
        data={"live": f"{path}/live", "texts": visit.texts.below("teach")},
        **_status_values(visit, part),
    )


def _status(visit: Visit) -> Response:
    return visit.render("teach_status.html", **_status_values(visit, _part(visit)))


def _status_values(visit: Visit, part: Part) -> dict[str, Any]:
    images, promises, silence = part.collection.images(), None, ""
    try:
        promises = visit.panel.teach.promises.of(len(images))
    except LinewardenError as error:
        silence = str(error)
    return {
        "count": len(images),
        "newest": images[:_STRIP],
        "images_path": _path(visit, f"/{part.name}/images"),
        "goal": visit.panel.config.teach.goal,
        "promises": promises,
        "silence": silence,
    }


def _job_status(visit: Visit) -> Response:
    jobs = visit.panel.jobs.of(_part(visit).subject)
    newest = jobs[0] if jobs else None
    return visit.render(
        "job.html",
        job=newest,
        queue=visit.panel.jobs.queue_before(newest),
        log=newest.tail()[-_LINES:] if newest else [],
        idle=visit.texts("teach.no_job"),
    )


def _open_job(visit: Visit, part: Part) -> str:
    """Returns the name of the job of a part that waits or runs; empty for none."""
    job = visit.panel.jobs.open(part.subject)
    return "" if job is None else job.name


def _live(visit: Visit) -> Response:
    """Returns the newest part with its judgement, as JSON for the script."""
    part = _part(visit)
    frame = visit.panel.teach.frames.newest(visit.line, part.view)
    collected = {one.name: one for one in part.collection.images()}
    found = judge(frame.measures, {name: one.measures for name, one in collected.items()})
    near = ""
    if found.near is not None:
        is_itself = collected[found.near].about.source == frame.trigger_id
        near = visit.texts("teach.is_collected" if is_itself else "teach.near")
    words = {
        "focus": _words_of_focus(visit, found),
        "exposure": _words_of_exposure(visit, found),
        "near": near,
    }
    return JSONResponse(
        {
            "trigger_id": frame.trigger_id,
            "picture": _path(visit, f"/{part.name}/live/{frame.trigger_id}"),
            "focus": found.focus.value,
            "exposure": found.exposure.value,
            "words": words,
            "near": found.near,
        }
    )


def _words_of_focus(visit: Visit, found: Judgement) -> str:
    ratio = "" if found.focus_ratio is None else f"{found.focus_ratio:.0%}"
    return visit.texts(f"focus.{found.focus.value}", ratio=ratio)


def _words_of_exposure(visit: Visit, found: Judgement) -> str:
    where = visit.texts("teach.dark" if found.is_dark else "teach.bright")
    key = f"exposure.{found.exposure.value}"
    return visit.texts(key, share=f"{found.clipped:.1%}", where=where)


def _live_picture(visit: Visit) -> Response:
    trigger = visit.request.path_params["trigger"]
    frame = visit.panel.teach.frames.find(visit.line, _part(visit).view, trigger)
    content = encode_jpeg(scaled(frame.image, _SIDE), _QUALITY)
    headers = {"Cache-Control": "private, max-age=600, immutable"}
    return Response(content, media_type="image/jpeg", headers=headers)


def _collect(visit: Visit) -> Response:
    part, trigger = _part(visit), visit.field("trigger_id")
    frame = visit.panel.teach.frames.find(visit.line, part.view, trigger)
    with visit.change("teach_collect", f"{part.name}: {trigger}"):
        part.collection.add(frame.image, trigger, visit.account.name)
    return visit.back(_path(visit, f"/{part.name}"))


def _remove(visit: Visit) -> Response:
    part, name = _part(visit), visit.field("name")
    undo = Undo(_path(visit, f"/{part.name}/restore"), {"name": name})
    with visit.change("teach_remove", f"{part.name}: {name}", undo):
        part.collection.remove(name)
    return visit.back(_path(visit, f"/{part.name}"))


def _restore(visit: Visit) -> Response:
    part, name = _part(visit), visit.field("name")
    undo = Undo(_path(visit, f"/{part.name}/remove"), {"name": name})
    with visit.change("teach_restore", f"{part.name}: {name}", undo):
        part.collection.restore(name)
    return visit.back(_path(visit, f"/{part.name}"))


def _upload(visit: Visit) -> Response:
    part = _part(visit)
    sources = sent(visit.form.getlist("images"))
    with visit.change("teach_upload", f"{part.name}: {len(sources)}"):
        done = collect(sources, part.collection, visit.account.name, seconds=_LIMIT_S)
    if done.refused:
        reasons = "\n".join(_reasons(visit, done))
        raise Refused(400, "problem.unusable", added=done.added, known=done.known, reasons=reasons)
    return visit.back(_path(visit, f"/{part.name}"))


def _import(visit: Visit) -> Response:
    """Imports for some seconds, from the file `start` on; the script asks again for the rest."""
    part, root = _part(visit), visit.panel.config.teach.import_root
    if root is None:
        raise Refused(403, "problem.no_import_root")
    folder = inside(root, visit.field("folder", 1000))
    first = number_of(visit.field("start"), "start")
    with visit.change("teach_import", f"{part.name}: {folder}"):
        sources = files_of(folder)[first:]
        done = collect(sources, part.collection, visit.account.name, _STEP_S)
    return JSONResponse(
        {
            "added": done.added,
            "known": done.known,
            "next": first + len(sources) - done.left,
            "left": done.left,
            "refused": _reasons(visit, done),
        }
    )


def _reasons(visit: Visit, done: Import) -> list[str]:
    return [visit.texts(one.text, **one.values) for one in done.refused[:_NAMED]]


def _image(visit: Visit) -> Response:
    return visit.thumbnail(_part(visit).collection.good, visit.request.path_params["name"])


def _start(visit: Visit) -> Response:
    part, kind = _part(visit), visit.field("kind")
    if kind not in {"teach", "calibrate"}:
        raise Refused(400, "problem.field", name="kind")
    if lacking := missing(kind):
        packages, extra = ", ".join(lacking), TOOLS[kind].extra
        raise Refused(409, "problem.not_installed", packages=packages, extra=extra)
    file, options = _wishes(visit, kind)
    with visit.change(f"job_{kind}", part.name):
        taught = part.begin(file)
        words = [kind, *_words(visit, taught), *options, "--report", str(taught.report)]
        asked = Asked(
            subject=part.subject,
            kind=kind,
            words=words,
            limit_s=_LIMIT_S,
            by=visit.account.name,
        )
        visit.panel.jobs.start(asked, discard=taught.discard)
    return visit.back(_path(visit, f"/{part.name}"))


def _wishes(visit: Visit, kind: str) -> tuple[TaughtFile, list[str]]:
    """Returns the choices of the form, and the options of the command that they stand for."""
    names = ["false-reject-rate", *(["minutes", "smallest-defect-px"] if kind == "teach" else [])]
    options = [word for name in names for word in _number(visit, name)]
    if kind == "teach":
        return TaughtFile(kind=kind), options
    bundle, recipe = visit.field("bundle", 4096), visit.field("recipe")
    if bundle not in {str(one.folder) for one in bundles_of(visit.line.config)}:
        raise Refused(400, "problem.field", name="bundle")
    return TaughtFile(kind=kind, bundle=bundle, recipe=recipe), options


def _number(visit: Visit, name: str) -> list[str]:
    """Returns an option whose field holds a number; nothing for an empty field."""
    text = visit.field(name)
    if not text:
        return []
    try:
        return [f"--{name}", repr(float(text))]
    except ValueError as error:
        raise Refused(400, "problem.field", name=name) from error


def _words(visit: Visit, taught: Taught) -> list[str]:
    if taught.file.kind == "teach":
        return ["--good", str(taught.good), "--out", str(taught.bundle)]
    author, why = visit.account.name, visit.field("why", 500)
    words = [str(taught.bundle), "--good", str(taught.good), f"--recipe={taught.file.recipe}"]
    return [*words, f"--author={author}", f"--reason={why}"]


def _cancel(visit: Visit) -> Response:
    part = _part(visit)
    job = _open_job(visit, part)
    if not job:
        raise Refused(409, "problem.no_job")
    with visit.change("job_cancel", f"{part.name}: {job}"):
        visit.panel.jobs.cancel(job)
    return visit.back(_path(visit, f"/{part.name}"))


_HERE = "/lines/{line}/teach/{part}"

PAGE = Page(
    "teach",
    (
        Route("/lines/{line}/teach", _parts),
        Route("/lines/{line}/teach/new", _new, role=Role.ENGINEER, changes=True),
        Route(_HERE, _work),
        Route(f"{_HERE}/status", _status),
        Route(f"{_HERE}/job", _job_status),
        Route(f"{_HERE}/live", _live),
        Route(f"{_HERE}/live/{{trigger}}", _live_picture),
        Route(f"{_HERE}/images/{{name}}", _image),
        Route(f"{_HERE}/collect", _collect, role=Role.OPERATOR, changes=True),
        Route(f"{_HERE}/remove", _remove, role=Role.OPERATOR, changes=True),
        Route(f"{_HERE}/restore", _restore, role=Role.OPERATOR, changes=True),
        Route(
            f"{_HERE}/upload",
            _upload,
            role=Role.OPERATOR,
            changes=True,
            body_max_bytes=_UPLOAD_MAX_BYTES,
        ),
        Route(f"{_HERE}/import", _import, role=Role.OPERATOR, changes=True),
        Route(f"{_HERE}/start", _start, role=Role.ENGINEER, changes=True),
        Route(f"{_HERE}/cancel", _cancel, role=Role.ENGINEER, changes=True),
    ),
)
