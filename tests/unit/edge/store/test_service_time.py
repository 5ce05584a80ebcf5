"""The service time moves with real time alone, whatever the time of day does."""

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from edge.store.clock import read_clocks
from edge.store.service_time import FILE_NAME, ServiceTime
from tests.doubles.device_clock import NOON, Device

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
AGE = 100 * DAY  # so that four days off count at once


@pytest.fixture
def device() -> Device:
    return Device()


def process(folder: Path, device: Device, newest: datetime | None = None) -> ServiceTime:
    service = ServiceTime(folder / FILE_NAME, shortest_age=AGE, clocks=device)
    service.open(newest)
    return service


def since_noon(service: ServiceTime) -> timedelta:
    return service.now() - NOON


def test_it_is_the_time_of_day_of_a_clock_that_is_right(tmp_path: Path, device: Device) -> None:
    service = process(tmp_path, device)
    for _ in range(3):
        device.run(HOUR)
        assert since_noon(service) == device.utc - NOON
        service.save()
        device.off(16 * HOUR)
        service = process(tmp_path, device)
        assert since_noon(service) == device.utc - NOON


@pytest.mark.parametrize("shift", [1157 * DAY, -1157 * DAY, 47000 * DAY, -20000 * DAY])
@pytest.mark.parametrize("is_synchronized", [True, False])
def test_a_clock_that_is_set_moves_nothing(
    tmp_path: Path, device: Device, shift: timedelta, is_synchronized: bool
) -> None:
    device.is_synchronized = is_synchronized
    service = process(tmp_path, device)
    device.run(HOUR)
    assert since_noon(service) == HOUR
    device.utc += shift  # while the process runs
    device.run(HOUR)
    assert since_noon(service) == 2 * HOUR
    service.save()
    device.run(HOUR)  # between two processes
    device.utc -= shift
    assert since_noon(process(tmp_path, device)) == 3 * HOUR


@pytest.mark.parametrize("shift", [1157 * DAY, 47000 * DAY, -20000 * DAY])
def test_a_device_that_starts_with_a_wrong_clock(
    tmp_path: Path, device: Device, shift: timedelta, caplog: pytest.LogCaptureFixture
) -> None:
    process(tmp_path, device).save()
    device.off(HOUR, shows=shift)
    device.is_synchronized = False
    service = process(tmp_path, device)
    device.run(30 * DAY)
    assert since_noon(service) == 30 * DAY
    assert "no time server confirms it: for the age of records and images" in caplog.text
    device.utc += HOUR - shift  # the network is there
    device.is_synchronized = True
    device.run(HOUR)
    assert since_noon(service) == 30 * DAY + 2 * HOUR  # with the hour off
    assert service.notice is None


def test_three_months_off_count_after_an_announcement(
    tmp_path: Path, device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    process(tmp_path, device).save()
    device.off(90 * DAY)
    service = process(tmp_path, device)
    assert since_noon(service) == timedelta()
    assert "the clock is 90.0 days ahead" in (service.notice or "")
    assert "expire in 7.0 days" in (service.notice or "")
    device.run(3 * DAY)
    assert since_noon(service) == 3 * DAY
    service.save()
    device.off(HOUR)  # which does not begin the wait anew
    service = process(tmp_path, device)
    assert "expire in 4.0 days" in (service.notice or "")
    device.run(5 * DAY)
    assert since_noon(service) == 98 * DAY + HOUR
    assert service.notice is None
    assert "counts now: what is too old by it expires" in caplog.text


def test_a_time_server_that_is_wrong_for_some_days(
    tmp_path: Path, device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    process(tmp_path, device).save()
    device.off(HOUR, shows=1157 * DAY)
    service = process(tmp_path, device)
    device.run(3 * DAY)
    assert since_noon(service) == 3 * DAY
    assert service.notice is not None
    service.save()
    device.off(HOUR, shows=2 * HOUR - 1157 * DAY)
    service = process(tmp_path, device)
    assert since_noon(service) == 3 * DAY + 2 * HOUR
    assert service.notice is None
    assert "is over: nothing expires" in caplog.text


def test_a_clock_behind_that_is_corrected_expires_nothing_of_what_came_between(
    tmp_path: Path, device: Device
) -> None:
    process(tmp_path, device).save()
    device.off(HOUR, shows=-1157 * DAY)
    service = process(tmp_path, device)
    device.run(2 * DAY)
    assert since_noon(service) <= 2 * DAY
    device.utc += 1157 * DAY  # with a time server before and after: which was right?
    assert since_noon(service) <= 2 * DAY
    service.save()
    device.off(HOUR)
    service = process(tmp_path, device)
    device.run(20 * DAY)
    assert since_noon(service) <= 22 * DAY + HOUR


def test_a_battery_that_runs_ahead_does_not_add_up(tmp_path: Path, device: Device) -> None:
    service = process(tmp_path, device)
    for _ in range(10):
        service.save()
        device.is_synchronized = False
        device.off(16 * HOUR, shows=16 * HOUR + 2 * DAY)
        service = process(tmp_path, device)
        device.utc -= 2 * DAY
        device.is_synchronized = True
        device.run(8 * HOUR)
        service.now()
    assert since_noon(service) - (device.utc - NOON) <= 3 * DAY


def test_without_a_time_server_a_long_time_off_counts_for_nothing(
    tmp_path: Path, device: Device
) -> None:
    device.is_synchronized = False
    process(tmp_path, device).save()
    device.off(3 * DAY)
    service = process(tmp_path, device)
    assert since_noon(service) == 3 * DAY
    service.save()
    device.off(5 * DAY)
    assert since_noon(process(tmp_path, device)) == 3 * DAY


def test_what_counts_at_once_is_small_beside_the_shortest_age(
    tmp_path: Path, device: Device
) -> None:
    device.is_synchronized = False
    service = ServiceTime(tmp_path / FILE_NAME, shortest_age=DAY, clocks=device)
    service.save()
    device.off(3 * HOUR)
    service = ServiceTime(tmp_path / FILE_NAME, shortest_age=DAY, clocks=device)
    assert since_noon(service) == timedelta()


@pytest.mark.parametrize("wrong", [1157 * DAY, -20000 * DAY])
def test_records_without_a_state_are_as_old_as_the_newest_of_them(
    tmp_path: Path, device: Device, wrong: timedelta
) -> None:
    device.utc += wrong
    device.is_synchronized = False
    service = process(tmp_path, device, newest=NOON)
    assert since_noon(service) == timedelta()
    device.run(HOUR)
    assert since_noon(service) == HOUR


def test_a_damaged_state_is_begun_anew(
    tmp_path: Path, device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"\xff\x00" * 40)
    service = process(tmp_path, device, newest=NOON - DAY)
    assert since_noon(service) <= timedelta()
    assert "cannot be read, and is begun anew" in caplog.text


def test_the_clocks_of_this_device_move() -> None:
    first, second = read_clocks(), read_clocks()
    assert first.boot_id == second.boot_id
    assert first.since_boot_s <= second.since_boot_s
    assert second.utc.tzinfo is timezone.utc
