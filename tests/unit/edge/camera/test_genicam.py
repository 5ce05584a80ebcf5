"""SFNC settings: order of writing, reading back, refused settings."""

import pytest

from edge.camera.faults import CameraSettingError
from edge.camera.genicam import (
    GenicamSettings,
    TriggerSettings,
    Value,
    apply,
    readable,
    tick_ns,
    wait_until,
    words_of,
)


class FakeFeatures:
    """A camera with exposure, gain and width in steps, and a region that must fit its sensor."""

    def __init__(self, *without: str, **values: Value) -> None:
        values_of_a_camera: dict[str, Value] = {
            "UserSetSelector": "Default",
            "UserSetLoad": "",
            "PixelFormat": "Mono8",
            "Width": 2048,
            "Height": 1536,
            "OffsetX": 0,
            "OffsetY": 0,
            "ExposureAuto": "Continuous",
            "ExposureTime": 1000.0,
            "GainAuto": "Continuous",
            "Gain": 0.0,
            "AcquisitionFrameRateEnable": False,
            "AcquisitionFrameRate": 30.0,
            "TriggerSelector": "FrameStart",
            "TriggerMode": "On",
            "TriggerSource": "Line1",
            "TriggerActivation": "RisingEdge",
            "TriggerDelay": 0.0,
        }
        self.values = values_of_a_camera | values
        for name in without:
            del self.values[name]
        self.log: list[str] = []

    def has(self, name: str) -> bool:
        return name in self.values

    def get(self, name: str) -> Value:
        return self.values[name]

    def set(self, name: str, value: Value) -> None:
        for side, offset, limit in (("Width", "OffsetX", 2048), ("Height", "OffsetY", 1536)):
            after = {**self.values, name: value}
            if int(after[side]) + int(after[offset]) > limit:
                raise CameraSettingError(f"{name} {value} is outside of the sensor")
        if name == "PixelFormat" and value not in ("Mono8", "Mono12"):
            raise CameraSettingError(f"{value} is no entry")
        if name == "ExposureTime":
            value = round(float(value) / 7.0) * 7.0
        if name == "Gain":
            value = round(float(value) / 0.2) * 0.2
        if name == "Width":
            value = int(value) // 4 * 4
        if isinstance(self.values[name], str):
            value = str(value)
        self.values[name] = value
        self.log.append(f"{name}={value}")

    def execute(self, name: str) -> None:
        if name not in self.values:
            raise CameraSettingError("no such command")
        self.log.append(name)


def test_everything_is_written_in_an_order_cameras_accept() -> None:
    features = FakeFeatures(OffsetX=1024, Width=1024)
    settings = GenicamSettings(
        user_set="UserSet1",
        pixel_format="Mono12",
        width=2000,
        height=1000,
        offset_x=48,
        offset_y=100,
        exposure_us=7000,
        gain_db=3,
        frame_rate_hz=20,
        trigger=TriggerSettings(source="Line2", activation="FallingEdge", delay_us=5),
        features={"LineDebouncerTime": 10.0},
    )
    features.values["LineDebouncerTime"] = 0.0
    apply(features, settings, "cam 1")
    assert features.log == [
        "UserSetSelector=UserSet1",
        "UserSetLoad",
        "TriggerSelector=FrameStart",
        "TriggerMode=Off",
        "PixelFormat=Mono12",
        "OffsetX=0",
        "OffsetY=0",
        "Width=2000",
        "Height=1000",
        "OffsetX=48",
        "OffsetY=100",
        "ExposureAuto=Off",
        "ExposureTime=7000.0",
        "GainAuto=Off",
        "Gain=3.0",
        "AcquisitionFrameRateEnable=True",
        "AcquisitionFrameRate=20.0",
        "LineDebouncerTime=10.0",
        "TriggerSource=Line2",
        "TriggerActivation=FallingEdge",
        "TriggerDelay=5.0",
        "TriggerMode=On",
    ]


def test_without_settings_the_camera_runs_free() -> None:
    features = FakeFeatures()
    apply(features, GenicamSettings(), "cam 1")
    assert features.log == ["TriggerSelector=FrameStart", "TriggerMode=Off"]


def test_a_user_set_keeps_its_trigger() -> None:
    features = FakeFeatures()
    apply(features, GenicamSettings(user_set="Default"), "cam 1")
    assert features.log == ["UserSetSelector=Default", "UserSetLoad"]


