"""Sensitivity: the slider along the calibrated curve, and what another place would have changed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from edge.panel.access.roles import Role
from edge.panel.audit import Undo
from edge.panel.page import Page, Route, Visit
from edge.panel.refusals import Refused
from edge.panel.sensitivity.calibrations import Calibrated, Slider, calibrated_of, missing_right
from edge.panel.sensitivity.histogram import HEIGHT, LEFT, RIGHT, WIDTH, Histograms, histograms
from edge.panel.sensitivity.replayed import Replayed, replayed
from edge.panel.snapshot import images_by_kind
from edge.store.labels import GOOD, UNSETTLED
from edge.store.reader import Filter, StoredRecord
from inspection.errors import LinewardenError, RecordsError

LATEST = 500  # parts

_LABELLED = 2000  # parts
_SEAL = re.compile(r"[0-9a-f]{64}")


def _path(visit: Visit, of: Calibrated | None = None, below: str = "") -> str:
    path = f"/lines/{visit.line.name}/sensitivity{below}"
    return path if of is None else f"{path}?{urlencode(_named(of))}"


def _named(of: Calibrated) -> dict[str, str]:
    return {"bundle": str(of.bundle), "recipe": of.recipe}


def _sensitivity(visit: Visit) -> Response:
    given = visit.request.query_params
    found = calibrated_of(visit.line.config)
    of = _chosen(found, given["bundle"], given.get("recipe", "")) if "bundle" in given else found[0]
    try:
        slider, problem = visit.panel.calibrations.slider(of), ""
    except LinewardenError as error:
        slider, problem = None, str(error)
    return visit.render(
        of=of,
        chosen=_path(visit, of),
        others=[(one, _path(visit, one)) for one in found],
        problem=problem,
        slider=slider,
        line_path=_path(visit, of, "/line"),
        **(_status(visit, of, slider) if slider else {}),
        **(_evidence(visit, of, slider) if slider else {}),
        named=_named(of),
        take_path=_path(visit, below="/take"),
        again_path=_path(visit, below="/again"),
        missing=missing_right(of),
    )


def _chosen(found: Sequence[Calibrated], bundle: str, recipe: str) -> Calibrated:
    """Returns one of the line's own recipes, however it was named."""
    for one in found:
        if (str(one.bundle), one.recipe) == (bundle, recipe):
            return one
    raise Refused(400, "problem.field", name="recipe")


def _line(visit: Visit) -> Response:
    given = visit.request.query_params
    found = calibrated_of(visit.line.config)
    of = _chosen(found, given.get("bundle", ""), given.get("recipe", ""))
    slider = visit.panel.calibrations.slider(of)
    return visit.render("sensitivity_line.html", slider=slider, **_status(visit, of, slider))


def _status(visit: Visit, of: Calibrated, slider: Slider) -> dict[str, Any]:
    """Returns the calibration that judges on the line, or why it does not answer."""
    try:
        state = visit.line.ask("state", within_s=1.0)
    except LinewardenError as error:
        return {"state": None, "judging": None, "silence": str(error)}
    return {"state": state, "judging": _judging(state, of, slider), "silence": ""}


def _judging(state: dict[str, Any], of: Calibrated, slider: Slider) -> dict[str, Any] | None:
    """Returns the identity of a view that inspects with this recipe; None when none does."""
    if of.numbers and state["recipe"]["active"] not in of.numbers:
        return None  # recipes of several bundles may have one name
    identities = [one for one in state["identities"].values() if one["recipe"] == slider.recipe]
    seals = [one["calibration_seal"] for one in identities]
    if slider.seal in seals:
        return identities[seals.index(slider.seal)]  # type: ignore[no-any-return]
    return identities[0] if identities else None


