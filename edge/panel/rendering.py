"""Templates: strict, escaped, without logic beyond loops and conditions."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

_FOLDER = Path(__file__).parent
STATIC = _FOLDER / "static"


def environment() -> Environment:
    """Returns the environment of the templates."""
    made = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"moment": _moment, "data": _data}
    return made


@pass_context
def _moment(context: Context, moment: datetime | str) -> str:
    """Returns a moment in the time of the line; a text of a file that is none as it is.

    The fields of a filter, and the shifts, are in the time of the line too: `records.time_zone`, or
    else that of the device.
    """
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment.replace("Z", "+00:00"))
        except ValueError:
            return str(moment)
    return f"{moment.astimezone(context.get('zone')):%Y-%m-%d %H:%M:%S}"


def _data(value: object) -> Markup:
    """Returns JSON for a block `<script type="application/json">`, which no browser runs.

    `<` is written as an escape, so that no text ends the block.
    """
    text = json.dumps(value, ensure_ascii=False)
    return Markup(text.replace("<", "\\u003c").replace("&", "\\u0026"))  # noqa: S704 - escaped
