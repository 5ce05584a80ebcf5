"""Cameras and outputs with an address: its password is in no record, log, error, name or page."""

import io
import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from edge.camera import Camera, CameraConfig, camera_from_config
from edge.line import OutputConfig, output_from_config
from edge.part.record import InspectionRecord
from edge.service import logs
from inspection.config.loading import StrictModel
from inspection.errors import CameraError, LineError
from tests.doubles.cameras import require
from tests.doubles.line_peers import Receiver, free_port
from tests.doubles.mjpeg import mjpeg_camera

PASSWORD = "hunt@er'2\""  # noqa: S105 - the one that must not be seen
SEEN = "er'2"


class Line(StrictModel):
    camera: CameraConfig | None = None
    outputs: tuple[OutputConfig, ...] = ()


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    root = logging.getLogger()
    before = root.level, root.handlers[:]
    logs.configure(logging.DEBUG, stream)
    yield stream
    root.setLevel(before[0])
    root.handlers[:] = before[1]


def with_password(url: str) -> str:
    return url.replace("://", f"://line3:{PASSWORD}@")


def read_to_the_end(camera: Camera) -> None:
    for _ in range(100):
        camera.read(0.1)


def test_a_network_camera(logged: io.StringIO, capfd: pytest.CaptureFixture[str]) -> None:
    with mjpeg_camera() as server:
        config = TypeAdapter[Any](CameraConfig).validate_python(
            {"kind": "pyav", "url": with_password(server.url), "options": {"user_agent": SEEN}}
        )
        require(config)
        with closing(camera_from_config(config)) as camera:
            camera.open()
            frame = camera.read(5.0)
            assert frame is not None
            assert frame.source == server.url
            described = str(camera.describe())  # type: ignore[attr-defined] # of a live camera
            server.ending.set()
            with pytest.raises(CameraError) as ended:
                read_to_the_end(camera)
    with closing(camera_from_config(config)) as camera, pytest.raises(CameraError) as refused:
        camera.open()
    shown = [repr(config), str(config), config.model_dump_json(), described, logged.getvalue()]
    shown += ["".join(traceback.format_exception(one.value)) for one in (ended, refused)]
    shown += capfd.readouterr()
    assert SEEN not in "\n".join(shown)


def test_a_webhook(logged: io.StringIO, make_record: Callable[[int], InspectionRecord]) -> None:
    port = free_port()
    url = with_password(f"http://127.0.0.1:{port}/verdicts?token={SEEN}")
    config = TypeAdapter[Any](OutputConfig).validate_python(
        {"kind": "webhook", "url": url, "timeout_ms": 2000}
    )
    with closing(output_from_config(config)) as output, closing(Receiver(port)) as receiver:
        output.open()
        output.send(make_record(1))
        headers, _ = receiver.requests[0]
        assert headers["Authorization"].startswith("Basic ")
    with closing(output_from_config(config)) as output:
        output.open()
        with pytest.raises(LineError) as lost:
            output.send(make_record(2))
    assert "HTTP Request: POST http://127.0.0.1" in logged.getvalue()  # httpx logs addresses
    shown = [repr(config), str(config), config.model_dump_json(), config.outbox]
    shown += [logged.getvalue(), "".join(traceback.format_exception(lost.value))]
    assert SEEN not in "\n".join(shown)
    assert config.outbox == f"webhook http://127.0.0.1:{port}/verdicts?token=***"


@pytest.mark.parametrize(
    ("section", "what"),
    [
        ({"camera": {"kind": "pyav", "url": "rtsp://u:hun/ter@h"}}, "has an @ behind the host"),
        ({"camera": {"kind": "pyav", "url": "hunter@h"}}, "should be an address like"),
        ({"camera": {"kind": "opencv", "device": "rtsp://u:hunter@h"}}, "pyav"),
        ({"outputs": [{"kind": "webhook", "url": "https://u:hun?ter@h"}]}, "has an @ behind"),
        ({"outputs": [{"kind": "webhook", "url": "ftp://u:hunter@h"}]}, "http:// or https://"),
        (
            {"outputs": [{"kind": "mqtt", "host": "mqtt://u:hunter@h", "client_id": "a"}]},
            "a host name or an address alone",
        ),
        (
            {"outputs": [{"kind": "modbus", "host": "u:hunter@h"}]},
            "a host name or an address alone",
        ),
        (
            {"outputs": [{"kind": "opcua", "host": "opc.tcp://u:hunter@h"}]},
            "a host name or an address alone",
        ),
        (
            {"outputs": [{"kind": "mqtt", "host": "h", "username": "u", "password": "hunter"}]},
            "should name the place of the secret",
        ),
        (
            {"outputs": [{"kind": "webhook", "url": "http://h", "secret": "hunter"}]},
            "should name the place of the secret",
        ),
    ],
)
def test_refused_without_a_quote(section: dict[str, Any], what: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationError) as caught:
        Line.model_validate(section)
    shown = "".join(traceback.format_exception(caught.value))
    assert what in shown
    assert "hunter" not in shown


def test_a_pipeline() -> None:
    pipeline = "rtspsrc location=rtsp://u:hunter@h/x user-pw=hunter ! decodebin ! videoconvert"
    config = Line.model_validate({"camera": {"kind": "gstreamer", "pipeline": pipeline}})
    assert "hunter" not in repr(config) + config.model_dump_json()
