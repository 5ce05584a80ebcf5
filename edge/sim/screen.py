"""The signals of machines on a terminal: every bit with its name, and the words beside them."""

from __future__ import annotations

import json
from collections.abc import Sequence

from edge.sim.base import View

_ON, _OFF, _END = "\x1b[7m", "\x1b[2m", "\x1b[0m"
_HOME_AND_CLEAR = "\x1b[H\x1b[J"


def page(views: Sequence[View], notes: Sequence[str]) -> str:
    """Returns the ANSI text that draws the views from the top of an empty screen, notes below."""
    lines = [line for view in views for line in (*_lines(view, coloured=True), "")]
    return _HOME_AND_CLEAR + "\n".join([*lines, *notes]) + "\n"


def plain(view: View) -> str:
    """Returns a view as one line of text; a set bit is in upper case, with a star."""
    return "  ".join(_lines(view, coloured=False))


def as_json(view: View) -> str:
    """Returns a view as one line of JSON."""
    return json.dumps({"machine": view.title, "bits": dict(view.bits), **dict(view.words)})


def without_heartbeat(view: View) -> tuple[object, ...]:
    """Returns the part of a view whose change is worth a line."""
    bits = {name: value for name, value in view.bits.items() if name != "HEARTBEAT"}
    moving = ("looks", "counts", "frames", "topics")
    words = {name: value for name, value in view.words.items() if name not in moving}
    return view.title, tuple(bits.items()), tuple(words.items())


def _lines(view: View, *, coloured: bool) -> list[str]:
    bits = " ".join(_bit(name, value, coloured=coloured) for name, value in view.bits.items())
    words = "  ".join(f"{name} {value}" for name, value in view.words.items())
    return [line for line in (view.title, bits, words) if line]


def _bit(name: str, value: bool, *, coloured: bool) -> str:
    if coloured:
        return f"{_ON if value else _OFF} {name} {_END}"
    return f"{name}*" if value else name.lower()
