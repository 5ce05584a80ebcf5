"""A recipe is in force as a whole or not at all, whatever fails on its way, while parts come."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from datetime import datetime, timezone
from typing import Any

import pytest

from edge.part.record import InspectionRecord
from edge.part.shot import PartInspector
from edge.pipeline.settings import ViewCamera
from edge.recipe.changeover import Changeover, RecipeStatus
from edge.recipe.loaded import LoadedRecipe
from edge.recipe.part_check import ChecksConfig, PartCheck
from inspection.errors import BundleError, CameraError, EngineError, LineError
from inspection.verdict import Verdict
from tests.doubles.bright import Bright, Expects, running
from tests.doubles.pipelines import GENEROUS_S, Line
from tests.doubles.waiting import wait_for

ERRORS = [OSError(5, "Input/output error"), RuntimeError("of a library"), CameraError("gone")]


class Recipe(LoadedRecipe):
    """Two views with cameras of its own."""

    @classmethod
    def made(
        cls, number: int | None, name: str, brightness: int, check: PartCheck | None = None
    ) -> Recipe:
        inspectors: Any = {view: Expects(name, brightness) for view in "ab"}
        recipe = cls(number, inspectors, {}, check, ExitStack())
        object.__setattr__(recipe, "new", {view: Bright(brightness) for view in "ab"})
        return recipe

    new: Mapping[str, Bright]

    def other_cameras(self, before: LoadedRecipe) -> dict[str, ViewCamera]:
        return {view: ViewCamera(camera) for view, camera in self.new.items()}


class Stand:
    """A line that runs by recipe 1, "old", and may change to 2, "new"."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.old = Recipe.made(1, "old", 10)
        self.next = Recipe.made(2, "new", 20)
        self.changeover = Changeover(self.old, [1, 2], lambda _number: self.load())
        self.changeover.serve(self)

    def load(self) -> LoadedRecipe:
        return self.next

    def change_inspectors(self, inspectors: Mapping[str, PartInspector]) -> None:
        self.line.pipeline.change_inspectors(inspectors)

    def change_cameras(self, cameras: Mapping[str, ViewCamera], then: Callable[[], None]) -> None:
        self.line.pipeline.change_cameras(cameras, then)

    def wait_until_unused(self, inspectors: Collection[PartInspector], timeout_s: float) -> bool:
        return self.line.pipeline.wait_until_unused(inspectors, timeout_s)

    def change(self) -> RecipeStatus:
        self.changeover.request(2)
        wait_for(lambda: self.changeover.status.loading is None, GENEROUS_S)
        return self.changeover.status

    def recipes_of_the_next_parts(self) -> set[str]:
        wait_for(lambda: self.line.pipeline.faults == [])
        # Verdicts on parts from before may still be on their way to the records.
        begin = datetime.now(timezone.utc)

        def later() -> list[InspectionRecord]:
            return [one for one in self.line.records if one.triggered_utc > begin]

        wait_for(lambda: len(later()) > 10)
        latest = later()[-5:]
        assert [one.message for one in latest if one.verdict is Verdict.NO_VERDICT] == []
        return {one.recipe for one in latest}


@pytest.fixture
def stand() -> Iterator[Stand]:
    with running("ab") as line:
        yield Stand(line)


def fail_once(owner: Any, name: str, error: Exception) -> None:
    genuine = getattr(owner, name)

    def fail(*_args: object, **_settings: object) -> None:
        owner.__dict__[name] = genuine
        raise error

    owner.__dict__[name] = fail


