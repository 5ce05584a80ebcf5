"""The result of teaching or calibrating: figures, report, trials on stills, the way to the line."""

from __future__ import annotations

from starlette.responses import Response

from edge.panel.access.roles import Role
from edge.panel.bundles import bundles_of, store_of
from edge.panel.command import linewarden
from edge.panel.headers import REPORT_POLICY
from edge.panel.jobs import Asked, Job
from edge.panel.page import Page, Route, Visit
from edge.panel.refusals import Refused
from edge.panel.teach.parts import Part, Taught
from edge.panel.teach.sources import sent
from edge.panel.teach.tools import TOOLS, missing
from edge.panel.teach.trials import Trial, begin_trial, trials_of
from inspection.bundle.installed import BundleStore

_HERE = "/lines/{line}/teach/{part}/results/{taught}"
_STILLS_MAX_BYTES = 64_000_000
_LIMIT_S = 600.0
_LINES = 60


def _part(visit: Visit) -> Part:
    return visit.panel.teach.parts.find(visit.line.name, visit.request.path_params["part"])


def _taught(visit: Visit) -> Taught:
    return _part(visit).find(visit.request.path_params["taught"])


def _path(visit: Visit, below: str = "") -> str:
    values = visit.request.path_params
    return _HERE.format(line=visit.line.name, part=values["part"], taught=values["taught"]) + below


def _result(visit: Visit) -> Response:
    part, taught = _part(visit), _taught(visit)
    job = visit.panel.jobs.newest(part.subject, str(taught.report))
    tried = visit.panel.jobs.of(_trial_subject(part))
    trials = [(trial, _of_trial(tried, trial)) for trial in trials_of(taught)]
    return visit.render(
        part=part,
        taught=taught,
        job=job,
        log=job.tail()[-_LINES:] if job is not None else [],
        trials=[(trial, job, trial.stills(job)) for trial, job in trials],
        open_trial=next((job.name for job in tried if job.is_open), ""),
        store=_store(visit, part),
        path=_path(visit),
        back_path=f"/lines/{visit.line.name}/teach/{part.name}",
        recipes_path=f"/lines/{visit.line.name}/recipes",
        cannot_try=missing("try"),
        try_extra=TOOLS["try"].extra,
    )


def _trial(visit: Visit) -> Response:
    """Returns the trial that waits or runs, for the page to renew; the page has the others."""
    job = visit.panel.jobs.open(_trial_subject(_part(visit)))
    queue = visit.panel.jobs.queue_before(job)
    return visit.render("job.html", job=job, queue=queue, log=[], idle="")


def _trial_subject(part: Part) -> str:
    return f"{part.subject}/try"


def _of_trial(jobs: list[Job], trial: Trial) -> Job | None:
    return next((job for job in jobs if str(trial.pictures) in job.asked.words), None)


def _report(visit: Visit) -> Response:
    taught = _taught(visit)
    try:
        content = taught.report.read_bytes()
    except FileNotFoundError as error:
        raise Refused(404, "problem.no_report") from error
    headers = {"Content-Security-Policy": REPORT_POLICY}
    return Response(content, media_type="text/html; charset=utf-8", headers=headers)


def _store(visit: Visit, part: Part) -> BundleStore | None:
    """Returns the store of the line that has versions of a bundle with the name of the part."""
    for bundle in bundles_of(visit.line.config):
        found = store_of(bundle.folder)
        if found is not None and found[1] == part.name:
            return found[0]
    return None


def _install(visit: Visit) -> Response:
    part, taught = _part(visit), _taught(visit)
    store = _store(visit, part)
    if not taught.is_done or taught.file.kind != "teach":
        raise Refused(409, "problem.not_taught")
    if store is None:
        raise Refused(409, "problem.no_store", name=part.name)
    with visit.change("bundle_install", f"{part.name}: {taught.name}"):
        linewarden("bundle", "install", taught.bundle, "--store", store.folder)
    return visit.back(f"/lines/{visit.line.name}/recipes")


def _try(visit: Visit) -> Response:
    part, taught = _part(visit), _taught(visit)
    sources = sent(visit.form.getlist("images"))
    if not taught.is_done:
        raise Refused(409, "problem.not_taught")
    with visit.change("job_try", f"{part.name}: {taught.name}, {len(sources)}"):
        trial = begin_trial(taught, sources, visit.panel.config.teach.min_free_bytes)
        asked = Asked(
            subject=_trial_subject(part),
            kind="try",
            words=trial.words(taught),
            limit_s=_LIMIT_S,
            by=visit.account.name,
        )
        visit.panel.jobs.start(asked, discard=trial.discard)
    return visit.back(_path(visit))


def _picture(visit: Visit) -> Response:
    values = visit.request.path_params
    trial = next((one for one in trials_of(_taught(visit)) if one.name == values["trial"]), None)
    if trial is None:
        raise Refused(404, "problem.image_gone")
    return visit.thumbnail(trial.pictures, trial.picture(values["place"], values["kind"]))


PAGE = Page(
    "taught",
    (
        Route(_HERE, _result),
        Route(f"{_HERE}/report", _report),
        Route(f"{_HERE}/trial", _trial),
        Route(f"{_HERE}/trials/{{trial}}/{{place:int}}/{{kind}}", _picture),
        Route(
            f"{_HERE}/try",
            _try,
            role=Role.OPERATOR,
            changes=True,
            body_max_bytes=_STILLS_MAX_BYTES,
        ),
        Route(f"{_HERE}/install", _install, role=Role.ENGINEER, changes=True),
    ),
    is_in_navigation=False,
)
