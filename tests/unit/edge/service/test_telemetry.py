"""The figures of other devices."""

from pathlib import Path

import pytest

from edge.service.telemetry import QUANTITIES, Reading, read_device

FILES = {
    "sys/class/thermal/thermal_zone0/type": "cpu-thermal",
    "sys/class/thermal/thermal_zone0/temp": "61500",
    "sys/class/thermal/thermal_zone1/type": "gpu-thermal",
    "sys/class/thermal/cooling_device2/type": "pwm-fan",
    "sys/class/thermal/cooling_device2/cur_state": "3",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq": "1510400",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq": "1984000",
    "sys/class/devfreq/17000000.gpu/cur_freq": "306000000",
    "sys/class/devfreq/17000000.gpu/max_freq": "918000000",
    "sys/class/hwmon/hwmon4/oc1_event_cnt": "2",
    "sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count": "7",
    "proc/meminfo": "MemTotal:       16000000 kB\nMemFree:  1 kB\nMemAvailable:    4000000 kB\n",
}


@pytest.fixture
def device(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return tmp_path


def test_all_figures_come_in_base_units(device: Path) -> None:
    assert list(read_device(device)) == [
        Reading("temperature_celsius", "cpu-thermal-0", 61.5),
        Reading("cooling_state", "pwm-fan-2", 3),
        Reading("frequency_hertz", "cpu0", 1.5104e9),
        Reading("frequency_max_hertz", "cpu0", 1.984e9),
        Reading("frequency_hertz", "17000000.gpu", 306e6),
        Reading("frequency_max_hertz", "17000000.gpu", 918e6),
        Reading("throttle_events", "cpu0", 7),
        Reading("throttle_events", "hwmon4-oc1", 2),
        Reading("memory_bytes", "MemTotal", 16e6 * 1024),
        Reading("memory_available_bytes", "MemAvailable", 4e6 * 1024),
    ]


def test_a_file_that_cannot_be_read_now_is_left_out(device: Path) -> None:
    temperature = device / "sys/class/thermal/thermal_zone0/temp"
    temperature.unlink()
    temperature.mkdir()  # reading it is an OSError, as of a zone that is switched off
    (device / "sys/class/devfreq/17000000.gpu/cur_freq").write_text("\n")
    found = list(read_device(device))
    assert len(found) == 8
    assert not any(reading.quantity == "temperature_celsius" for reading in found)


def test_frost_is_read_and_what_is_not_text_is_left_out(device: Path) -> None:
    (device / "sys/class/thermal/thermal_zone0/temp").write_text("-12500\n")
    (device / "sys/class/thermal/cooling_device2/type").write_bytes(b"\xff\xfe")
    found = {reading.part: reading.value for reading in read_device(device)}
    assert found["cpu-thermal-0"] == -12.5
    assert found["-2"] == 3


def test_a_device_without_figures_is_not_an_error(tmp_path: Path) -> None:
    assert list(read_device(tmp_path)) == []


def test_this_machine_is_read() -> None:
    quantities = {reading.quantity for reading in read_device()}
    assert "memory_bytes" in quantities
    assert quantities <= set(QUANTITIES)
