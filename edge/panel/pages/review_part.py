"""One part under review: beside the nearest good one, with its labels and what they would do."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from starlette.responses import Response

from edge.panel.access.roles import Role
from edge.panel.audit import Undo
from edge.panel.bundles import bundle_of
from edge.panel.page import WHY_MAX, Page, Route, Visit
from edge.panel.part_pictures import Picture, pictures_of
from edge.panel.refusals import Refused
from edge.panel.review.choice import Choice
from edge.store.labels import DECISIONS, DISPUTED, GOOD, UNDECIDED, newest_of
from edge.store.painted import MASK_MAX_BYTES, painted_png, read_painted
from edge.store.reader import Filter, RecordReader, StoredRecord
from inspection.errors import FrameError, LineError, LinewardenError

_MORE_GOOD_MAX = 200
_MASK_TEXT_MAX = MASK_MAX_BYTES * 4 // 3 + 4
_SECTION = "/lines/{line}/review/parts/{trigger}"


def _base(visit: Visit, trigger_id: str) -> str:
    return f"/lines/{visit.line.name}/review/parts/{trigger_id}"


def _part(visit: Visit) -> Response:
    line, given = visit.line, visit.request.query_params
    choice = Choice.of(given)
    with line.reader() as reader:
        stored = _stored(visit, reader)
        labels = reader.labels(stored.number)
        defects = [one for one in reader.known_labels() if one not in DECISIONS]
        newer = _neighbour(visit, reader, stored, choice, newest_first=False)
        older = _neighbour(visit, reader, stored, choice, newest_first=True)
    trigger_id = stored.record.trigger_id
    base, pictures = _base(visit, trigger_id), pictures_of(stored)
    picture = _shown(pictures, given.get("view", stored.record.view))
    return visit.render(
        stored=stored,
        labels=list(enumerate(labels))[::-1],
        is_disputed=stored.label == DISPUTED,
        own=newest_of(labels, visit.account.name),
        pictures=pictures,
        picture=picture,
        defects=defects,
        silence=_silence(visit),
        label_command=f"linewarden records label {line.path} {trigger_id} LABEL --note TEXT",
        list_path=choice.path(f"/lines/{line.name}/review"),
        newer=newer,
        older=older,
        views=[(one, choice.path(base, view=one.view)) for one in pictures],
        label_path=choice.path(f"{base}/label"),
        withdraw_path=choice.path(f"{base}/withdraw"),
        base=base,
        data={
            "trigger": trigger_id,
            "images": f"/lines/{line.name}/parts/",
            "frame": picture and picture.frame,
            "mask": picture and picture.mask,
            "texts": visit.texts.below("review"),
        },
    )


def _stored(visit: Visit, reader: RecordReader) -> StoredRecord:
    trigger_id = visit.request.path_params["trigger"]
    stored = next(reader.find(Filter(trigger_id=trigger_id), limit=1), None)
    if stored is None:
        raise Refused(404, "problem.no_part")
    return stored


def _neighbour(
    visit: Visit, reader: RecordReader, stored: StoredRecord, choice: Choice, *, newest_first: bool
) -> str:
    """Returns the address of the next part of the choice; empty at its end."""
    which = choice.filter(visit.line.zone)
    found = reader.find(which, limit=1, newest_first=newest_first, beyond=stored.place)
    one = next(found, None)
    return "" if one is None else choice.path(_base(visit, one.record.trigger_id))


def _shown(pictures: list[Picture], view: str) -> Picture | None:
    """Returns the picture of a view, or else the first one."""
    return next((one for one in pictures if one.view == view), next(iter(pictures), None))


def _silence(visit: Visit) -> str:
    """Returns why the line takes no label now; empty when it does."""
    try:
        visit.line.ask("state", within_s=1.0)
    except LineError as error:
        return str(error)
    return ""


def _nearest(visit: Visit) -> Response:
    with visit.line.reader() as reader:
        stored = _stored(visit, reader)
    picture = _shown(pictures_of(stored), visit.request.query_params.get("view", ""))
    nearest = None
    if picture is not None:
        frame = stored.record.images[picture.frame]
        nearest = visit.panel.nearest.find(visit.line, stored, frame)
    return visit.render(
        "review_nearest.html", nearest=nearest, images=f"/lines/{visit.line.name}/parts"
    )


def _threshold(visit: Visit) -> Response:
    """Shows what each label would do to the threshold of the recipe."""
    with visit.line.reader() as reader:
        record = _stored(visit, reader).record
        # Parts that this calibration judged came after it: none of them is in it.
        same = Filter(label=GOOD, calibration_seal=record.calibration_seal)
        others = [
            one.record.score
            for one in reader.find(same, limit=_MORE_GOOD_MAX, newest_first=True)
            if one.record.score is not None and one.record.trigger_id != record.trigger_id
        ]
    preview, problem = None, ""
    if record.score is not None:
        bundle = bundle_of(visit.line.config, record.recipe_number, record.view)
        try:
            preview = visit.panel.previews.of(bundle, record.recipe, [record.score, *others])
        except LinewardenError as error:
            problem = str(error)
    return visit.render(
        "review_threshold.html",
        record=record,
        preview=preview,
        problem=problem,
        others=len(others),
        is_of_now=preview is not None and preview.seal == record.calibration_seal,
    )


def _mask(visit: Visit) -> Response:
    """Returns the mask of a label, by its place in the history of the part."""
    place = visit.request.path_params["place"]
    with visit.line.reader() as reader:
        labels = reader.labels(_stored(visit, reader).number)
    name = labels[place].mask if place < len(labels) else None
    if name is None:
        raise Refused(404, "problem.image_gone")
    return visit.thumbnail(visit.line.images, name)


def _label(visit: Visit) -> Response:
    """Labels a part, and leads to the next one of the choice."""
    choice, decision = Choice.of(visit.request.query_params), visit.field("decision")
    if decision not in ("defect", GOOD, UNDECIDED):
        raise Refused(400, "problem.field", name="decision")
    label = visit.field("defect", 64) if decision == "defect" else decision
    if not label or (decision == "defect" and label in DECISIONS):
        raise Refused(400, "problem.defect_type")
    with visit.line.reader() as reader:
        stored = _stored(visit, reader)
        older = _neighbour(visit, reader, stored, choice, newest_first=True)
    trigger_id, author = stored.record.trigger_id, visit.account.name
    mask: dict[str, Any] = _painted(visit, stored) if decision == "defect" else {}
    undo = Undo(f"{_base(visit, trigger_id)}/withdraw", {"author": author, "label": label})
    with visit.change("label", f"{trigger_id}: {label}", undo):
        visit.line.ask(
            "label",
            trigger_id=trigger_id,
            label=label,
            author=author,
            note=visit.field("why", WHY_MAX),
            **mask,
        )
    return visit.back(older or choice.path(f"/lines/{visit.line.name}/review"))


def _painted(visit: Visit, stored: StoredRecord) -> dict[str, str]:
    """Returns the mask in the form, with the frame that it was painted over; empty without one.

    Raises:
        Refused: it is not a mask, or there is no such frame.
    """
    text = visit.field("mask", _MASK_TEXT_MAX) if "mask" in visit.form else ""
    if not text:
        return {}
    place = visit.field("frame")
    if place not in [str(one.frame) for one in pictures_of(stored)]:
        raise Refused(400, "problem.field", name="frame")
    try:
        painted = read_painted(base64.b64decode(text, validate=True))
    except (binascii.Error, FrameError) as error:
        raise Refused(400, "problem.mask", why=str(error)) from error
    mask = base64.b64encode(painted_png(painted)).decode()
    return {"frame": stored.record.images[int(place)], "mask": mask}


def _withdraw(visit: Visit) -> Response:
    author, label = visit.field("author"), visit.field("label", 64)
    with visit.line.reader() as reader:
        stored = _stored(visit, reader)
        newest = newest_of(reader.labels(stored.number), author)
    if newest is not None and newest.label != label:
        raise Refused(409, "review.labelled_again", author=author)
    trigger_id = stored.record.trigger_id
    with visit.change("label_withdraw", f"{trigger_id}: {author}"):
        # The line looks too: the person may label the part again in between.
        visit.line.ask(
            "withdraw", trigger_id=trigger_id, author=author, by=visit.account.name, label=label
        )
    choice = Choice.of(visit.request.query_params)
    return visit.back(choice.path(_base(visit, trigger_id)))


PAGE = Page(
    "review_part",
    (
        Route(_SECTION, _part),
        Route(f"{_SECTION}/nearest", _nearest),
        Route(f"{_SECTION}/threshold", _threshold),
        Route(f"{_SECTION}/masks/{{place:int}}", _mask),
        Route(
            f"{_SECTION}/label",
            _label,
            role=Role.OPERATOR,
            changes=True,
            body_max_bytes=MASK_MAX_BYTES * 2,
        ),
        Route(f"{_SECTION}/withdraw", _withdraw, role=Role.OPERATOR, changes=True),
    ),
    is_in_navigation=False,
)
