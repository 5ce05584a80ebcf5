"""Records survive kills, full disks and absent brokers."""

import multiprocessing
import os
import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from edge.part.record import InspectionRecord, record_from_settled
from edge.part.result import Settled
from edge.store.config import ImagesConfig, RecordsConfig
from edge.store.database import connect_to_read
from edge.store.images import ImageArchive
from edge.store.reader import Filter, RecordReader
from edge.store.station_records import IMAGES_NAME, RecordsStatus, StationRecords
from inspection.images import read_image
from inspection.verdict import Cause
from tests.doubles import killed_line
from tests.doubles.waiting import wait_for

KILLS = 200
MakeRecord = Callable[..., InspectionRecord]
MakeSettled = Callable[..., Settled]


def lines(path: Path) -> list[tuple[str, str]]:
    text = path.read_text() if path.exists() else ""
    return [(words[0], words[1]) for words in map(str.split, text.splitlines())]


def stored(folder: Path) -> list[InspectionRecord]:
    """Returns the records in the order of their commits."""
    with RecordReader(folder) as reader:
        return [one.record for one in reader.find(Filter())]


def committed(folder: Path) -> list[str]:
    with closing(connect_to_read(folder)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        rows = connection.execute("SELECT trigger_id FROM records ORDER BY number")
        return [row["trigger_id"] for row in rows]


@pytest.mark.slow
def test_kills_at_random_moments_leave_one_record_for_every_trigger(tmp_path: Path) -> None:
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["tests.doubles.killed_line"])
    for kill in range(KILLS):
        known = len(lines(tmp_path / "told"))
        process = processes.Process(target=killed_line.run, args=(tmp_path,))
        process.start()
        if kill % 2:  # a busy machine may take longer to start than the line lives
            wait_for(lambda known=known: len(lines(tmp_path / "told")) > known, 30.0)  # type: ignore[misc]
        time.sleep(random.uniform(0.0, 0.12))
        process.kill()
        process.join()
    last = processes.Process(target=killed_line.run, args=(tmp_path, 10))
    last.start()
    last.join()
    assert last.exitcode == 0

    order = committed(tmp_path / "records")
    records = {record.trigger_id: record for record in stored(tmp_path / "records")}
    assert len(order) == len(records) > KILLS // 2
    runs: dict[str, list[int]] = {}
    for trigger_id in records:
        run, _, number = trigger_id.partition("-")
        runs.setdefault(run, []).append(int(number))
    assert all(sorted(numbers) == list(range(1, len(numbers) + 1)) for numbers in runs.values())

    told = lines(tmp_path / "told")
    assert len(dict(told)) == len(told)
    for trigger_id, verdict in told:
        record = records[trigger_id]
        assert record.verdict.value == verdict
        (answer,) = [one for one in record.told if one.output == "notes"]
        assert answer.verdict in {record.verdict, None}  # None: killed before the answer
    interrupted = [r for r in records.values() if r.cause is Cause.INTERRUPTED]
    assert 0 < len(interrupted) < 4 * KILLS

    consumed = lines(tmp_path / "consumed")
    assert list(dict(consumed)) == order  # all of them, in order
    assert all(records[name].verdict.value == verdict for name, verdict in consumed)
    assert max(Counter(name for name, _ in consumed).values()) < 10
    images = tmp_path / "records" / IMAGES_NAME
    for path in images.rglob("*.png"):
        read_image(path)  # whole
    there = {str(path.relative_to(images)) for path in images.rglob("*.*g")}
    assert there
    assert there <= {name for record in records.values() for name in record.images}


