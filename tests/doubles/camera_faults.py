"""Cameras that fail while a line runs, and the time until the line recovers."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from edge.camera import CameraConfig, PyAvConfig, PylonConfig
from inspection.verdict import Cause
from tests.doubles.camera_line import Account, CameraLine
from tests.doubles.cameras import (
    SMALL,
    FakeGige,
    PictureGige,
    fake_gige,
    require,
    rtsp_server,
)
from tests.doubles.mjpeg import SIZE, MjpegCamera, mjpeg_camera

Faults = dict[str, tuple[Callable[[], object], Callable[[], object] | None]]
HUNG_S = 2.0
LIMITS = {"hung_limit_s": HUNG_S, "silent_limit_s": 1.0}
_GENICAM_FRAME = (SMALL.height or 0, SMALL.width or 0)


@dataclass
class Source:
    """A camera on this computer.

    Attributes:
        frame: height and width.
        faults: name -> the functions that begin and end the fault.
    """

    config: CameraConfig
    frame: tuple[int, int]
    channels: int = 1
    module: str | None = None
    faults: Faults = field(default_factory=dict)


@contextmanager
def pylon() -> Iterator[Source]:
    config = PylonConfig(kind="pylon", settings=SMALL, **LIMITS)
    require(config)
    yield Source(config, _GENICAM_FRAME, module="tests.doubles.breakable_camera")


@contextmanager
def gige() -> Iterator[Source]:
    """Opens a GigE camera that streams the pictures of `picture_gige`."""
    with fake_gige(kind=PictureGige) as camera:
        yield _gige_source(camera)


def lossy_gige(lost_per_1000: int) -> AbstractContextManager[Source]:
    """Opens a GigE camera that loses some of 1000 packets of its test picture."""

    @contextmanager
    def opened() -> Iterator[Source]:
        with fake_gige("-r", str(lost_per_1000)) as camera:
            yield _gige_source(camera)

    return opened()


def _gige_source(camera: FakeGige) -> Source:
    # Aravis takes about 4 s to notice a silent camera; a shorter time must not count as hung.
    limits = LIMITS | {"hung_limit_s": 5.0}
    config = camera.config(frame_rate_hz=100.0).model_copy(update=limits)
    return Source(
        config,
        _GENICAM_FRAME,
        faults={
            "camera killed": (lambda: _kill_and_wait(camera), camera.start),
            "camera hung": (
                lambda: camera.process.send_signal(signal.SIGSTOP),
                lambda: camera.process.send_signal(signal.SIGCONT),
            ),
        },
    )


def _kill_and_wait(camera: FakeGige) -> None:
    camera.process.kill()
    camera.process.wait()


@contextmanager
def rtsp() -> Iterator[Source]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    servers = [rtsp_server(port)]
    url, process = servers[0].__enter__()
    running = [process]

    def kill() -> None:
        running[0].kill()
        running[0].wait()

    def start() -> None:
        servers.append(rtsp_server(port))
        running[0] = servers[-1].__enter__()[1]

    config = PyAvConfig(
        kind="pyav", url=url, colour="grey", silent_limit_s=1.0, hung_limit_s=HUNG_S
    )
    require(config)
    hang = lambda: running[0].send_signal(signal.SIGSTOP)  # noqa: E731
    go_on = lambda: running[0].send_signal(signal.SIGCONT)  # noqa: E731
    faults: Faults = {"server killed": (kill, start), "server hung": (hang, go_on)}
    try:
        yield Source(config, (120, 160), faults=faults)
    finally:
        for server in servers:
            server.__exit__(None, None, None)


@contextmanager
def mjpeg() -> Iterator[Source]:
    with mjpeg_camera() as server:
        config = PyAvConfig(
            kind="pyav", url=server.url, colour="grey", silent_limit_s=1.0, hung_limit_s=HUNG_S
        )
        require(config)
        yield Source(config, SIZE[::-1], faults=_mjpeg_faults(server))


def _mjpeg_faults(
    server: MjpegCamera,
) -> Faults:
    def half(every: int) -> Callable[[], object]:
        return lambda: setattr(server, "half_every", every)

    return {
        "bad frames": (half(2), half(0)),
        "server ends": (server.ending.set, server.ending.clear),
        "server hung": (server.hang, server.wake),
    }


SOURCES: dict[str, Callable[[], AbstractContextManager[Source]]] = {
    "pylon": pylon,
    "gige": gige,
    "rtsp": rtsp,
    "mjpeg": mjpeg,
}
FAULTS = {
    "pylon": ("bad frames", "SDK raises", "grabber killed", "grabber hung", "slow consumer"),
    "gige": ("camera killed", "camera hung", "grabber killed", "grabber hung"),
    "rtsp": ("server killed", "server hung", "grabber killed"),
    "mjpeg": ("bad frames", "server ends", "server hung", "grabber killed"),
}
CAUSES = {"bad frames": Cause.FRAME, "slow consumer": Cause.OVERTRIGGER}  # all others: camera

# Longest time from the fault, or from the end of a lasting fault, to the next verdict. A GigE
# camera stays with a killed program for its heartbeat of 3 s, and the line tries a lost camera
# again after pauses of up to 5 s.
BACK_WITHIN_S = 15.0


@dataclass(frozen=True)
class Outcome:
    """The reaction of a line to a fault.

    Attributes:
        noticed_s: time from the fault to the first NO_VERDICT with its cause.
        back_s: time from the fault, or from the end of a lasting fault, to the next verdict.
    """

    account: Account
    noticed_s: float
    back_s: float


def break_line(folder: Path, source: Source, fault: str) -> Outcome:
    """Runs a line, begins and ends the fault, and waits for verdicts."""
    line = CameraLine(
        folder,
        source.config,
        frame=source.frame,
        channels=source.channels,
        module=source.module,
    )
    cause = CAUSES.get(fault, Cause.CAMERA)
    begin, end = _of_the_line(line).get(fault) or source.faults[fault]
    with line.running():
        line.wait_for_parts(20)
        since, began_s = line.parts, time.monotonic()
        begin()
        line.wait_for_cause(cause, since)
        noticed_s = time.monotonic() - began_s
        ended_s = began_s
        if end is not None:
            end()
            ended_s = time.monotonic()
        back_s = line.verdict_after(since) - ended_s
    account = line.account()
    assert set(account.causes) <= {cause.value, "stopping"}, account.causes
    return Outcome(account, noticed_s, back_s)


def _of_the_line(
    line: CameraLine,
) -> Faults:
    def send(number: signal.Signals) -> Callable[[], object]:
        return lambda: os.kill(line.camera_process, number)

    def take(seconds: float) -> Callable[[], object]:
        return lambda: setattr(line, "infer_s", seconds)

    faults: Faults = {
        "grabber killed": (send(signal.SIGKILL), None),
        "grabber hung": (send(signal.SIGSTOP), None),
        "slow consumer": (take(0.2), take(0.0)),
    }
    if isinstance(line.camera_config, PylonConfig):
        faults["bad frames"] = (send(signal.SIGUSR1), None)
        faults["SDK raises"] = (send(signal.SIGUSR2), None)
    return faults
