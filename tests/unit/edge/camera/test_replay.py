"""Replay camera: sources, order, rate, damaged frames, cut-off videos."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.camera.base import EndOfRecording
from edge.camera.replay import ReplayCamera, ReplayConfig
from edge.part.frame import Frame
from inspection.errors import CameraError, FrameError
from inspection.images import Window, encode_png


class FakeClock:
    """Monotonic nanoseconds that pass only in `sleep`."""

    def __init__(self) -> None:
        self.now_ns = 7_000_000_000

    def __call__(self) -> int:
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)


def write_images(folder: Path, *names: str) -> None:
    folder.mkdir(exist_ok=True)
    for value, name in enumerate(names):
        (folder / name).write_bytes(encode_png(np.full((8, 8), value, np.uint8)))


def write_video(path: Path, frames: int) -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    assert writer.isOpened()
    noise = np.random.default_rng(0)
    for _ in range(frames):
        writer.write(noise.integers(0, 255, (48, 64, 3), dtype=np.uint8))
    writer.release()


def replay(
    path: Path, *, loop: bool = False, rate_hz: float | None = None, clock: FakeClock | None = None
) -> ReplayCamera:
    config = ReplayConfig(kind="replay", path=path, loop=loop, rate_hz=rate_hz)
    if clock is None:
        return config.driver()
    return ReplayCamera(config, clock_ns=clock, sleep=clock.sleep)


def read_all(camera: ReplayCamera) -> list[Frame]:
    frames = []
    try:
        while (frame := camera.read(1.0)) is not None:
            frames.append(frame)
    except EndOfRecording:
        return frames
    raise AssertionError("no frame in time")


@pytest.mark.parametrize(("rate_hz", "waits"), [(None, True), (5.0, False)])
def test_only_a_recording_without_a_rate_waits_for_its_reader(
    tmp_path: Path, rate_hz: float | None, waits: bool
) -> None:
    assert replay(tmp_path, rate_hz=rate_hz).waits == waits


def test_folder_in_name_order(tmp_path: Path) -> None:
    write_images(tmp_path, "b.png", "a.png", "c.bmp.png", ".hidden.png")
    (tmp_path / "notes.txt").write_text("not an image")
    camera = replay(tmp_path)
    camera.open()
    frames = read_all(camera)
    assert [frame.source for frame in frames] == ["a.png", "b.png", "c.bmp.png"]
    assert [frame.sequence for frame in frames] == [0, 1, 2]


@pytest.mark.parametrize(
    ("source", "names"), [("a*.png", ["a1.png", "a2.png"]), ("b.png", ["b.png"])]
)
def test_glob_and_single_image(tmp_path: Path, source: str, names: list[str]) -> None:
    write_images(tmp_path, "a2.png", "a1.png", "b.png")
    camera = replay(tmp_path / source)
    camera.open()
    assert [frame.source for frame in read_all(camera)] == names


def test_folder_with_glob_characters_in_its_name(tmp_path: Path) -> None:
    write_images(tmp_path / "lot[1]", "a.png")
    camera = replay(tmp_path / "lot[1]")
    camera.open()
    assert len(read_all(camera)) == 1


def test_one_unreadable_image_costs_one_read(tmp_path: Path) -> None:
    write_images(tmp_path, "a.png", "b.png", "c.png")
    (tmp_path / "b.png").write_bytes(b"damaged")
    camera = replay(tmp_path)
    camera.open()
    first = camera.read(1.0)
    with pytest.raises(FrameError, match=r"b\.png: not an image"):
        camera.read(1.0)
    third = camera.read(1.0)
    assert first is not None
    assert third is not None
    assert (first.sequence, third.sequence, third.source) == (0, 2, "c.png")


def test_loop_starts_again(tmp_path: Path) -> None:
    write_images(tmp_path, "a.png", "b.png")
    camera = replay(tmp_path, loop=True)
    camera.open()
    frames = [camera.read(1.0) for _ in range(5)]
    assert [f.source for f in frames if f] == ["a.png", "b.png", "a.png", "b.png", "a.png"]
    assert [f.sequence for f in frames if f] == [0, 1, 2, 3, 4]


def test_rate_does_not_drift(tmp_path: Path) -> None:
    write_images(tmp_path, "a.png")
    clock = FakeClock()
    camera = replay(tmp_path, loop=True, rate_hz=3.0, clock=clock)
    camera.open()
    opened_ns = clock.now_ns
    for count in range(300):
        frame = camera.read(1.0)
        assert frame is not None
        assert abs(frame.captured_ns - opened_ns - count * 1e9 / 3) < 10
        clock.sleep(0.1)  # the reader works; less than the period


def test_slow_reader_gets_every_frame_late(tmp_path: Path) -> None:
    write_images(tmp_path, "a.png")
    clock = FakeClock()
    camera = replay(tmp_path, loop=True, rate_hz=10.0, clock=clock)
    camera.open()
    clock.sleep(1.0)
    before_ns = clock.now_ns
    frames = [camera.read(0.0) for _ in range(10)]
    assert [frame.sequence for frame in frames if frame] == list(range(10))
    assert clock.now_ns == before_ns


def test_frame_that_is_not_due_times_out(tmp_path: Path) -> None:
    write_images(tmp_path, "a.png")
    clock = FakeClock()
    camera = replay(tmp_path, loop=True, rate_hz=1.0, clock=clock)
    camera.open()
    camera.read(0.2)
    waits = [camera.read(0.2) for _ in range(5)]
    assert [frame is None for frame in waits] == [True, True, True, True, False]


def test_video_frames_are_numbered(tmp_path: Path) -> None:
    write_video(tmp_path / "line.avi", 3)
    camera = replay(tmp_path / "line.avi")
    camera.open()
    frames = read_all(camera)
    assert [frame.source for frame in frames] == ["line.avi#0", "line.avi#1", "line.avi#2"]
    assert frames[0].image.shape == (48, 64, 3)
    assert not np.shares_memory(frames[0].image, frames[1].image)


def test_video_loops(tmp_path: Path) -> None:
    write_video(tmp_path / "line.avi", 2)
    camera = replay(tmp_path / "line.avi", loop=True)
    camera.open()
    sources = [frame.source for _ in range(3) if (frame := camera.read(1.0))]
    camera.close()
    assert sources == ["line.avi#0", "line.avi#1", "line.avi#0"]


def test_cut_off_video_is_not_a_normal_end(tmp_path: Path) -> None:
    path = tmp_path / "line.avi"
    write_video(path, 10)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    camera = replay(path)
    camera.open()
    with pytest.raises(FrameError, match=r"line\.avi: a damaged frame .*; record it again"):
        read_all(camera)  # the one that was cut
    with pytest.raises(CameraError, match=r"ends after \d frames and its header says 10"):
        read_all(camera)
    camera.close()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("line.avi", b"not a video", "not a video that FFmpeg can open"),
        ("missing", None, "no such folder, video or image, and no images match it"),
        ("*.png", None, "no such folder, video or image, and no images match it"),
    ],
)
def test_source_without_frames_is_refused(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CameraError, match=message):
        replay(tmp_path / name).open()


def test_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match="holds no image"):
        replay(tmp_path).open()


def test_video_without_frames_is_refused(tmp_path: Path) -> None:
    write_video(tmp_path / "line.avi", 0)
    with pytest.raises(CameraError, match=r"line\.avi"):
        replay(tmp_path / "line.avi").open()


def test_two_stars_match_all_subfolders(tmp_path: Path) -> None:
    for folder in ("", "monday", "monday/early"):
        write_images(tmp_path / folder, f"{Path(folder).name or 'top'}.png")
    camera = replay(tmp_path / "**" / "*.png")
    camera.open()
    assert [frame.source for frame in read_all(camera)] == [
        *("monday/early/early.png", "monday/monday.png", "top.png")
    ]


def test_names_tell_equal_files_of_two_folders_apart(tmp_path: Path) -> None:
    for folder in ("good", "crack"):
        write_images(tmp_path / folder, "000.png")
    camera = replay(tmp_path / "*" / "*.png")
    camera.open()
    assert [frame.source for frame in read_all(camera)] == ["crack/000.png", "good/000.png"]


def test_the_log_has_the_files_that_are_passed_over_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_images(tmp_path, "a.png")
    write_images(tmp_path / "more", "b.png", "c.png")
    (tmp_path / "d.heic").touch()
    camera = replay(tmp_path, loop=True)
    camera.open()
    for _ in range(3):
        camera.read(1.0)
    assert caplog.messages == [
        f"{tmp_path}: 2 images in subfolders are not read: more/",
        f"{tmp_path}: 1 files that are not images by their suffix are not read: d.heic",
    ]
    caplog.clear()
    camera = replay(tmp_path / "*")
    camera.open()
    assert caplog.messages == [
        f"{tmp_path / '*'}: 1 matching files are not images: {tmp_path / 'd.heic'}"
    ]


def test_16_bit_images_come_by_the_window_and_others_are_refused(tmp_path: Path) -> None:
    numbers = np.random.default_rng(1).integers(0, 4096, (8, 8), dtype=np.uint16)
    window, other = Window(low=400, high=3200), Window(low=0, high=3200)
    shown = {
        "0.png": encode_png(numbers),
        "1.png": encode_png(window.apply(numbers), window),  # as the archive keeps it
        "2.png": encode_png(np.zeros((8, 8), np.uint8)),
        "3.png": encode_png(other.apply(numbers), other),
    }
    for name, content in shown.items():
        (tmp_path / name).write_bytes(content)
    camera = ReplayConfig(kind="replay", path=tmp_path, window=window).driver()
    camera.open()
    for _ in range(2):
        frame = camera.read(1.0)
        assert frame is not None
        assert np.array_equal(frame.image, window.apply(numbers))
        assert frame.window == window
    for problem in (r"2\.png: has 8 bits", r"3\.png: was converted .* by the window 0 to 3200"):
        with pytest.raises(FrameError, match=problem):
            camera.read(1.0)
    camera.close()


def test_a_video_takes_no_window(tmp_path: Path) -> None:
    write_video(tmp_path / "parts.avi", 2)
    window = Window(low=400, high=3200)
    config = ReplayConfig(kind="replay", path=tmp_path / "parts.avi", window=window)
    with pytest.raises(CameraError, match="the frames of a video have 8 bits, which take no"):
        config.driver().open()
