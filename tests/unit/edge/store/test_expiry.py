"""Rows expire by their order and the service time, whatever their moments say."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from edge.line.base import StationState
from edge.part.record import InspectionRecord
from edge.store import writer
from edge.store.config import ImagesConfig, RecordsConfig
from edge.store.reader import Filter, RecordReader
from edge.store.service_time import FILE_NAME, ServiceTime
from edge.store.station_records import StationRecords
from inspection.errors import LineError
from tests.doubles.device_clock import Device
from tests.doubles.waiting import wait_for

MakeRecord = Callable[..., InspectionRecord]
DAY = timedelta(days=1)


class Away:
    """An output that takes nothing."""

    def open(self) -> None:
        raise LineError("nobody there")

    def send(self, record: InspectionRecord) -> None:
        raise LineError("nobody there")

    def show(self, state: StationState) -> None:
        pass

    def close(self) -> None:
        pass


class Line:
    """Runs of a line on a device; each writes one record at the device's time of day."""

    def __init__(self, folder: Path, make: MakeRecord) -> None:
        self.device = Device()
        self.config = RecordsConfig(folder=folder, max_age_days=100)
        self.outputs: dict[str, Away] = {}
        self._make = make
        self._number = 0

    def run(self) -> None:
        """Run until one more record is written."""
        station = self._station()
        self._number += 1
        record = self._make(self._number).model_copy(update={"triggered_utc": self.device.utc})
        with station.open():
            for output in station.outputs:
                output.send(record)
            station.on_record(record)
            wait_for(lambda: record.trigger_id in self.present())

    def expire(self, *numbers: int) -> None:
        """Run until these records are there, and no others."""
        with self._station().open():
            wait_for(lambda: self.present() == ids(*numbers))

    def _station(self) -> StationRecords:
        service = ServiceTime(
            self.config.folder / FILE_NAME,
            shortest_age=self.config.shortest_age,
            clocks=self.device,
        )
        return StationRecords(self.config, self.outputs, service=service)

    def present(self) -> list[str]:
        with RecordReader(self.config.folder) as reader:
            return sorted(one.record.trigger_id for one in reader.find(Filter()))


@pytest.fixture
def line(tmp_path: Path, make_record: MakeRecord, monkeypatch: pytest.MonkeyPatch) -> Line:
    monkeypatch.setattr(writer, "_PRUNE_EVERY_S", 0.001)
    return Line(tmp_path, make_record)


def ids(*numbers: int) -> list[str]:
    return [f"test-{number:06d}" for number in numbers]


def test_rows_expire_by_real_time(line: Line) -> None:
    for _ in range(6):
        line.run()
        line.device.run(30 * DAY)
    line.run()
    line.expire(4, 5, 6, 7)


@pytest.mark.parametrize("shift", [1157 * DAY, 47_000 * DAY, -1157 * DAY, -20_000 * DAY])
@pytest.mark.parametrize("is_synchronized", [True, False])
@pytest.mark.parametrize("restarts", [True, False])
def test_a_run_with_a_wrong_clock_deletes_nothing(
    line: Line, shift: timedelta, is_synchronized: bool, restarts: bool
) -> None:
    hour = timedelta(hours=1)
    line.device.is_synchronized = is_synchronized
    line.run()
    for moved in (shift, -shift):
        if restarts:
            line.device.off(hour, shows=hour + moved)
        else:
            line.device.utc += moved
        line.run()
        line.run()
    assert line.present() == ids(1, 2, 3, 4, 5)


def test_rows_of_a_wrong_clock_expire_with_their_neighbours(line: Line) -> None:
    line.run()
    for moved in (47_000 * DAY, -67_000 * DAY):
        line.device.utc += moved
        line.device.run(DAY)
        line.run()
    line.device.utc += 20_000 * DAY
    line.device.run(50 * DAY)
    line.run()
    assert line.present() == ids(1, 2, 3, 4)
    line.device.run(51 * DAY)
    line.run()
    line.expire(4, 5)


def test_rows_that_wait_to_be_sent_stay(line: Line) -> None:
    line.outputs = {"mqtt test": Away()}
    line.run()
    line.outputs = {}
    line.run()
    line.device.run(101 * DAY)
    line.run()
    line.expire(1, 3)


def test_a_lost_service_time_is_taken_from_the_rows(line: Line) -> None:
    line.run()
    line.run()
    (line.config.folder / FILE_NAME).unlink()
    line.device.utc += 1157 * DAY
    line.run()
    line.run()
    assert line.present() == ids(1, 2, 3, 4)


def test_the_shortest_age_is_that_of_images_too(tmp_path: Path) -> None:
    images = ImagesConfig(max_bytes=1, max_age_days=3, reject_max_age_days=20)
    assert RecordsConfig(folder=tmp_path, images=images).shortest_age == 3 * DAY
    assert RecordsConfig(folder=tmp_path, max_age_days=2).shortest_age == 2 * DAY
