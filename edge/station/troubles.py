"""The troubles of a running line as an operator needs them: the kind, and the line's own words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

Kind = Literal["fault", "output", "outbox", "records", "alarm"]

_NUMBER = re.compile(r"\d+")


class Trouble(NamedTuple):
    """A trouble.

    Attributes:
        kind: "fault": the line takes no part. "output": it is not told verdicts. "outbox": verdicts
            wait for it. "records": none are written. "alarm": the parts or the device need a look.
        name: of the output; empty for another kind.
        message: in the words of the line.
    """

    kind: Kind
    name: str
    message: str

    @property
    def key(self) -> tuple[str, str, str]:
        """The same for one trouble at every moment: a message that counts has other numbers."""
        return self.kind, self.name, _NUMBER.sub("", self.message)


def troubles_in(state: Mapping[str, Any]) -> Iterator[Trouble]:
    """Yields the troubles in the answer of a line to "state", the worst first."""
    for fault in state["faults"]:
        yield Trouble("fault", "", fault)
    records = state["records"]
    if records is not None and records["failure"] is not None:
        yield Trouble("records", "", records["failure"])
    for name, output in state["pipeline"]["outputs"].items():
        if not output["is_up"]:
            why = output["why"]
            message = why if why.startswith(name) else f"{name}: {why}"
            yield Trouble("output", name, message)
    if records is not None:
        for name, is_up in records["outboxes_up"].items():
            if not is_up:
                waiting = records["outboxes"].get(name, 0)
                yield Trouble("outbox", name, f"{name}: {waiting}")
    for alarm in state["alarms"]:
        yield Trouble("alarm", "", alarm)
