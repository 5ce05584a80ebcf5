"""Work in the background: images behind a short queue, and threads that drop parts."""

import threading
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import pytest

from edge.part.result import Settled
from edge.pipeline.background import Background, BackgroundThread
from edge.store.config import ImagesConfig
from edge.store.images import ImageArchive

MakeSettled = Callable[..., Settled]
GENEROUS_S = 30.0


def test_an_unwritable_folder_is_counted_and_told_once(
    tmp_path: Path, make_settled: MakeSettled, caplog: pytest.LogCaptureFixture
) -> None:
    blocked = tmp_path / "images"
    blocked.write_text("a file where the folder should be")
    config = ImagesConfig(max_bytes=10_000_000, min_free_bytes=0)
    archive = ImageArchive(blocked, config, lambda: datetime.now(timezone.utc))
    background = Background(archive)
    with background.running(10.0):
        for number in range(3):
            background.offer(make_settled(number))
    assert (background.images_failed, background.images_dropped) == (3, 0)
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
    background = Background(archive, archive_queue=2)
    with background.running(10.0):
        taken = [background.offer(make_settled(number)) for number in range(20)]
        assert taken[0] == ("test-000000",)
        assert taken[-1] == ()
        archive.go_on.set()
    assert archive.saved + background.images_dropped == 20
    assert background.images_dropped == taken.count(())


def test_a_stuck_archive_does_not_hold_the_end(make_settled: MakeSettled) -> None:
    archive = StuckArchive()
    background = Background(archive, archive_queue=2)
    with background.running(0.05):
        for number in range(20):
            background.offer(make_settled(number))
    assert archive.saved == 0
    assert background.images_dropped >= 19
    archive.go_on.set()


def test_a_background_thread_gives_up_parts_rather_than_wait(make_settled: MakeSettled) -> None:
    go_on, started = threading.Event(), threading.Event()
    done: list[str] = []

    def work(settled: Settled) -> None:
        started.set()
        assert go_on.wait(GENEROUS_S)
        done.append(settled.trigger.trigger_id)

    side = BackgroundThread("test", work, queue_size=2)
    side.start()
    assert side.offer(make_settled(1))
    assert started.wait(GENEROUS_S)
    assert [side.offer(make_settled(number)) for number in (2, 3, 4)] == [True, True, False]
    go_on.set()
    side.close(GENEROUS_S)
    assert done == ["test-000001", "test-000002", "test-000003"]
    assert (side.dropped, side.failed) == (1, 0)


def test_a_background_thread_survives_a_part_it_cannot_do(
    make_settled: MakeSettled, caplog: pytest.LogCaptureFixture
) -> None:
    done = []

    def work(settled: Settled) -> None:
        if settled.trigger.trigger_id != "test-000003":
            raise ZeroDivisionError
        done.append(settled)

    side = BackgroundThread("test", work, queue_size=4)
    side.start()
    for number in (1, 2, 3):
        side.offer(make_settled(number))
    side.close(GENEROUS_S)
    assert (len(done), side.failed) == (1, 2)
    assert [record.message for record in caplog.records] == [
        "the test failed on test-000001: ZeroDivisionError()",
        "the test works again",
    ]


def test_a_background_thread_that_hangs_does_not_hold_the_end(make_settled: MakeSettled) -> None:
    go_on, started = threading.Event(), threading.Event()

    def hang(_settled: Settled) -> None:
        started.set()
        go_on.wait(GENEROUS_S)

    side = BackgroundThread("test", hang, queue_size=1)
    side.start()
    side.offer(make_settled(1))
    assert started.wait(GENEROUS_S)
    side.offer(make_settled(2))
    side.close(0.1)
    assert side.dropped == 1
    go_on.set()
