"""A camera in a separate process: its frames, its faults by name, and ends of either side."""

from __future__ import annotations

import contextlib
import gc
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.camera import (
    HarvestersConfig,
    LiveCameraConfig,
    OpenCvConfig,
    PyAvConfig,
    PylonConfig,
    child,
)
from edge.camera.faults import (
    NAMES,
    UNUSABLE_MAX,
    CameraHungError,
    CameraLostError,
    PartialFrameError,
    WrongFrameError,
)
from edge.camera.genicam import GenicamSettings, TriggerSettings
from edge.camera.isolated import IsolatedCamera
from edge.part.frame import Frame
from inspection.config.secret import REVEALED
from inspection.errors import CameraError, FrameError
from tests.doubles.cameras import process_of
from tests.doubles.scripted_camera import picture

MODULE = "tests.doubles.scripted_camera"
GENEROUS_S = 20.0
ROOT = Path(__file__).parents[4]

Make = Callable[..., IsolatedCamera]


@pytest.fixture
def make() -> Iterator[Make]:
    """Makes cameras that are closed at the end of the test."""
    made: list[IsolatedCamera] = []

    def camera(
        *, hung_limit_s: float = 5.0, silent_limit_s: float | None = None, **config: Any
    ) -> IsolatedCamera:
        made.append(
            IsolatedCamera(
                json.dumps(config),
                name="camera 'scripted'",
                open_limit_s=0.1,
                hung_limit_s=hung_limit_s,
                silent_limit_s=silent_limit_s,
                module=MODULE,
            )
        )
        return made[-1]

    yield camera
    for one in made:
        one.close()


@pytest.fixture
def opened(make: Make) -> Make:
    def camera(**settings: Any) -> IsolatedCamera:
        one = make(**settings)
        one.open()
        return one

    return camera


def next_frame(camera: IsolatedCamera) -> Frame:
    frame = camera.read(GENEROUS_S)
    assert frame is not None
    return frame


def read_until_it_raises(camera: IsolatedCamera) -> None:
    until_s = time.monotonic() + GENEROUS_S
    while time.monotonic() < until_s:
        camera.read(0.05)


def errors_of(camera: IsolatedCamera, timeout_s: float = 0.05) -> list[CameraError]:
    """Reads until the camera is lost; returns the errors on the way, and that of the loss."""
    errors: list[CameraError] = []
    until_s = time.monotonic() + GENEROUS_S
    while time.monotonic() < until_s:
        try:
            camera.read(timeout_s)
        except FrameError as error:
            errors.append(error)
        except CameraError as error:
            return [*errors, error]
    raise AssertionError("the camera was not lost in time")


def wait_until(condition: Callable[[], bool]) -> None:
    until_s = time.monotonic() + GENEROUS_S
    while not condition():
        assert time.monotonic() < until_s, "did not happen in time"
        time.sleep(0.01)


def is_running(pid: int) -> bool:
    """True while a thread of the process is left: the first one may end before the others."""
    for path in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if path.read_text().rpartition(")")[2].split()[0] != "Z":
                return True
    return False


def open_files() -> list[str]:
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


def is_right(frame: Frame) -> bool:
    return np.array_equal(frame.image, picture(int(frame.source.split()[1]), frame.image.shape))


def test_thousands_of_frames_are_exact(opened: Make) -> None:
    camera = opened(shape=(60, 80))
    held: list[Frame] = []
    for number in range(2000):
        frame = next_frame(camera)
        assert (frame.sequence, frame.source) == (number, f"scripted {number}")
        assert frame.image.shape == (60, 80)
        held.append(frame)
        if len(held) > number % 7:
            assert is_right(held.pop(0))


def test_frames_stay_as_they_are_however_many_are_held(opened: Make) -> None:
    camera = opened(shape=(20, 30, 3))
    held = [next_frame(camera) for _ in range(30)]
    assert all(is_right(frame) for frame in held)
    for frame in held:
        frame.image[:] = 0
    assert is_right(next_frame(camera))


def test_frames_are_copied_only_when_many_are_held(opened: Make) -> None:
    camera = opened()
    assert not any(next_frame(camera).image.flags.owndata for _ in range(50))
    held = [next_frame(camera) for _ in range(7)]  # the pipeline and the archive hold no more
    assert not any(frame.image.flags.owndata for frame in held)
    held += [next_frame(camera) for _ in range(23)]
    assert held[-1].image.flags.owndata
    del held
    next_frame(camera)
    assert not next_frame(camera).image.flags.owndata


