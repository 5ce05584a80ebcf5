"""The time by which records and images grow old: it moves with real time alone.

The time of day is set forward and back; records that expire by it are gone for ever. The service
time counts while the device runs, whatever the time of day does. A device that was off is the only
question, because only the time of day has an answer:

- a short time off counts at once;
- a longer one counts only by a clock that is known good (see `ClockReading`) before and after, and
  only once this has been so for `wait`: the log and the status tell that much will expire then;
- anything else counts for nothing. Records are kept longer for it, never shorter.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from edge.store.clock import ClockReading, read_clocks
from inspection.files import write_text

FILE_NAME = "service-time.json"

_LONGEST_AT_ONCE = timedelta(days=4)  # a long weekend
_WAIT = timedelta(days=7)
_STEP_S = 3600.0  # what a clock may be set by while it is known good
_NOTHING = timedelta()
_QUIET = {"announced": None, "waiting": _NOTHING}

_log = logging.getLogger(__name__)


class ServiceState(BaseModel):
    """The service time and the clocks at the moment it was read.

    Attributes:
        now: the service time, near the time of day as long as that was right.
        utc: time of day.
        offset: of `now` from a time of day that is known good; None while none is.
        steady_since: service time since which no clock that was known good has been set.
        announced: service time at which a long time off was first seen; None for none.
        waiting: the long time off.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    now: AwareDatetime
    utc: AwareDatetime
    boot_id: str
    since_boot_s: float
    is_synchronized: bool
    offset: timedelta | None
    steady_since: AwareDatetime | None
    announced: AwareDatetime | None = None
    waiting: timedelta = _NOTHING


def begin(newest: datetime | None, reading: ClockReading) -> ServiceState:
    """Returns the state of a device that has none.

    Args:
        newest: moment of the newest record that is there already.
    """
    now = newest if newest is not None else reading.utc
    return ServiceState(
        now=now,
        utc=now,
        boot_id="" if newest is not None else reading.boot_id,
        since_boot_s=reading.since_boot_s,
        is_synchronized=False,
        offset=None,
        steady_since=None,
    )


def advance(
    state: ServiceState, reading: ClockReading, *, at_once: timedelta, wait: timedelta
) -> ServiceState:
    """Returns the state at a reading of the clocks; its `now` never goes back.

    Args:
        at_once: the longest time off that counts without a wait.
        wait: for a longer one, in service time.
    """
    moved = reading.utc - state.utc
    if reading.boot_id == state.boot_id:
        gone = timedelta(seconds=max(0.0, reading.since_boot_s - state.since_boot_s))
        is_set = abs((moved - gone).total_seconds()) > _STEP_S
        is_doubtful = is_set and state.is_synchronized and reading.is_synchronized
    else:
        gone = moved if _NOTHING <= moved <= at_once else _NOTHING
        if state.offset is not None:  # else a battery that is ahead at every start would add up
            gone = min(gone, max(_NOTHING, reading.utc + state.offset - state.now))
        is_doubtful = False
    counted = state.now + gone
    changes = {
        **reading._asdict(),
        "now": counted,
        "offset": None if is_doubtful else state.offset,
        "steady_since": counted if is_doubtful else state.steady_since,
    }
    seen = state.model_copy(update=changes)
    return _compare(seen, state.now, at_once, wait) if reading.is_synchronized else seen


def _compare(
    state: ServiceState, before: datetime, at_once: timedelta, wait: timedelta
) -> ServiceState:
    """Returns the state after a look at a clock that is known good.

    Args:
        before: service time of the look before.
    """
    if state.offset is None:
        is_steady = state.steady_since is None or state.now - state.steady_since >= wait
        offset = state.now - state.utc if is_steady else None
        return state.model_copy(update={**_QUIET, "offset": offset})
    due = state.utc + state.offset
    missing = due - state.now
    if missing <= at_once:
        # Where too much was counted, the service time stands until the clock has come up with it.
        return state.model_copy(update={**_QUIET, "now": max(before, due)})
    announced = state.announced or state.now
    if state.now - announced < wait:
        return state.model_copy(update={"announced": announced, "waiting": missing})
    return state.model_copy(update={**_QUIET, "now": due})


