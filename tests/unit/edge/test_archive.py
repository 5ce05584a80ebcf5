"""Image archive: names, quota, faults of the disk."""

import threading
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.archive import ArchiveThread, ImageArchive
from edge.files import TEMPORARY_PREFIX
from edge.images import read_image
from edge.triggers import Settled, no_verdict
from edge.verdict import Cause, Verdict

MakeSettled = Callable[..., Settled]
STEM = "2026-11-21/041401.000000_test-000001_REJECT"
PLENTY = 10_000_000


def reject_archive(folder: Path, max_bytes: int = PLENTY) -> ImageArchive:
    return ImageArchive(folder, [Verdict.REJECT, Verdict.NO_VERDICT], max_bytes)


def files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_frame_mask_and_overlay(tmp_path: Path, make_settled: MakeSettled) -> None:
    settled = make_settled(1)
    archive = reject_archive(tmp_path)
    archive.save(settled)
    assert files(tmp_path) == [f"{STEM}.frame.png", f"{STEM}.mask.png", f"{STEM}.overlay.jpg"]
    assert sorted(archive.names(settled)) == files(tmp_path)
    frame = settled.views[0].frame
    assert frame is not None
    assert (read_image(tmp_path / f"{STEM}.frame.png") == frame.image).all()
    mask = read_image(tmp_path / f"{STEM}.mask.png")
    assert mask.shape == (64, 64)
    assert set(np.unique(mask)) == {0, 255}
    assert cv2.imread(str(tmp_path / f"{STEM}.overlay.jpg")) is not None


def test_a_part_without_a_map_has_no_mask(tmp_path: Path, make_settled: MakeSettled) -> None:
    archive = reject_archive(tmp_path)
    archive.save(make_settled(1, no_verdict(Cause.DEADLINE, "late")))
    assert [name.partition(".")[2] for name in files(tmp_path)] == [
        "000000_test-000001_NO_VERDICT.frame.png",
        "000000_test-000001_NO_VERDICT.overlay.jpg",
    ]


def test_what_is_not_kept_has_no_names(tmp_path: Path, make_settled: MakeSettled) -> None:
    archive = ImageArchive(tmp_path, [Verdict.REVIEW], PLENTY)
    assert archive.names(make_settled(1)) == ()
    lost = make_settled(2, no_verdict(Cause.CAMERA, "lost"), with_frame=False)
    assert reject_archive(tmp_path).names(lost) == ()


def test_the_oldest_files_go_first(tmp_path: Path, make_settled: MakeSettled) -> None:
    reject_archive(tmp_path).save(make_settled(1))
    limit = size(tmp_path) * 5 // 2
    archive = reject_archive(tmp_path, limit)  # counts what an earlier run left
    for number in range(2, 8):
        archive.save(make_settled(number))
        assert size(tmp_path) <= limit
    kept = files(tmp_path)
    assert any("test-000007_REJECT.frame" in name for name in kept)
    assert any("test-000006_REJECT.frame" in name for name in kept)
    assert not any("test-000004" in name for name in kept)


def test_emptied_days_are_removed(tmp_path: Path, make_settled: MakeSettled) -> None:
    old = tmp_path / "2020-01-01"
    old.mkdir()
    (old / "000000.000000_a_REJECT.frame.png").write_bytes(b"0" * 1000)
    reject_archive(tmp_path, 12_000).save(make_settled(1))
    limit = size(tmp_path) - 1000
    reject_archive(tmp_path, limit).save(make_settled(2))
    assert not old.exists()


def test_files_of_others_are_left_alone(tmp_path: Path, make_settled: MakeSettled) -> None:
    day = tmp_path / "2020-01-01"
    day.mkdir()
    (day / "notes.txt").write_bytes(b"0" * 50_000)
    (day / f"{TEMPORARY_PREFIX}x.png-1").write_bytes(b"half")
    reject_archive(tmp_path, 20_000).save(make_settled(1))
    assert (day / "notes.txt").exists()
    assert len(files(day)) == 1


def test_an_image_larger_than_the_quota_is_refused(
    tmp_path: Path, make_settled: MakeSettled
) -> None:
    with pytest.raises(OSError, match="max_bytes is 10"):
        reject_archive(tmp_path, 10).save(make_settled(1))
    assert files(tmp_path) == []


def test_an_unwritable_folder_is_counted_and_told_once(
    tmp_path: Path, make_settled: MakeSettled, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "images"
    blocked.write_text("a file where the folder should be")
    thread = ArchiveThread(reject_archive(blocked))
    thread.start()
    for number in range(3):
        thread.offer(make_settled(number))
    thread.close(10.0)
    assert (thread.failed, thread.dropped) == (3, 0)
    assert caplog.text.count("images are lost") == 1


class StuckArchive:
    """Does not end a save until it is told to."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.saved = 0

    def names(self, settled: Settled) -> tuple[str, ...]:
        return (settled.trigger.trigger_id,)

    def save(self, settled: Settled) -> None:
        self.go_on.wait(30)
        self.saved += 1


def test_a_slow_archive_drops_and_counts(make_settled: MakeSettled) -> None:
    archive = StuckArchive()
    thread = ArchiveThread(archive, queue_size=2)
    thread.start()
    taken = [thread.offer(make_settled(number)) for number in range(20)]
    assert taken[0] == ("test-000000",)
    assert taken[-1] == ()
    archive.go_on.set()
    thread.close(10.0)
    assert archive.saved + thread.dropped == 20
    assert thread.dropped == taken.count(())


def test_a_stuck_archive_does_not_hold_the_end(make_settled: MakeSettled) -> None:
    archive = StuckArchive()
    thread = ArchiveThread(archive, queue_size=2)
    thread.start()
    for number in range(20):
        thread.offer(make_settled(number))
    thread.close(0.05)
    assert archive.saved == 0
    assert thread.dropped >= 19
    archive.go_on.set()