def test_a_part_of_a_frame_keeps_its_memory(opened: Make) -> None:
    camera = opened()
    parts = [next_frame(camera).image[2:9, ::2][1:].T for _ in range(5)]
    gc.collect()
    assert all(is_right(next_frame(camera)) for _ in range(20))
    for number, part in enumerate(parts):
        assert np.array_equal(part, picture(number, (12, 16))[2:9, ::2][1:].T)


def test_frames_outlive_the_camera(opened: Make) -> None:
    camera = opened()
    frames = [next_frame(camera) for _ in range(3)]
    os.kill(process_of(camera), signal.SIGKILL)
    with pytest.raises(CameraLostError):
        read_until_it_raises(camera)
    camera.open()
    frames.append(next_frame(camera))
    camera.close()
    assert all(is_right(frame) for frame in frames)


def test_frames_may_change_their_size(opened: Make) -> None:
    sizes = {"3": (50, 70), "6": (9, 11, 3), "40": (200, 100, 3)}
    camera = opened(shapes=sizes)
    held = [next_frame(camera) for _ in range(60)]
    assert {frame.image.shape for frame in held} == {(12, 16), *sizes.values()}
    assert all(is_right(frame) for frame in held)


def test_memory_and_files_do_not_grow(opened: Make) -> None:
    camera = opened(shape=(300, 400))

    def used() -> tuple[int, int]:
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE"), len(open_files())

    for _ in range(50):
        next_frame(camera)
    bytes_before, files_before = used()
    for _ in range(1000):
        next_frame(camera)
    bytes_after, files_after = used()
    assert bytes_after - bytes_before < 40 * 300 * 400
    assert files_after == files_before


def test_errors_keep_their_kind(opened: Make) -> None:
    camera = opened(reads=dict(enumerate(NAMES)))
    for number, kind in enumerate(NAMES.values()):
        with pytest.raises(CameraError) as caught:
            camera.read(GENEROUS_S)
        assert (type(caught.value), str(caught.value)) == (kind, f"frame {number} is bad")
    assert next_frame(camera).sequence == 0


def test_an_error_of_another_kind_comes_as_the_nearest(opened: Make) -> None:
    camera = opened(reads={"0": "lose"})
    with pytest.raises(CameraLostError, match="pulled out") as caught:
        camera.read(GENEROUS_S)
    assert type(caught.value) is CameraLostError


def test_no_trigger_gives_no_frame_and_no_error(opened: Make) -> None:
    camera = opened(reads={"all": "nothing"}, runs_free=False, silent_limit_s=0.2)
    for _ in range(6):
        started = time.monotonic()
        assert camera.read(0.1) is None
        assert 0.09 < time.monotonic() - started < 5.0
    camera.trigger()
    assert camera.read(GENEROUS_S) is not None


def test_a_silent_camera_that_runs_free_is_lost(opened: Make) -> None:
    camera = opened(reads={"all": "nothing"}, silent_limit_s=0.3)
    message = "camera 'scripted': answers, runs free, and gave no frame for 0.3 s; open it again"
    with pytest.raises(CameraLostError, match=f"^{re.escape(message)}$"):
        read_until_it_raises(camera)
    camera.open()
    for _ in range(2):
        assert camera.read(0.1) is None


def test_a_camera_that_runs_free_and_gives_unusable_frames_alone_is_lost(opened: Make) -> None:
    """Not by their number: a stream is damaged up to its next key frame."""
    camera = opened(reads={"all": "WrongFrameError"}, silent_limit_s=0.5)
    message = (
        "camera 'scripted': answers, runs free, and gave no usable frame for 0.5 s (the last one: "
        "frame N is bad); open it again"
    )
    errors = errors_of(camera, 0.01)  # no read counts for longer than that
    assert len(errors) > 2 * UNUSABLE_MAX
    assert {type(error) for error in errors[:-1]} == {WrongFrameError}
    assert type(errors[-1]) is CameraLostError
    assert re.sub(r"\d+ is bad", "N is bad", str(errors[-1])) == message