STEPS: dict[str, Callable[[Stand], tuple[object, str]]] = {
    "load": lambda stand: (stand, "load"),
    "name the cameras": lambda stand: (stand.next, "other_cameras"),
    "close the camera before": lambda stand: (stand.line.views[1].camera, "close"),
    "open a camera": lambda stand: (stand.next.new["b"], "open"),
    "enter": lambda stand: (stand, "change_inspectors"),
}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_at_any_step_leaves_the_recipe_in_force(
    stand: Stand, step: str, error: Exception
) -> None:
    cameras = [view.camera for view in stand.line.views]
    fail_once(*STEPS[step](stand), error)
    status = stand.change()
    assert (status.active, status.changed, status.failed) == (1, 0, 1)
    assert any(told in (status.failure or "") for told in (str(error), repr(error)))
    assert (status.failure or "").startswith("recipe 2 was not loaded, recipe 1 runs on: ")
    assert stand.changeover.active is stand.old
    assert stand.recipes_of_the_next_parts() == {"old"}
    assert [view.camera for view in stand.line.views] == cameras
    assert not any(camera.is_open for camera in stand.next.new.values())

    assert stand.change() == RecipeStatus(2, changed=1, failed=1)  # the error came once
    assert stand.recipes_of_the_next_parts() == {"new"}
    assert [view.camera for view in stand.line.views] == list(stand.next.new.values())
    assert not any(camera.is_open for camera in cameras)  # type: ignore[attr-defined]


@pytest.mark.parametrize("error", [EngineError("busy"), RuntimeError("of a library")])
def test_a_recipe_that_cannot_be_closed_is_out_of_force(stand: Stand, error: Exception) -> None:
    def refuse() -> None:
        raise error

    stand.old.resources.callback(refuse)
    assert stand.change() == RecipeStatus(2, changed=1)
    assert stand.recipes_of_the_next_parts() == {"new"}


def test_a_system_without_threads_refuses_the_request(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as broken:
        broken.setattr(threading.Thread, "start", refuse)
        with pytest.raises(LineError, match="recipe 1 runs on: can't start new thread"):
            stand.changeover.request(2)
    assert stand.change() == RecipeStatus(2, changed=1, failed=1)


def test_a_changeover_and_back_is_no_way_round_a_check(stand: Stand) -> None:
    config = ChecksConfig.model_validate(
        {"parts": [{"name": "golden", "expect": "PASS"}], "at_start": False}
    )
    old = Recipe.made(1, "old", 10, PartCheck(config, {}))
    changeover = Changeover(old, [1, 2], lambda _number: stand.load())
    changeover.serve(stand)
    changeover.begin_check()
    due = changeover.blocked()
    assert due == "the check that was asked for is due: show golden"
    for number, check in ((1, PartCheck(config, {})), (2, None), (1, PartCheck(config, {}))):
        stand.next = Recipe.made(number, "new", 20, check)
        changeover.request(number)
        wait_for(lambda: not changeover.status.is_loading, GENEROUS_S)
        assert changeover.blocked() == (due if number == 1 else None)
    assert changeover.status == RecipeStatus(1, changed=3)


def test_the_recipe_in_force_is_read_again() -> None:
    with running("ab") as line:
        stand = Stand(line)
        stand.next = Recipe.made(1, "new", 20)
        stand.changeover.read_again()
        wait_for(lambda: not stand.changeover.status.is_loading, GENEROUS_S)
        assert stand.changeover.status == RecipeStatus(1, changed=1)
        assert stand.recipes_of_the_next_parts() == {"new"}


def test_the_only_recipe_is_read_again_or_runs_on() -> None:
    """A line without numbered recipes has one to read again too."""
    with running("ab") as line:
        stand = Stand(line)
        only, asked = Recipe.made(None, "old", 10), list[int | None]()

        def load(number: int | None) -> LoadedRecipe:
            asked.append(number)
            if len(asked) == 1:
                raise BundleError("damaged")
            return Recipe.made(None, "new", 20)

        stand.changeover = Changeover(only, [], load)
        stand.changeover.serve(stand)
        for _ in range(2):
            stand.changeover.read_again()
            wait_for(lambda: not stand.changeover.status.is_loading, GENEROUS_S)
            if len(asked) == 1:
                assert stand.changeover.status.failure == (
                    "the only recipe was not loaded, the one before runs on: damaged"
                )
        assert asked == [None, None]
        assert stand.changeover.status == RecipeStatus(None, changed=1, failed=1)
        assert stand.recipes_of_the_next_parts() == {"new"}
