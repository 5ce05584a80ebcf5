"""The queue in front of an archive."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.part.settled import Settled
from edge.pipeline.archive import ArchiveThread
from edge.store.config import ImagesConfig
from edge.store.images import ImageArchive

MakeSettled = Callable[..., Settled]


def test_an_unwritable_folder_is_counted_and_told_once(
    tmp_path: Path, make_settled: MakeSettled, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "images"
    blocked.write_text("a file where the folder should be")
    thread = ArchiveThread(
        ImageArchive(blocked, ImagesConfig(max_bytes=10_000_000, min_free_bytes=0))
    )
    thread.start()
    for number in range(3):
        thread.offer(make_settled(number))
    thread.close(10.0)
    assert (thread.failed, thread.dropped) == (3, 0)
    assert caplog.text.count("the archive failed on") == 1


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
