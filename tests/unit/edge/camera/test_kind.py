"""A configuration selects one of the cameras found."""

import pytest
from pydantic import ValidationError

from edge.camera import GstreamerConfig, PyAvConfig
from edge.camera.faults import CameraNotFoundError
from edge.camera.kind import Found, only_one
from inspection.images import Window

LEFT = Found("pylon", "0815", ("left", "10.0.0.2"), "acA1300", "serial: '0815'")
RIGHT = Found("pylon", "4711", ("right",), "acA2040", "serial: '4711'")


@pytest.mark.parametrize(
    ("wanted", "index"), [("0815", 0), ("4711", 1), ("right", 1), ("10.0.0.2", 0)]
)
def test_a_camera_is_called_by_its_identity_or_another_of_its_names(
    wanted: str, index: int
) -> None:
    assert only_one("pylon", [LEFT, RIGHT], wanted) == index


def test_the_only_camera_needs_no_name() -> None:
    assert only_one("pylon", [RIGHT], None) == 0


@pytest.mark.parametrize(
    ("found", "wanted", "message"),
    [
        ([], None, "camera 'pylon': no camera was found; there: none. Check power and cable;"),
        (
            [LEFT],
            "1",
            "camera 'pylon': 1 was not found; there: 0815 (acA1300). Check power and cable",
        ),
        (
            [LEFT, RIGHT],
            None,
            "camera 'pylon': 2 cameras fit; name one of them in the configuration: 0815 (acA1300),",
        ),
    ],
)
def test_no_camera_or_several_are_refused(
    found: list[Found], wanted: str | None, message: str
) -> None:
    with pytest.raises(CameraNotFoundError) as caught:
        only_one("pylon", found, wanted)
    assert str(caught.value).startswith(message)


def test_a_kind_of_8_bits_takes_no_window() -> None:
    window = Window(low=400, high=3200)
    message = "cameras of this kind give 8 bits, which take no window: leave it out"
    with pytest.raises(ValidationError, match=message):
        PyAvConfig(kind="pyav", url="rtsp://10.0.0.2/stream", window=window)
    with pytest.raises(ValidationError, match=message):
        GstreamerConfig(kind="gstreamer", pipeline="v4l2src ! videoconvert", window=window)