def test_a_camera_that_runs_free_without_a_limit_is_waited_for(opened: Make) -> None:
    unusable = 2 * UNUSABLE_MAX
    camera = opened(reads={str(number): "PartialFrameError" for number in range(unusable)})
    for _ in range(unusable):
        with pytest.raises(PartialFrameError):
            camera.read(GENEROUS_S)
    next_frame(camera)


def test_a_triggered_camera_that_gives_unusable_frames_alone_is_lost(opened: Make) -> None:
    reads = {str(number): "PartialFrameError" for number in range(100)}
    reads |= {"3": "nothing", "5": "MissingFrameError"}  # neither usable nor unusable
    camera = opened(reads=reads, runs_free=False, silent_limit_s=0.1)
    errors = errors_of(camera)
    assert str(errors[-1]) == (
        "camera 'scripted': gave 20 unusable frames one after the other (the last one: frame 21 is "
        "bad); open it again"
    )
    assert len(errors) == UNUSABLE_MAX + 1
    camera.open()
    assert type(errors_of(camera)[-1]) is CameraLostError


def test_a_usable_frame_ends_the_count_of_unusable_ones(opened: Make) -> None:
    reads = {str(number): "PartialFrameError" for number in range(30) if number != 15}
    camera = opened(reads=reads, runs_free=False)
    for number in range(30):
        if number == 15:
            next_frame(camera)
            continue
        with pytest.raises(PartialFrameError):
            camera.read(GENEROUS_S)


@pytest.mark.parametrize("how", ["hang", "hang with the GIL"])
def test_a_hung_sdk_is_ended_and_named(
    opened: Make, how: str, capfd: pytest.CaptureFixture[str]
) -> None:
    camera = opened(reads={"1": how}, hung_limit_s=1.5)
    pid = process_of(camera)
    next_frame(camera)
    started = time.monotonic()
    assert camera.read(0.05) is None
    assert time.monotonic() - started < 1.4
    message = r"camera 'scripted': the camera's SDK hangs in read: no answer for 1\.[56] s\. Its"
    with pytest.raises(CameraHungError, match=message):
        read_until_it_raises(camera)
    assert not is_running(pid)
    assert "scripted_camera.py" in capfd.readouterr().err  # the stack of the call that hung
    with pytest.raises(CameraHungError, match=message):
        camera.read(0.05)
    camera.open()
    assert next_frame(camera).sequence == 0