def _evidence(visit: Visit, of: Calibrated, slider: Slider) -> dict[str, Any]:
    """Returns the chart, and the parts that other places on the slider would have changed."""
    records_problem = ""
    latest: list[StoredRecord] = []
    labelled: list[StoredRecord] = []
    try:
        # The recipe of a record is that of the view that decided: of several it leaves parts out.
        recipe = slider.recipe if len(visit.line.config.all_views) == 1 else None
        which = Filter(recipe=recipe, recipe_numbers=of.numbers)
        with visit.line.reader() as reader:
            latest = list(reader.find(which, limit=LATEST, newest_first=True))
            which = replace(which, is_labelled=True)
            labelled = list(reader.find(which, limit=_LABELLED, newest_first=True))
    except (RecordsError, OSError) as error:
        records_problem = str(error)
    settled = [one for one in labelled if one.label not in UNSETTLED]
    parts, known = replayed(latest, slider), replayed(settled, slider)
    charts = _charts(slider, parts, known)
    return {
        "charts": charts,
        "chart_size": {"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": RIGHT},
        "records_problem": records_problem,
        "found": len(latest),
        "judged": len(parts),
        "data": {
            "points": [
                {
                    **one.model_dump(),
                    "x": charts.x(one.reject),
                    "position_text": str(one.position),
                }
                for one in slider.points
            ],
            "start": slider.start,
            "right": RIGHT,
            "zones": slider.zones,
            "confidence": slider.confidence,
            "is_approximate": slider.is_approximate,
            "parts": [_values(one) for one in parts],
            "labelled": [_values(one) for one in known],
            "images": f"/lines/{visit.line.name}/parts/",
            "texts": visit.texts.below("sensitivity"),
        },
    }


def _charts(slider: Slider, parts: Sequence[Replayed], labelled: Sequence[Replayed]) -> Histograms:
    good = [one.score for one in labelled if one.label == GOOD]
    defective = [one.score for one in labelled if one.label != GOOD]
    rows = {
        "sensitivity.row_calibrated": slider.scores,
        "sensitivity.row_good": good,
        "sensitivity.row_defective": defective,
        "sensitivity.row_latest": [one.score for one in parts],
    }
    shown = [slider.now.reject, *(one.reject for one in slider.points)]
    return histograms(rows, shown)


def _values(part: Replayed) -> dict[str, Any]:
    """Returns a part as the script takes it."""
    frames = images_by_kind(part.images).get("frame", [])
    return {
        "trigger": part.trigger,
        "score": part.score,
        "was": part.is_rejected,
        "from": part.rejected_from,
        "before": part.passed_before,
        "label": part.label,
        "good": part.label == GOOD,
        "frame": frames[0] if frames else None,
    }


def _take(visit: Visit) -> Response:
    """Takes a place of the slider as a new calibration, and lets the line read it."""
    of = _posted(visit)
    calibrations = visit.panel.calibrations
    slider = calibrations.slider(of)
    if visit.field("seal") != slider.seal:
        raise Refused(409, "problem.calibrated_meanwhile")
    point = next((p for p in slider.points if str(p.position) == visit.field("position")), None)
    if point is None:
        raise Refused(400, "problem.field", name="position")
    undo = Undo(_path(visit, below="/back"), {**_named(of), "seal": slider.seal})
    subject = f"{of.bundle} {of.recipe}: {slider.now.reject:.6g} → {point.reject:.6g}"
    with visit.change("sensitivity_take", subject, undo):
        calibrations.move(
            of, point.position, author=visit.account.name, reason=visit.field("why", 500)
        )
    visit.reload(*(of.numbers or (None,)))
    return visit.back(_path(visit, of))


def _back(visit: Visit) -> Response:
    """Makes an earlier calibration active again, and lets the line read it."""
    of, seal = _posted(visit), visit.field("seal")
    if not _SEAL.fullmatch(seal):
        raise Refused(400, "problem.field", name="seal")
    before = visit.panel.calibrations.slider(of)
    undo = Undo(_path(visit, below="/back"), {**_named(of), "seal": before.seal})
    with visit.change("sensitivity_back", f"{of.bundle} {of.recipe}: {seal[:12]}", undo):
        visit.panel.calibrations.roll_back(
            of, seal, author=visit.account.name, reason=visit.field("why", 500)
        )
    visit.reload(*(of.numbers or (None,)))
    return visit.back(_path(visit, of))


def _again(visit: Visit) -> Response:
    of = _posted(visit)
    with visit.change("recipe_again", of.recipe):
        visit.line.ask("recipe", again=True)
    return visit.back(_path(visit, of))


def _posted(visit: Visit) -> Calibrated:
    found = calibrated_of(visit.line.config)
    return _chosen(found, visit.field("bundle", 4096), visit.field("recipe"))


PAGE = Page(
    "sensitivity",
    (
        Route("/lines/{line}/sensitivity", _sensitivity),
        Route("/lines/{line}/sensitivity/line", _line),
        Route("/lines/{line}/sensitivity/take", _take, role=Role.ENGINEER, changes=True),
        Route("/lines/{line}/sensitivity/back", _back, role=Role.ENGINEER, changes=True),
        Route("/lines/{line}/sensitivity/again", _again, role=Role.ENGINEER, changes=True),
    ),
)
