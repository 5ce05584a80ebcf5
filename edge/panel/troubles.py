"""The troubles of a running line, with the time since when the panel has seen each.

The line does not say since when. The panel knows since when it has seen a trouble, while some page
looks; after a pause it begins anew, because the trouble may have gone and come back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any, NamedTuple

from edge.station.troubles import Kind, troubles_in

_PAUSE_S = 10.0


class SeenTrouble(NamedTuple):
    """A trouble that a line has now; the text of its kind says what to do.

    Attributes:
        kind, name, message: see `edge.station.troubles.Trouble`.
        since: when the panel first saw it.
    """

    kind: Kind
    name: str
    message: str
    since: datetime


class Troubles:
    """The troubles of one line. Safe for threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._looked_s = float("-inf")
        self._since: dict[tuple[str, str, str], datetime] = {}

    def of(self, state: Mapping[str, Any]) -> list[SeenTrouble]:
        """Returns the troubles in the answer of a line to "state", the worst first."""
        with self._lock:
            before = self._since if self._clock() - self._looked_s < _PAUSE_S else {}
            now, present = datetime.now(timezone.utc), list(troubles_in(state))
            self._since = {one.key: before.get(one.key, now) for one in present}
            self._looked_s = self._clock()
            return [SeenTrouble(*one, since=self._since[one.key]) for one in present]