@pytest.fixture
def deaf_to_alarms() -> Iterator[None]:
    """Ignores SIGALRM, which the started processes inherit."""
    before = signal.signal(signal.SIGALRM, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("deaf_to_alarms")
def test_a_hang_without_a_reader_is_an_error_later(opened: Make) -> None:
    camera = opened(reads={"0": "hang"}, hung_limit_s=1.0)
    assert camera.read(0.05) is None
    pid = process_of(camera)
    wait_until(lambda: not is_running(pid))
    with pytest.raises(CameraHungError, match="the camera's SDK hung and its process ended"):
        camera.read(0.05)


def test_a_camera_that_nobody_reads_lives_on(opened: Make) -> None:
    camera = opened(hung_limit_s=0.3)
    next_frame(camera)
    time.sleep(1.3)  # longer than the limit of any call
    assert next_frame(camera).sequence == 1


def test_the_limit_of_an_open_holds_the_close_before_it(make: Make) -> None:
    """30 s to start the process, 0.1 s to open; twice 7 s to end a call that hangs."""
    assert make(hung_limit_s=5.0).open_limit_s == pytest.approx(30 + 0.1 + 2 * (5 + 2))


def test_a_process_that_stands_still_is_ended(opened: Make) -> None:
    camera = opened(hung_limit_s=0.5)
    pid = process_of(camera)
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(CameraHungError, match=r"hangs in read: no answer for 0\.7 s"):
        camera.read(1000.0)
    assert not is_running(pid)
    camera.open()
    assert is_right(next_frame(camera))


def test_a_killed_process_is_a_lost_camera(opened: Make) -> None:
    camera = opened(reads={"1": "nothing"})
    next_frame(camera)
    assert camera.read(0.05) is None
    os.kill(process_of(camera), signal.SIGKILL)
    message = (
        "camera 'scripted': the camera's process ended (signal 9, Killed); open the camera again"
    )
    for _ in range(2):
        with pytest.raises(CameraLostError, match=f"^{re.escape(message)}$"):
            read_until_it_raises(camera)
    with pytest.raises(CameraLostError, match="signal 9"):
        camera.trigger()
    camera.open()
    assert next_frame(camera).sequence == 0


@pytest.mark.parametrize(
    ("action", "why"), [("exit", "status 3"), ("crash", "signal 6, Aborted"), ("fail", "status 1")]
)
def test_an_sdk_that_ends_its_process_is_a_lost_camera(
    opened: Make, action: str, why: str, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    closed = tmp_path / "closed"
    camera = opened(reads={"0": action}, closed=str(closed))
    with pytest.raises(
        CameraLostError, match=re.escape(f"process ended ({why}); open the camera again")
    ):
        camera.read(GENEROUS_S)
    if action == "fail":
        assert "ConnectionError: a mistake in the driver" in capfd.readouterr().err
        assert closed.exists()


def test_a_hung_open_is_an_error(make: Make) -> None:
    camera = make(on={"open": "hang"}, hung_limit_s=0.3)
    with pytest.raises(CameraHungError, match=r"hangs in open: no answer for 0\.4 s"):
        camera.open()
    with pytest.raises(CameraError, match="the camera is not open"):
        camera.read(0.1)


def test_an_open_can_be_aborted(make: Make) -> None:
    camera = make(on={"open": "hang"}, hung_limit_s=100 * GENEROUS_S)
    aborting = threading.Thread(target=_abort_until, args=(camera, done := threading.Event()))
    aborting.start()
    with pytest.raises(CameraLostError, match="ended \\(signal 9, Killed\\)"):
        camera.open()
    done.set()
    aborting.join()
    with pytest.raises(CameraError, match="the camera is not open"):
        camera.read(0.1)


def test_an_open_is_aborted_just_before_its_process_is_there(make: Make) -> None:
    camera = make(on={"open": "hang"})
    camera.abort_open()
    with pytest.raises(CameraLostError, match="ended \\(signal 9, Killed\\)"):
        camera.open()


def test_an_open_camera_is_not_aborted(opened: Make) -> None:
    camera = opened()
    camera.abort_open()
    assert next_frame(camera).sequence == 0
    camera.close()
    camera.open()
    assert next_frame(camera).sequence == 0


def _abort_until(camera: IsolatedCamera, done: threading.Event) -> None:
    while not done.wait(0.05):
        camera.abort_open()


def test_a_refused_open_leaves_nothing(make: Make, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    camera = make(on={"open": "lose"}, closed=str(closed))
    with pytest.raises(CameraLostError, match="pulled out"):
        camera.open()
    assert closed.exists()
    with pytest.raises(CameraError, match="the camera is not open"):
        camera.read(0.1)


def test_a_process_that_does_not_start_is_an_error(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "missing"))
    files = open_files()
    with pytest.raises(CameraError, match=r"camera 'scripted': its process cannot be started \("):
        make().open()
    gc.collect()
    assert open_files() == files


def test_a_hung_close_is_ended_and_logged(opened: Make, caplog: pytest.LogCaptureFixture) -> None:
    camera = opened(on={"close": "hang"}, hung_limit_s=0.3)
    pid = process_of(camera)
    started = time.monotonic()
    with caplog.at_level(logging.WARNING):
        camera.close()
    assert 0.29 < time.monotonic() - started < 0.3 + GENEROUS_S
    assert "hangs in close: no answer for 0.3 s" in caplog.text
    assert not is_running(pid)


def test_close_waits_for_the_camera_to_be_closed(opened: Make, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    camera = opened(on={"close": "be slow"}, closed=str(closed))
    camera.close()
    assert closed.exists()


def test_a_read_that_overruns_is_taken_up_by_the_next(opened: Make) -> None:
    camera = opened(reads={"0": "be slow"})
    assert camera.read(0.02) is None
    frame = next_frame(camera)
    assert (frame.sequence, frame.source) == (0, "scripted 0")


def test_a_trigger_comes_through_while_a_read_waits(opened: Make) -> None:
    camera = opened(reads={"all": "trigger"})
    assert camera.read(0.05) is None
    camera.trigger()
    assert next_frame(camera).sequence == 0


def test_a_hung_trigger_ends_the_camera(opened: Make) -> None:
    camera = opened(reads={"all": "nothing"}, on={"trigger": "hang"}, hung_limit_s=0.5)
    with pytest.raises(CameraHungError, match="hangs in trigger"):
        camera.trigger()
    with pytest.raises(CameraHungError, match="hangs in trigger"):
        read_until_it_raises(camera)


def test_a_mistake_in_a_trigger_ends_the_camera(
    opened: Make, capfd: pytest.CaptureFixture[str]
) -> None:
    camera = opened(reads={"all": "nothing"}, on={"trigger": "fail"})
    with pytest.raises(CameraLostError, match=r"process ended \(status 1\); open the camera again"):
        camera.trigger()
    assert "ConnectionError: a mistake in the driver" in capfd.readouterr().err


def test_a_close_beside_a_trigger_ends_both(opened: Make) -> None:
    camera = opened(on={"trigger": "hang"})
    raised: list[CameraError] = []

    def trigger() -> None:
        try:
            camera.trigger()
        except CameraError as error:
            raised.append(error)

    thread = threading.Thread(target=trigger)
    thread.start()
    wait_until(lambda: camera._opened().beside.is_asked)
    camera.close()
    thread.join(GENEROUS_S)
    assert [type(error) for error in raised] == [CameraLostError]


def test_signals_to_the_whole_group_leave_it_alone(opened: Make) -> None:
    camera = opened()
    pid = process_of(camera)
    assert os.getsid(pid) != os.getsid(0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(pid, number)
    assert is_right(next_frame(camera))


def test_the_output_of_an_sdk_is_not_ours(opened: Make, capfd: pytest.CaptureFixture[str]) -> None:
    opened()
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "words of an SDK\n")


def test_nothing_is_left(opened: Make) -> None:
    opened().close()
    files, threads = open_files(), threading.active_count()
    camera = opened()
    for _ in range(3):
        next_frame(camera)
        pid = process_of(camera)
        camera.open()
        assert not is_running(pid)
    camera.close()
    assert open_files() == files
    assert threading.active_count() == threads
    with pytest.raises(CameraError, match="the camera is not open"):
        camera.trigger()


@pytest.mark.parametrize(
    "config",
    [
        PylonConfig(
            kind="pylon",
            serial="0815",
            settings=GenicamSettings(
                width=8,
                trigger=TriggerSettings(delay_us=2),
                features={"A": True, "B": 1, "C": 1.0, "D": "1", "E": 1e-7},
            ),
        ),
        HarvestersConfig(kind="harvesters", producer=Path("maker.cti")),
        OpenCvConfig(kind="opencv", device="/dev/video0", silent_limit_s=None),
        PyAvConfig(kind="pyav", url="rtsp://user:päss@host", options={"a": "b"}),
    ],
)
def test_a_configuration_crosses_as_it_is(config: LiveCameraConfig) -> None:
    crossed = child.config_from_json(config.model_dump_json(context=dict(REVEALED)))
    assert crossed == config
    if isinstance(crossed, PylonConfig):
        types = [type(value) for value in crossed.settings.features.values()]
        assert types == [bool, int, float, str, float]


PARENT = """
import sys
from edge.camera.isolated import IsolatedCamera
camera = IsolatedCamera(
    sys.argv[1], name="cam", open_limit_s=5, hung_limit_s=1, silent_limit_s=None, module="{module}"
)
camera.open()
print(camera.describe()["pid"], flush=True)
frame = camera.read(float(sys.argv[2]))
print("reading", flush=True)
while True:
    camera.read(0.3)
"""


@pytest.mark.parametrize(
    ("action", "close"),
    [("", ""), ("nothing", ""), ("hang", ""), ("hang with the GIL", ""), ("", "hang")],
)
def test_a_killed_parent_leaves_nothing(action: str, close: str, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    on = {"close": close} if close else {}
    config = json.dumps({"closed": str(closed), "reads": {"all": action}, "on": on})
    first_s = "0.3" if action else str(GENEROUS_S)  # a frame comes where nothing is in its way
    with subprocess.Popen(
        [sys.executable, "-c", PARENT.format(module=MODULE), config, first_s],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert parent.stdout.readline() == "reading\n"
        maps = Path(f"/proc/{pid}/maps").read_text()
        parent.kill()
    assert ("/memfd:linewarden-frame (deleted)" in maps) == (not action)
    assert "/dev/shm/" not in maps  # noqa: S108 - where memory with a name would be left
    wait_until(lambda: not is_running(pid))
    assert closed.exists() == ("hang" not in action + close)  # else its timer ended it
