"""Review: the parts that somebody should look at, and the data sets that are made of them."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from edge.panel.access.roles import Role
from edge.panel.bundles import recipe_names, recipes_of
from edge.panel.inspected import inspected_of
from edge.panel.page import Page, Route, Visit
from edge.panel.part_pictures import pictures_of
from edge.panel.refusals import Refused
from edge.panel.review.choice import WITHOUT_LABEL, Choice, place_from_text, text_from_place
from edge.panel.review.data_sets import PURPOSES, Wanted, commands_for
from edge.panel.troubles import SeenTrouble
from edge.store.labels import DECISIONS, DISPUTED
from inspection.errors import LineError
from inspection.verdict import Verdict

_SHOWN = 24
_VERDICTS = (Verdict.REJECT.value, Verdict.REVIEW.value, Verdict.NO_VERDICT.value)


def _review(visit: Visit) -> Response:
    line, given = visit.line, visit.request.query_params
    base = f"/lines/{line.name}/review"
    choice, before = Choice.of(given), place_from_text(given.get("before", ""))
    which = choice.filter(line.zone)
    with line.reader() as reader:
        found = list(reader.find(which, limit=_SHOWN + 1, newest_first=True, beyond=before))
        labels = reader.known_labels()
    shown = found[:_SHOWN]
    parts = [
        (one, pictures_of(one)[:1], choice.path(f"{base}/parts/{one.record.trigger_id}"))
        for one in shown
    ]
    has_older = len(found) > _SHOWN
    troubles, silence = _troubles(visit)
    return visit.render(
        choice=choice,
        tabs=_tabs(visit, choice, base),
        parts=parts,
        images=f"/lines/{line.name}/parts",
        newest=choice.path(base) if before is not None else "",
        older=choice.path(base, before=text_from_place(shown[-1].place)) if has_older else "",
        defects=[one for one in labels if one not in DECISIONS],
        recipes=recipe_names(line.config),
        numbered=[one for one in recipes_of(line.config) if one.number is not None],
        products=[
            (one, choice.number in map(str, one.numbers) or choice.recipe == one.recipe)
            for one in inspected_of(line)
        ],
        troubles=troubles,
        silence=silence,
        data_sets_path=f"{base}/data-sets",
        make_path=f"{base}/data-sets/make",
        **_data_sets_shown(visit),
    )


def _tabs(visit: Visit, choice: Choice, base: str) -> list[tuple[str, str, bool]]:
    """Returns the usual choices: name, address, whether it is the present one."""
    usual = [
        (visit.texts("review.unsure"), Choice()),
        (visit.texts("review.unlabelled"), Choice(label=WITHOUT_LABEL)),
        *((visit.texts(f"verdict.{one}"), Choice(one)) for one in _VERDICTS),
        (visit.texts("review.second_opinion"), Choice("all", label=DISPUTED)),
    ]
    return [(name, one.path(base), one == choice) for name, one in usual]


def _troubles(visit: Visit) -> tuple[list[SeenTrouble], str]:
    """Returns the troubles of the line, or why they are not known."""
    try:
        return visit.line.troubles.of(visit.line.ask("state", within_s=1.0)), ""
    except LineError as error:
        return [], str(error)


def _data_sets(visit: Visit) -> Response:
    return visit.render("review_data_sets.html", **_data_sets_shown(visit))


def _data_sets_shown(visit: Visit) -> dict[str, Any]:
    data_sets, config = visit.panel.data_sets, visit.line.config
    return {
        "data_sets_folder": data_sets.folder,
        "data_set_work": data_sets.work(visit.line),
        "data_sets": [(one, commands_for(one, config)) for one in data_sets.finished(visit.line)],
    }


def _make_data_set(visit: Visit) -> Response:
    purpose = next((one for one in PURPOSES if one == visit.field("purpose")), None)
    if purpose is None:
        raise Refused(400, "problem.field", name="purpose")
    texts = {name: str(value) for name, value in visit.form.items()}
    choice = Choice.of({name: texts.get(name, "") for name in ("since", "until")})
    key, zone = visit.field("product"), visit.line.zone
    product = next((one for one in inspected_of(visit.line) if one.key == key), None)
    if product is None:
        raise Refused(400, "problem.field", name="product")
    since, until = choice.moment("since", zone), choice.moment("until", zone)
    wanted = Wanted(purpose, product, since, until, "take_passes" in visit.form)
    with visit.change("data_set", f"{purpose}: {product.label}"):
        visit.panel.data_sets.begin(visit.line, wanted)
    return visit.back(f"/lines/{visit.line.name}/review#data-sets")


PAGE = Page(
    "review",
    (
        Route("/lines/{line}/review", _review),
        Route("/lines/{line}/review/data-sets", _data_sets),
        Route(
            "/lines/{line}/review/data-sets/make", _make_data_set, role=Role.ENGINEER, changes=True
        ),
    ),
)
