"""The trial of a layout on the last parts, taking what was tried, and taking that back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.responses import Response

from edge.panel.access.roles import Role
from edge.panel.audit import Undo
from edge.panel.command import linewarden
from edge.panel.inspected import frame_at, frames_of
from edge.panel.jobs import Asked, Job, State
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
    subject_of,
    told_as_refusal,
)
from edge.panel.zones.layouts import Version
from edge.panel.zones.trials import PARTS, trial_of, words_to_try

_LIMIT_S = 600.0
_LOG_LINES = 5


def _try(visit: Visit) -> Response:
    inspected = inspected_in(visit, visit.field("recipe"))
    version = layouts_of(visit, inspected).find(visit.field("version"))
    most = visit.field("parts")
    if most not in map(str, PARTS):
        raise Refused(400, "problem.field", name="parts")
    good = good_parts_of(visit, inspected)
    if good is None:
        raise Refused(409, "zones.no_good_parts", line=visit.line.name)
    frames = frames_of(visit.line, inspected, int(most))
    with told_as_refusal(), visit.change("zones_try", f"{inspected.label}: {version.number}"):
        parts = ["--parts", *(one.path for one in frames)] if frames else []
        words = [*words_to_try(inspected, version, good), "--threads", 1, *parts]
        asked = Asked(
            subject=subject_of(visit, inspected),
            kind="zones",
            words=[str(word) for word in words],
            limit_s=_LIMIT_S,
            by=visit.account.name,
        )
        # The outcome of an earlier trial of this version must not be taken for that of this one.
        visit.panel.jobs.start(asked, prepare=lambda: version.trial.unlink(missing_ok=True))
    return visit.back(page_of(visit, inspected, version=version.number))


def _show_trial(visit: Visit) -> Response:
    query = visit.request.query_params
    inspected = inspected_in(visit, query.get("recipe", ""))
    version = layouts_of(visit, inspected).find(query.get("version", ""))
    job = job_of(visit, inspected, version)
    if job is not None and job.state is State.DONE:
        job = None  # its outcome says it all
    trial = _outcome(version, job)
    return visit.render(
        "layout_trial.html",
        job=job,
        queue=visit.panel.jobs.queue_before(job),
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
                picture = "" if frame is None else small_picture(visit, frame)
                found.append((name, picture, one["before"], one["after"]))
    return found


def _outcome(version: Version, job: Job | None) -> dict[str, Any] | None:
    """Returns the outcome of the trial of a version; None while one is asked for."""
    is_open = job is not None and job.is_open
    return trial_of(version) if version.trial.exists() and not is_open else None


def _cancel(visit: Visit) -> Response:
    inspected = inspected_in(visit, visit.field("recipe"))
    job = visit.panel.jobs.open(subject_of(visit, inspected))
    if job is None:
        raise Refused(409, "problem.no_job")
    with visit.change("job_cancel", f"{inspected.label}: {job.name}"):
        visit.panel.jobs.cancel(job.name)
    return visit.back(page_of(visit, inspected))


def _take(visit: Visit) -> Response:
    inspected = inspected_in(visit, visit.field("recipe"))
    version = layouts_of(visit, inspected).find(visit.field("version"))
    trial = _outcome(version, job_of(visit, inspected, version))
    if trial is None:
        raise Refused(409, "zones.no_trial", number=version.number)
    undo = Undo(path_of(visit, "/back"), {"recipe": inspected.key, "seal": trial["replaces"]})
    with (
        told_as_refusal(),
        visit.change("zones_take", f"{inspected.label}: {version.number}", undo),
    ):
        linewarden("layout", "take", inspected.bundle, version.trial, *_by(visit))
    visit.reload(*(inspected.numbers or (None,)))
    return visit.back(page_of(visit, inspected, version=version.number))


def _back(visit: Visit) -> Response:
    """Makes the calibration before active again, with its layout."""
    inspected = inspected_in(visit, visit.field("recipe"))
    seal = visit.field("seal")
    words = ("rollback", inspected.bundle, seal, f"--recipe={inspected.recipe}")
    active = inspected.calibration()
    undo = None
    if active is not None:
        undo = Undo(path_of(visit, "/back"), {"recipe": inspected.key, "seal": active.seal})
    with told_as_refusal(), visit.change("zones_back", f"{inspected.label}: {seal[:12]}", undo):
        if not seal.isalnum():
            raise Refused(400, "problem.field", name="seal")
        linewarden("calibrations", *words, *_by(visit))
    visit.reload(*(inspected.numbers or (None,)))
    return visit.back(page_of(visit, inspected))


def _by(visit: Visit) -> tuple[str, str]:
    """Returns the options for author and reason, whose values may begin with a dash."""
    return f"--author={visit.account.name}", f"--reason={visit.field('why', WHY_MAX)}"


PAGE = Page(
    "layout_trial",
    (
        Route("/lines/{line}/zones/trial", _show_trial, role=Role.ENGINEER),
        change_route("try", _try),
        change_route("cancel", _cancel),
        change_route("take", _take),
        change_route("back", _back),
    ),
    is_in_navigation=False,
)
