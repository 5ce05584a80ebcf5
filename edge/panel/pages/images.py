"""The archived images of a part, at a size: `/lines/LINE/parts/TRIGGER/images/PLACE?size=320`.

The address names a record and a place in its list of images, never a file.
"""

from __future__ import annotations

from starlette.responses import Response

from edge.panel.page import Page, Route, Visit
from edge.panel.refusals import Refused
from edge.store.reader import Filter

_FOREVER = "private, max-age=31536000, immutable"


def _image(visit: Visit) -> Response:
    trigger, place = visit.request.path_params["trigger"], visit.request.path_params["place"]
    size = visit.request.query_params.get("size", "")
    line = visit.line
    with line.reader() as reader:
        stored = next(reader.find(Filter(trigger_id=trigger), limit=1), None)
    if stored is None or place >= len(stored.record.images):
        raise Refused(404, "problem.image_gone")
    content, media = visit.panel.thumbnails.picture(
        line.images, stored.record.images[place], int(size) if size.isdecimal() else 0
    )
    return Response(content, media_type=media, headers={"Cache-Control": _FOREVER})


PAGE = Page(
    "images",
    (Route("/lines/{line}/parts/{trigger}/images/{place:int}", _image),),
    is_in_navigation=False,
)