class ServiceTime:
    """The service time of a device, kept in a file. Safe for threads.

    Args:
        path: of the file, in a folder that exists by the first call.
        shortest_age: the shortest time after which something expires; a time off that counts at
            once is at most a tenth of it.
        clocks: reads the clocks of the device.
        wait: see `advance`.
    """

    def __init__(
        self,
        path: Path,
        *,
        shortest_age: timedelta,
        clocks: Callable[[], ClockReading] = read_clocks,
        wait: timedelta = _WAIT,
    ) -> None:
        self._path = path
        self._at_once = min(_LONGEST_AT_ONCE, shortest_age / 10)
        self._clocks = clocks
        self._wait = wait
        self._lock = threading.Lock()
        self._state: ServiceState | None = None
        self._is_saved = True

    def open(self, newest: datetime | None) -> datetime:
        """Take the state up where an earlier process left it; returns the service time of then.

        Args:
            newest: moment of the newest record that is there already, for a device without state.
        """
        reading = self._clocks()
        with self._lock:
            self._state = self._read() or begin(newest, reading)
            left = self._state.now
        self.now()
        return left

    def now(self) -> datetime:
        """Returns the service time."""
        with self._lock:
            if self._state is None:
                self._state = self._read() or begin(None, self._clocks())
            before = self._state
            after = advance(before, self._clocks(), at_once=self._at_once, wait=self._wait)
            self._state = after
        self._tell(before, after)
        return after.now

    def save(self) -> None:
        """Keep the state for the next process; a disk that takes nothing is in the log."""
        self.now()
        with self._lock:
            state = self._state
        if state is None:
            return
        try:
            write_text(self._path, state.model_dump_json() + "\n")
        except OSError as error:
            if self._is_saved:
                _log.warning("%s: cannot be written: %s", self._path, error.strerror)
            self._is_saved = False
        else:
            self._is_saved = True

    @property
    def notice(self) -> str | None:
        """The warning that much will expire, or that the clock is wrong; None for neither."""
        state = self._state
        if state is None or state.announced is None:
            return None
        return _announcement(state, self._wait)

    def _read(self) -> ServiceState | None:
        try:
            return ServiceState.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            _log.warning("%s: cannot be read, and is begun anew: %s", self._path, error)
            return None

    def _tell(self, before: ServiceState, after: ServiceState) -> None:
        if after.announced is not None and before.announced is None:
            _log.error("%s", _announcement(after, self._wait))
        elif before.announced is not None and after.announced is None:
            counted = after.now - before.now > self._at_once
            _log.warning(
                "the jump of the clock by %s %s",
                _days(before.waiting),
                "counts now: what is too old by it expires"
                if counted
                else "is over: nothing expires",
            )
        if before.boot_id == after.boot_id or not before.boot_id:
            return
        moved = after.utc - before.utc
        if not _NOTHING <= moved <= self._at_once and not after.is_synchronized:
            _log.warning(
                "the clock went from %s to %s while the device was off, and no time server "
                "confirms it: for the age of records and images this counts for nothing",
                *(f"{moment:%Y-%m-%d %H:%M} UTC" for moment in (before.utc, after.utc)),
            )


def _announcement(state: ServiceState, wait: timedelta) -> str:
    announced = state.announced or state.now
    left = max(_NOTHING, wait - (state.now - announced))
    return (
        f"the clock is {_days(state.waiting)} ahead of the running time of this device: if it was "
        f"off for so long, records and images that are too old by it expire in {_days(left)}; if "
        "not, set the clock right before, and nothing expires"
    )


def _days(span: timedelta) -> str:
    return f"{span / timedelta(days=1):.1f} days"
