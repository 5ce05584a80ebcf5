"""Health and audit: how the line and the device do, and who changed what, with its undo."""

from __future__ import annotations

from typing import Any

import numpy as np
from starlette.responses import Response

from edge.panel.access.roles import Role
from edge.panel.audit import AuditEntry, Undo
from edge.panel.device import Disk, disk_of, log_of, temperatures
from edge.panel.fields import number_of
from edge.panel.page import Page, Route, Visit
from edge.store.reader import Waiting
from edge.store.troubles import PastTrouble
from inspection.errors import LinewardenError

_LATEST = 1000  # parts
_ENTRIES = 50
_TROUBLES = 100
_UNIT = "linewarden@{line}.service"  # as `linewarden service install` names it


def _health(visit: Visit) -> Response:
    text = visit.request.query_params.get("before", "")
    before = number_of(text, "before") if text else None
    sees_changes = visit.may(Role.OPERATOR)
    entries = (
        visit.panel.audit.entries(visit.line.name, before=before, limit=_ENTRIES + 1)
        if sees_changes
        else []
    )
    shown = entries[:_ENTRIES]
    past, past_problem = _past_troubles(visit)
    return visit.render(
        past_troubles=past,
        past_problem=past_problem,
        figures=_figures(visit),
        figures_path=f"/lines/{visit.line.name}/health/figures",
        log_path=f"/lines/{visit.line.name}/health/log",
        entries=[(entry, *_undo_of(visit, entry)) for entry in shown],
        older=shown[-1].number if len(entries) > _ENTRIES else None,
        is_first=before is None,
        sees_changes=sees_changes,
        sees_log=visit.may(Role.ENGINEER),
    )


def _undo_of(visit: Visit, entry: AuditEntry) -> tuple[Undo | None, Role | None]:
    """Returns the undo of a change that was done, or the role that the person lacks for it."""
    undo = entry.change.undo
    if undo is None or entry.failure != "":
        return None, None
    if visit.may_send(undo.path):
        return undo, None
    return None, visit.role_to_send(undo.path)


def _past_troubles(visit: Visit) -> tuple[list[PastTrouble], str]:
    """Returns the troubles that the line had, the newest first, or why they cannot be read."""
    try:
        with visit.line.reader() as reader:
            return reader.troubles(_TROUBLES), ""
    except LinewardenError as error:
        return [], str(error)


def _figures_alone(visit: Visit) -> Response:
    return visit.render("health_figures.html", figures=_figures(visit))


def _log(visit: Visit) -> Response:
    unit = _UNIT.format(line=visit.line.name)
    return visit.render("health_log.html", unit=unit, lines=log_of(unit))


def _figures(visit: Visit) -> dict[str, Any]:
    """Returns the figures; where one cannot be had, its reason is in "problems"."""
    sources = {"state": _state, "latency": _latency, "waiting": _waiting, "disk": _disk}
    figures: dict[str, Any] = {"temperatures": temperatures(), "problems": []}
    for name, read in sources.items():
        try:
            figures[name] = read(visit)
        except (LinewardenError, OSError) as error:
            figures[name] = None
            figures["problems"].append(str(error))
    return figures


def _state(visit: Visit) -> dict[str, Any]:
    state = visit.line.ask("state", within_s=1.0)
    return {**state, "troubles": visit.line.troubles.of(state)}


def _latency(visit: Visit) -> dict[str, float] | None:
    """Returns the percentiles over the latest parts with a frame, in ms; None without parts."""
    with visit.line.reader() as reader:
        latest = [one.record for one in reader.written_after(0, _LATEST)]
    totals = [one.latency_ms.total for one in latest if one.source is not None]
    if not totals:
        return None
    p50, p99 = np.percentile(totals, [50, 99])
    return {"p50": float(p50), "p99": float(p99), "most": max(totals), "parts": len(totals)}


def _waiting(visit: Visit) -> dict[str, Waiting]:
    with visit.line.reader() as reader:
        return reader.waiting()


def _disk(visit: Visit) -> Disk:
    return disk_of(visit.line.records.folder)


PAGE = Page(
    "health",
    (
        Route("/lines/{line}/health", _health),
        Route("/lines/{line}/health/figures", _figures_alone),
        Route("/lines/{line}/health/log", _log, role=Role.ENGINEER),
    ),
)
