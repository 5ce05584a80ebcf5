"""The archived images of a part, at a size: `/lines/LINE/parts/TRIGGER/images/PLACE?size=320`.

The address names a record and a place in its list of images, never a file.
"""

from __future__ import annotations

from starlette.responses import Response

from edge.panel.page import Page, Route, Visit
from edge.panel.refusals import Refused
from edge.store.reader import Filter


def _image(visit: Visit) -> Response:
    trigger, place = visit.request.path_params["trigger"], visit.request.path_params["place"]
    line = visit.line
    with line.reader() as reader:
        stored = next(reader.find(Filter(trigger_id=trigger), limit=1), None)
    if stored is None or place >= len(stored.record.images):
        raise Refused(404, "problem.image_gone")
    return visit.thumbnail(line.images, stored.record.images[place])


PAGE = Page(
    "images",
    (Route("/lines/{line}/parts/{trigger}/images/{place:int}", _image),),
    is_in_navigation=False,
)
