"""What brings the parts of a simulated line: recordings, a network camera, a conveyor."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from edge.camera import CameraConfig, PyAvConfig, ReplayConfig
from edge.camera.replay import ReplayCamera
from edge.encoder import EncoderConfig
from edge.part.frame import Frame
from edge.sim.camera import MjpegCamera, jpegs
from edge.sim.parts import drawn_part, empty_belt, write_frames
from edge.sim.pins import Conveyor
from edge.sim.plant import Plant
from edge.station.config import LineConfig
from edge.trigger.encoder import EncoderTriggerConfig
from edge.trigger.presence import PresenceTriggerConfig
from inspection.config.secret import SecretUrl

_DEFECTIVE = (3, 6)  # places of the defective parts in each `_CYCLE` parts
_CYCLE = 8
_PRESENCE_HZ, _PRESENCE_FRAMES = 20.0, 5  # frames with a part, and as many without
_LOOK_S = 0.02  # between two looks whether the line is READY
_LEAD_NS = 100_000_000  # until then every view has seen that the recordings begin
_LIVE_HZ = 5.0  # of the network camera


class SimulatedEncoderConfig(EncoderConfig):
    """A conveyor with constant speed in place of an encoder."""

    conveyor: Any

    def driver(self) -> Any:
        """Implements `EncoderConfig.driver`."""
        return self.conveyor


class CommonStart:
    """The moment at which the recordings of all views begin, as one light barrier triggers them.

    Args:
        is_ready: whether the line is READY, for which a PLC holds back the first part.
    """

    def __init__(self, is_ready: Callable[[], bool]) -> None:
        self._is_ready = is_ready
        self._lock = threading.Lock()
        self._at_ns: int | None = None

    def at_ns(self) -> int | None:
        """Returns the moment on the monotonic clock; None before the line is READY."""
        with self._lock:
            if self._at_ns is None and self._is_ready():
                self._at_ns = time.monotonic_ns() + _LEAD_NS
            return self._at_ns


class WaitingReplayConfig(ReplayConfig):
    """A recording that begins with those of the other views, when the line is READY."""

    start: Any

    def driver(self) -> ReplayCamera:
        """Implements `ReplayConfig.driver`."""
        return _WaitingReplay(self, self.start)


class _WaitingReplay(ReplayCamera):
    def __init__(self, config: ReplayConfig, start: CommonStart) -> None:
        super().__init__(config)
        self._start = start
        self._has_begun = False

    def read(self, timeout_s: float) -> Frame | None:
        if not self._has_begun:
            start_ns = self._start.at_ns()
            if start_ns is None:
                time.sleep(min(timeout_s, _LOOK_S))
                return None
            self._has_begun = True
            self.open()
            self._opened_ns = max(start_ns, self._opened_ns)  # now, in a camera that comes later
        return super().read(timeout_s)


def cameras_of(plant: Plant, parts: int | None) -> dict[str, Any]:
    """Returns the changes of a line that give it drawn parts; `parts` None repeats them."""
    config, start = plant.config, CommonStart(plant.is_ready)
    if config.camera is not None:
        return {"camera": _camera("camera", config.camera, plant, parts, start)}
    return {
        "views": {
            name: view.model_copy(
                update={"camera": _camera(name, view.camera, plant, parts, start)}
            )
            for name, view in config.views.items()
        }
    }


def _camera(
    name: str, config: CameraConfig, plant: Plant, parts: int | None, start: CommonStart
) -> CameraConfig:
    if isinstance(config, PyAvConfig):
        frames = [drawn_part(n, is_defective=n in _DEFECTIVE) for n in range(_CYCLE)]
        camera = MjpegCamera(jpegs(frames), rate_hz=_LIVE_HZ)
        plant.add(camera)
        plant.notes.append(f"{name}: {config.url} -> {camera.url}")
        return config.model_copy(update={"url": SecretUrl(camera.url)})
    folder = plant.folder / name
    is_presence = isinstance(plant.config.trigger, PresenceTriggerConfig)
    write_frames(folder, _belt(plant, parts) if is_presence else _parts(plant.config, parts))
    plant.notes.append(f"{name}: {config.kind} -> drawn parts in {folder}")
    rate_hz = _PRESENCE_HZ if is_presence else 1 / plant.period_s
    is_free = plant.config.trigger.kind in ("camera", "presence")
    return WaitingReplayConfig(
        kind="replay",
        path=folder,
        loop=parts is None,
        rate_hz=rate_hz if is_free else None,
        start=start,
    )


def _parts(config: LineConfig, parts: int | None) -> list[tuple[str, Any]]:
    """Returns drawn parts with their names; the reference parts of a check come first."""
    checks = config.checks.parts if config.checks is not None else ()
    is_defective = [part.expect != "PASS" for part in checks]
    count = _CYCLE if parts is None else parts
    is_defective += [place % _CYCLE in _DEFECTIVE for place in range(max(0, count - len(checks)))]
    return [
        ("crack" if bad else "good", drawn_part(number, is_defective=bad))
        for number, bad in enumerate(is_defective)
    ]


def _belt(plant: Plant, parts: int | None) -> list[tuple[str, Any]]:
    """Returns the frames of a running belt: empty at the start, then a part and a gap in turn."""
    trigger = plant.config.trigger
    learnt = trigger.learn_frames if isinstance(trigger, PresenceTriggerConfig) else 0
    frames = [("empty", empty_belt(number)) for number in range(learnt + 2)]
    for name, part in _parts(plant.config, parts):
        frames += [(name, part)] * _PRESENCE_FRAMES
        frames += [("empty", empty_belt(number)) for number in range(_PRESENCE_FRAMES)]
    return frames


def encoder_of(config: EncoderConfig, plant: Plant) -> EncoderConfig:
    """Returns the configuration of a conveyor in place of an encoder."""
    trigger = plant.config.trigger
    counts = trigger.counts if isinstance(trigger, EncoderTriggerConfig) else 1000
    conveyor = Conveyor(counts / plant.period_s)
    plant.notes.append(f"encoder {config.line} -> a conveyor with constant speed")
    plant.add(conveyor)
    return SimulatedEncoderConfig(chip=config.chip, line=config.line, conveyor=conveyor)
