"""The false reject rates that collected parts can promise, as `linewarden dataset promise` says.

The command is a process of its own: the panel loads neither calibration nor training.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from pydantic import BaseModel

from edge.panel.command import linewarden
from edge.panel.teach.tools import TOOLS, missing
from inspection.errors import LinewardenError

_BLOCK = 100  # numbers of parts that one call asks for
_LIMIT_S = 60.0


class Promise(BaseModel):
    """A promise; see `linewarden.promises`."""

    images: int
    judging: int
    bound: float
    average: float
    confidence: float
    is_approximate: bool


class Promises(BaseModel):
    """The promises for a number of parts; None where none can be given."""

    parts: int
    taught: Promise | None
    calibrated: Promise | None


def _asked(start: int, end: int) -> list[Promises]:
    if missing("promise"):  # a page asks every other second
        extra = TOOLS["promise"].extra
        raise LinewardenError(
            f"this device cannot tell what the images promise: pip install 'linewarden[{extra}]'"
        )
    told = linewarden("dataset", "promise", "--json", *range(start, end), within_s=_LIMIT_S)
    return [Promises.model_validate_json(line) for line in told.splitlines()]


class PromiseTable:
    """The promises, each asked for once. Safe for threads.

    Args:
        ask: returns the promises for numbers of parts, from the first to before the second.
    """

    def __init__(self, ask: Callable[[int, int], list[Promises]] = _asked) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._known: dict[int, Promises] = {}

    def of(self, parts: int) -> Promises:
        """Returns the promises for a number of independent good parts.

        Raises:
            LinewardenError: the command cannot tell; the message says what is missing.
        """
        with self._lock:
            if parts not in self._known:
                start = parts // _BLOCK * _BLOCK
                self._known |= {one.parts: one for one in self._ask(start, start + _BLOCK)}
            return self._known[parts]
