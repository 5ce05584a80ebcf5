"""The troubles of a running line as an operator needs them: the kind, the message, since when.

The line does not say since when. The panel knows since when it has seen a trouble, while some page
looks; after a pause it begins anew, because the trouble may have gone and come back.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from typing import Any, Literal, NamedTuple

Kind = Literal["fault", "output", "outbox", "records", "alarm"]

_PAUSE_S = 10.0
_NUMBER = re.compile(r"\d+")


class Trouble(NamedTuple):
    """A trouble that a line has now.

    Attributes:
        kind: "fault": the line takes no part. "output": it is not told verdicts. "outbox": verdicts
            wait for it. "records": none are written. "alarm": the parts or the device need a look.
            The text of a kind says what to do.
        name: of the output; empty for another kind.
        message: in the words of the line.
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

    def of(self, state: Mapping[str, Any]) -> list[Trouble]:
        """Returns the troubles in the answer of a line to "state", the worst first."""
        with self._lock:
            before = self._since if self._clock() - self._looked_s < _PAUSE_S else {}
            now, found = datetime.now(timezone.utc), []
            for kind, name, message in _present(state):
                # A message that counts is the same trouble a moment later.
                key = (kind, name, _NUMBER.sub("", message))
                found.append((key, Trouble(kind, name, message, before.get(key, now))))
            self._since = {key: one.since for key, one in found}
            self._looked_s = self._clock()
        return [one for _, one in found]


def _present(state: Mapping[str, Any]) -> Iterator[tuple[Kind, str, str]]:
    for fault in state["faults"]:
        yield "fault", "", fault
    records = state["records"]
    if records is not None and records["failure"] is not None:
        yield "records", "", records["failure"]
    for name, output in state["pipeline"]["outputs"].items():
        if not output["is_up"]:
            why = output["why"]
            yield "output", name, why if why.startswith(name) else f"{name}: {why}"
    if records is not None:
        for name, is_up in records["outboxes_up"].items():
            if not is_up:
                yield "outbox", name, f"{name}: {records['outboxes'].get(name, 0)}"
    for alarm in state["alarms"]:
        yield "alarm", "", alarm