def test_a_software_trigger_has_no_edge() -> None:
    features = FakeFeatures("TriggerActivation")
    apply(features, GenicamSettings(trigger=TriggerSettings(source="Software")), "cam 1")
    assert features.log[-2:] == ["TriggerSource=Software", "TriggerMode=On"]


def test_older_cameras_have_older_names() -> None:
    features = FakeFeatures(
        "ExposureTime", "AcquisitionFrameRate", ExposureTimeAbs=1.0, AcquisitionFrameRateAbs=1.0
    )
    apply(features, GenicamSettings(exposure_us=500, frame_rate_hz=10), "cam 1")
    assert features.values["ExposureTimeAbs"] == 500
    assert features.values["AcquisitionFrameRateAbs"] == 10


def test_everything_refused_is_named_at_once() -> None:
    features = FakeFeatures("Gain")
    settings = GenicamSettings(
        pixel_format="Mono10", width=3000, exposure_us=10, gain_db=1, features={"Gamma": 1.0}
    )
    with pytest.raises(CameraSettingError) as caught:
        apply(features, settings, "cam 1")
    assert str(caught.value) == (
        "cam 1: the camera did not accept PixelFormat=Mono10 (Mono10 is no entry); "
        "Width=3000 (Width 3000 is outside of the sensor); "
        "ExposureTime=10.0 (it took 7.0); "
        "Gain=1.0 (the camera has no such feature, or not in this state); "
        "Gamma=1.0 (the camera has no such feature, or not in this state). "
        "'linewarden camera show' prints its settings"
    )


def test_a_user_set_that_cannot_be_loaded_is_named() -> None:
    with pytest.raises(CameraSettingError, match=r"did not accept UserSetLoad \(no such command\)"):
        apply(FakeFeatures("UserSetLoad"), GenicamSettings(user_set="Default"), "cam 1")


def test_rounding_of_the_camera_is_taken() -> None:
    features = FakeFeatures(ExposureTime=5.0, Gain=6.0)
    apply(features, GenicamSettings(exposure_us=1000, gain_db=0.08), "cam 1")
    assert features.values["ExposureTime"] == 1001.0
    assert features.values["Gain"] == 0.0


def test_a_whole_number_is_not_rounded() -> None:
    with pytest.raises(CameraSettingError, match=r"did not accept Width=1001 \(it took 1000\)\."):
        apply(FakeFeatures(), GenicamSettings(width=1001), "cam 1")


def test_a_number_is_not_a_text() -> None:
    features = FakeFeatures(LineMode="Input")
    with pytest.raises(CameraSettingError, match=r"did not accept LineMode=1\.0 \(it took 1\.0\)"):
        apply(features, GenicamSettings(features={"LineMode": 1.0}), "cam 1")


def test_features_that_only_some_cameras_have_are_left_out() -> None:
    features = FakeFeatures("TriggerSelector", "AcquisitionFrameRateEnable")
    apply(features, GenicamSettings(frame_rate_hz=10), "cam 1")
    assert features.log == ["TriggerMode=Off", "AcquisitionFrameRate=10.0"]


def test_readable_is_what_the_camera_has() -> None:
    shown = readable(FakeFeatures("Gain"))
    assert shown["Width"] == 2048
    assert "Gain" not in shown
    assert "DeviceModelName" not in shown


def test_a_feature_that_cannot_be_read_is_shown_with_the_reason() -> None:
    class Hot(FakeFeatures):
        def get(self, name: str) -> Value:
            if name == "DeviceTemperature":
                raise CameraSettingError("the sensor is off")
            return super().get(name)

    shown = readable(Hot(DeviceTemperature=0.0))
    assert shown["DeviceTemperature"] == "cannot be read: the sensor is off"


def test_time_stamps_are_ticks_where_the_camera_says_so() -> None:
    assert tick_ns(FakeFeatures(GevTimestampTickFrequency=125_000_000)) == 8.0
    assert tick_ns(FakeFeatures(TimestampTickFrequency=1_000_000)) == 1000.0
    assert tick_ns(FakeFeatures()) == 1.0


def test_a_command_that_does_not_end_is_refused() -> None:
    with pytest.raises(CameraSettingError, match=r"UserSetLoad is not done within 0\.02 s"):
        wait_until(lambda: False, "UserSetLoad", limit_s=0.02)


def test_the_words_of_genapi_come_without_its_source_files() -> None:
    error = RuntimeError("Value = 5 must be smaller. : OutOfRangeException thrown in node 'W'")
    assert words_of(error) == "Value = 5 must be smaller."
