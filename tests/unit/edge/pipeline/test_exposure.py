"""The thread that exposes a camera."""

from __future__ import annotations

import threading
import time

from edge.pipeline.exposure import ExposureThread
from edge.pipeline.settings import View
from inspection.errors import CameraError
from tests.doubles.pipelines import GENEROUS_S, FakeCamera, FakeInspector, Line
from tests.doubles.waiting import wait_for


class Hanging:
    """A camera whose trigger hangs until it is released."""

    def __init__(self, error: Exception | None = None) -> None:
        self.go_on, self.calls = threading.Event(), 0
        self._error = error

    def __call__(self) -> None:
        self.calls += 1
        assert self.go_on.wait(GENEROUS_S)
        if self._error is not None:
            raise self._error


def exposure(expose: Hanging, errors: list[Exception]) -> ExposureThread:
    thread = ExposureThread(View("main", FakeCamera(), FakeInspector(), expose), errors.append)
    thread.start()
    return thread


def test_one_exposure_at_a_time_and_the_asker_never_waits() -> None:
    camera, errors, answers = Hanging(), list[Exception](), list[CameraError | None]()
    thread = exposure(camera, errors)
    assert thread.turned_ns is None
    assert thread.offer(answers.append)
    wait_for(lambda: camera.calls == 1)
    assert thread.turned_ns is not None
    assert not thread.offer(answers.append)
    camera.go_on.set()
    wait_for(lambda: thread.turned_ns is None)
    assert answers == [None]
    wait_for(lambda: thread.offer(answers.append))
    wait_for(lambda: answers == [None, None])
    thread.close()
    assert errors == []


def test_the_error_of_the_camera_is_the_answer() -> None:
    refused = CameraError("refused")
    camera, errors, answers = Hanging(refused), list[Exception](), list[CameraError | None]()
    camera.go_on.set()
    thread = exposure(camera, errors)
    assert thread.offer(answers.append)
    wait_for(lambda: answers == [refused])
    thread.close()
    assert errors == []


def test_a_defect_of_the_program_is_reported() -> None:
    defect = ZeroDivisionError()
    camera, errors, answers = Hanging(defect), list[Exception](), list[CameraError | None]()
    camera.go_on.set()
    thread = exposure(camera, errors)
    assert thread.offer(answers.append)
    wait_for(lambda: errors == [defect])
    assert (answers, thread.turned_ns) == ([], None)


def test_a_hung_exposure_blinds_no_trigger_of_the_line() -> None:
    """Every part has its record within its deadline while the camera hangs in its trigger."""
    hanging = Hanging()
    views = [View("main", FakeCamera(*[None] * 3, waits=True), FakeInspector(), hanging)]
    line = Line(views, deadline_ms=200.0, trigger=Never(), limit_s=GENEROUS_S)
    runs = threading.Thread(target=line.pipeline.run)
    runs.start()
    wait_for(lambda: line.pipeline.status().is_running)
    started_s = time.monotonic()
    ids = [line.pipeline.fire(f"part {number}") for number in range(3)]
    assert time.monotonic() - started_s < GENEROUS_S / 2
    wait_for(lambda: len(line.records) == 3)
    line.pipeline.stop()
    hanging.go_on.set()
    runs.join(GENEROUS_S)
    assert sorted(record.trigger_id for record in line.records) == sorted(filter(None, ids))


class Never:
    """Announces no part by itself."""

    def open(self) -> None:
        pass

    def wait(self, timeout_s: float) -> None:
        time.sleep(timeout_s)

    def close(self) -> None:
        pass
