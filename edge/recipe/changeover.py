"""Changeover: the next recipe is loaded beside the running one, and swapped between two triggers.

A part is judged by the recipe that was in force at its trigger, in all of its views. The engines of
the recipe before are closed when its last part is done. A recipe that cannot be loaded or
put in force, for whatever reason, changes nothing: the one before runs on, and the asker and the
log get the reason.

A recipe with other camera settings has its cameras opened anew before it takes over: the station is
not READY for that time, and a part that comes nevertheless is NO_VERDICT, camera. A camera that
does not take the settings is opened as it was.

While a recipe is being loaded, the device holds two: memory must be there for both, or the new one
is refused with the error of the engine.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from edge.part.record import InspectionRecord
from edge.part.shot import PartInspector
from edge.pipeline.settings import ViewCamera
from edge.recipe.loaded import LoadedRecipe
from edge.recipe.part_check import CheckStatus
from inspection.errors import LineError, LinewardenError

_POLL_S = 0.2  # longest delay until it sees the end of the line
_CLOSE_S = 10.0  # for a recipe that is being loaded at the stop; systemd waits 25 s in all

_log = logging.getLogger(__name__)


class Swaps(Protocol):
    """The methods of the pipeline that a changeover calls."""

    def change_inspectors(self, inspectors: Mapping[str, PartInspector]) -> None:
        """Judges the parts from the next trigger on by these, in all views at once."""

    def change_cameras(self, cameras: Mapping[str, ViewCamera], then: Callable[[], None]) -> None:
        """Opens other cameras, and calls `then` before they give a frame; else nothing changes."""

    def wait_until_unused(self, inspectors: Collection[PartInspector], timeout_s: float) -> bool:
        """Waits until none of these judges a part; False after `timeout_s`."""


@dataclass(frozen=True)
class RecipeStatus:
    """The state of the recipes of a line.

    Attributes:
        active: number of the recipe that judges the next part; None where the line has no numbered
            recipes.
        loading: number of the requested recipe while it is being loaded; else None.
        is_loading: whether a recipe is being loaded, also the only one of a line without numbers.
        failure: why the last request failed; None when it did not.
        changed: changeovers so far.
        failed: failed requests so far.
    """

    active: int | None
    loading: int | None = None
    failure: str | None = None
    changed: int = 0
    failed: int = 0
    is_loading: bool = False


class Changeover:
    """The recipe in force, and the way to another one. Safe for threads.

    Args:
        start: the recipe that the line starts with; the changeover closes it.
        numbers: recipes that may be requested.
        load: verifies and opens a recipe, None for the only one of a line without numbers; an error
            of it leaves the one before in force.
    """

    def __init__(
        self,
        start: LoadedRecipe,
        numbers: Collection[int],
        load: Callable[[int | None], LoadedRecipe],
    ) -> None:
        self.numbers = tuple(sorted(numbers))
        self._active = start
        self._checks = {start.number: start.check}  # of each recipe that was in force, the latest
        self._load = load
        self._pipeline: Swaps | None = None
        self._lock = threading.Lock()
        self._status = RecipeStatus(start.number)
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()

    @property
    def active(self) -> LoadedRecipe:
        """The recipe that judges the next part."""
        return self._active

    @property
    def status(self) -> RecipeStatus:
        """The state of the recipes."""
        return self._status

    def serve(self, pipeline: Swaps) -> None:
        """Sets the pipeline to change over, whose inspectors are those of `start`. Call it once."""
        self._pipeline = pipeline

    def request(self, number: int) -> None:
        """Begins to load a recipe, which then takes over; `status` has the outcome.

        A request for the recipe in force reads it again, with a newer calibration.

        Raises:
            LineError: there is no such recipe, or another one is being loaded.
        """
        if number not in self.numbers:
            known = ", ".join(map(str, self.numbers)) or "none; see 'recipes' of the line"
            raise LineError(f"no recipe {number}: known are {known}")
        with self._lock:
            self._begin(number)

    def read_again(self) -> None:
        """Begins to load the recipe in force again, with a newer calibration or version of it.

        Raises:
            LineError: a recipe is being loaded already.
        """
        with self._lock:
            self._begin(self._active.number)

    def _begin(self, number: int | None) -> None:
        if self._closing.is_set():
            raise LineError("the line stops")
        if self._pipeline is None:
            raise LineError("the line starts; ask again")
        if self._status.is_loading:
            raise LineError(f"{_named(self._status.loading)} is being loaded; ask again")
        thread = threading.Thread(
            target=self._change_to,
            args=(self._pipeline, number),
            name="changeover",
            daemon=True,
        )
        self._set_status(loading=number, is_loading=True, failure=None)
        try:
            thread.start()
        except RuntimeError as error:  # the system has no thread left
            self._fail(number, str(error))
            raise LineError(self._status.failure) from error
        self._thread = thread

    def begin_check(self) -> CheckStatus:
        """Begins the check with the reference parts of the recipe in force.

        Raises:
            LineError: none are configured.
        """
        check = self._active.check
        if check is None:
            raise LineError("the line has no reference parts; see 'checks' in its configuration")
        check.begin()
        return check.status

    def blocked(self) -> str | None:
        """Returns why the station must not be READY: a check is due; None when it may."""
        check = self._active.check
        return check.blocked() if check is not None else None

    def on_record(self, record: InspectionRecord) -> None:
        """Passes a part to the check, unless an earlier recipe has judged it."""
        recipe = self._active
        if recipe.check is None:
            return
        if record.calibration_seal == recipe.inspectors[record.view].identity.calibration_seal:
            recipe.check.take(record)

    def close(self) -> None:
        """Waits for a recipe that is being loaded, and closes the one in force."""
        with self._lock:
            self._closing.set()
            thread = self._thread
        if thread is not None:
            thread.join(_CLOSE_S)
        self._active.close()

    def _change_to(self, pipeline: Swaps, number: int | None) -> None:
        before = self._active
        try:
            with ExitStack() as refused:
                loaded = self._load(number)
                refused.callback(self._close, loaded)
                self._put_in_force(pipeline, loaded)
                refused.pop_all()
        except LinewardenError as error:
            self._fail(number, str(error))
        except Exception as error:  # noqa: BLE001 - of a library, or a defect: the line runs on
            _log.exception("%s", _named(number))
            self._fail(number, repr(error))
        else:
            _log.warning("%s took over from %s", _named(loaded.number), _named(before.number))
            self._retire(pipeline, before)
            self._loaded(active=loaded.number, changed=self._status.changed + 1)

    def _put_in_force(self, pipeline: Swaps, loaded: LoadedRecipe) -> None:
        """Lets a recipe take over as a whole; an error leaves everything as it was."""
        if self._closing.is_set():
            raise LineError("the line stops")
        cameras = loaded.other_cameras(self._active)
        pipeline.change_cameras(cameras, partial(self._enter, pipeline, loaded))

    def _enter(self, pipeline: Swaps, loaded: LoadedRecipe) -> None:
        earlier = self._checks.get(loaded.number)
        if loaded.check is not None and earlier is not None:
            loaded.check.continue_from(earlier)  # else a changeover would be the way round a check
        pipeline.change_inspectors(loaded.inspectors)
        self._active = loaded
        self._checks[loaded.number] = loaded.check

    def _retire(self, pipeline: Swaps, before: LoadedRecipe) -> None:
        """Closes a recipe once its last part is done."""
        inspectors = list(before.inspectors.values())
        while not pipeline.wait_until_unused(inspectors, _POLL_S):
            if self._closing.is_set():
                break  # the pipeline has ended, or an engine hangs, which the watchdog ends
        self._close(before)

    def _close(self, recipe: LoadedRecipe) -> None:
        try:
            recipe.close()
        except Exception as error:  # noqa: BLE001 - the recipe is out of force all the same
            _log.warning("%s was not closed cleanly: %r", _named(recipe.number), error)

    def _fail(self, number: int | None, why: str) -> None:
        runs_on = "the one before" if number is None else _named(self._active.number)
        failure = f"{_named(number)} was not loaded, {runs_on} runs on: {why}"
        _log.error("%s", failure)
        self._loaded(failure=failure, failed=self._status.failed + 1)

    def _loaded(self, **changes: Any) -> None:
        self._set_status(loading=None, is_loading=False, **changes)

    def _set_status(self, **changes: Any) -> None:
        self._status = replace(self._status, **changes)


def _named(number: int | None) -> str:
    return "the only recipe" if number is None else f"recipe {number}"