@pytest.fixture
def small_disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Mounts a file system of 4 MB, or of the size of a parameter."""
    size = getattr(request, "param", "4m")
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip("needs root, to mount a small tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


# All records as notes, as rows, and once more in the log of the database.
@pytest.mark.parametrize("small_disk", ["16m"], indirect=True)
def test_a_full_disk_stops_nothing_and_loses_no_record(
    small_disk: Path, make_record: MakeRecord, caplog: pytest.LogCaptureFixture
) -> None:
    folder = small_disk / "records"
    station = StationRecords(RecordsConfig(folder=folder), {})
    made = [
        make_record(number % 60).model_copy(update={"trigger_id": f"t-{number:06d}"})
        for number in range(3000)
    ]
    with station.open():
        station.on_record(made[0])
        wait_for(lambda: len(committed(folder)) == 1)
        fill(small_disk / "other")
        for record in made[1:]:
            station.on_record(record)
        wait_for(lambda: "disk is full" in (station.status().failure or ""))
        assert station.status().backlog > 2000
        (small_disk / "other").unlink()
        wait_for(lambda: station.status().backlog == 0, 30.0)
        station.on_record(make_record(1))
        wait_for(lambda: station.status() == RecordsStatus(None, 0, 0, {}, {}))
    assert committed(folder) == [record.trigger_id for record in [*made, make_record(1)]]
    assert "records cannot be written and wait in memory" in caplog.text


def test_a_line_starts_on_a_full_disk(small_disk: Path, make_record: MakeRecord) -> None:
    folder = small_disk / "records"
    config = RecordsConfig(folder=folder)
    with StationRecords(config, {}).open() as station:
        station.on_record(make_record(1))
    fill(small_disk / "other")
    with StationRecords(config, {}).open() as station:
        station.on_record(make_record(2))
        wait_for(lambda: station.status().failure is not None)
        (small_disk / "other").unlink()
        wait_for(lambda: len(committed(folder)) == 2)


def test_images_leave_room_for_the_records(small_disk: Path, make_settled: MakeSettled) -> None:
    folder = small_disk / "records"
    images = ImagesConfig(max_bytes=10_000_000, min_free_bytes=1_000_000)
    with StationRecords(RecordsConfig(folder=folder), {}).open() as station:
        archive = ImageArchive(folder / IMAGES_NAME, images, station.service.now)
        for number in range(300):
            settled = make_settled(number % 60)
            trigger = replace(settled.trigger, trigger_id=f"t-{number:06d}")
            archive.save(replace(settled, trigger=trigger))
            if number % 15 == 0:
                station.on_record(record_from_settled(replace(settled, trigger=trigger)))
    assert os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize >= 900_000
    assert len(list((folder / IMAGES_NAME).rglob("*.frame.png"))) > 50
    assert len(committed(folder)) == 20


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as stream:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while stream.write(b"0" * size) == size:
                    pass
            except OSError:
                continue


def test_a_broker_that_is_killed_gets_every_verdict_once(
    tmp_path: Path, make_record: MakeRecord
) -> None:
    pytest.importorskip("paho.mqtt")
    pytest.importorskip("pymodbus")
    pytest.importorskip("asyncua")
    pytest.importorskip("gpiod")
    from edge.line import MqttConfig, output_from_config
    from tests.doubles.line_peers import Broker, free_port

    broker = Broker(free_port(), tmp_path)
    mqtt = MqttConfig(
        kind="mqtt",
        host="127.0.0.1",
        port=broker.port,
        topic="test/line",
        client_id="station",
        timeout_ms=1000,
    )
    folder = tmp_path / "records"

    def station() -> StationRecords:
        outputs = {mqtt.outbox: output_from_config(mqtt)}
        return StationRecords(RecordsConfig(folder=folder), outputs)

    names = [f"t-{number:06d}" for number in range(1500)]

    def deliver(to: StationRecords, part: list[str]) -> None:
        for number, name in enumerate(part):
            record = make_record(number % 60).model_copy(update={"trigger_id": name})
            for output in to.outputs:
                output.send(record)
            to.on_record(record)

    try:
        broker.subscribe()
        with station().open() as first:
            deliver(first, names[:200])
            wait_for(lambda: len(broker.verdicts) >= 50)
            broker.kill()
            deliver(first, names[200:1200])
            wait_for(lambda: len(committed(folder)) == 1200)
            assert first.status().outboxes[mqtt.outbox] >= 1000
        broker.start()  # while the station is away
        broker.subscribe()
        with station().open() as second:
            deliver(second, names[1200:])
            wait_for(lambda: second.status().outboxes[mqtt.outbox] == 0, 60.0)
        wait_for(lambda: len({v["trigger_id"] for v in broker.verdicts}) >= 1400)
        received = [verdict["trigger_id"] for verdict in broker.verdicts]
    finally:
        broker.close()
    once = list(dict.fromkeys(received))
    assert once == sorted(once)
    # The killed broker loses the verdicts that it confirmed and did not pass on: QoS 1 ends there.
    assert set(names[200:]) <= set(once)
    assert len(received) - len(once) <= 2
