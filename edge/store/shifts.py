"""Shifts as intervals of UTC. Pure functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from itertools import pairwise
from typing import NamedTuple

ALL_DAY = {"day": time(0)}


class Shift(NamedTuple):
    """One shift of one day; `start` belongs to it, `end` does not."""

    name: str
    start: datetime
    end: datetime


def shifts_between(
    since: datetime, until: datetime, begins: Mapping[str, time], zone: tzinfo | None
) -> Iterator[Shift]:
    """Yields the shifts that overlap an interval, in order, in UTC.

    Args:
        begins: name of each shift and when it begins, local time; empty for one shift a day.
        zone: of the local time; None for the device's own. A day on which the clocks change has
            shifts of another length.
    """
    ordered = sorted((begin, name) for name, begin in (begins or ALL_DAY).items())
    day = since.astimezone(zone).date() - timedelta(days=1)
    starts: list[tuple[datetime, str]] = []
    while not starts or starts[-1][0] < until:
        starts += [(_utc(day, begin, zone), name) for begin, name in ordered]
        day += timedelta(days=1)
    # Where the clocks go forward, a time that does not exist may come after one that does.
    for (start, name), (end, _) in pairwise(sorted(starts)):
        if start < until and end > since:
            yield Shift(name, start, end)


def _utc(day: date, begin: time, zone: tzinfo | None) -> datetime:
    moment = datetime.combine(day, begin)
    local = moment.replace(tzinfo=zone) if zone is not None else moment.astimezone()
    return local.astimezone(timezone.utc)
