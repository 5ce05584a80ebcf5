"""What the drivers of GenICam cameras share: Basler pylon, Aravis and harvesters."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Mapping

from edge.camera.acquired import Acquisition
from edge.camera.faults import CameraLostError, CameraNotFoundError
from edge.camera.genicam import Features, GenicamSettings, apply, readable, words_of
from edge.part.frame import Frame
from inspection.errors import CameraError

_log = logging.getLogger(__name__)


class GenicamCamera(ABC):
    """A `LiveCamera` with a feature tree and numbered buffers.

    With a trigger every frame comes, in order, and those that the camera counted and that are
    missing come as errors. Running free, only the newest frame is kept.

    Args:
        name: until `_connect` knows better; for the errors, and `Frame.source`.
        sdk_errors: what the SDK raises.
        stale_ms: a frame that lags more behind the least delayed one is refused; None takes it.
    """

    waits = False

    def __init__(
        self,
        name: str,
        sdk_errors: tuple[type[Exception], ...],
        settings: GenicamSettings | None,
        stale_ms: float | None,
    ) -> None:
        self._name = name
        self._sdk_errors = sdk_errors
        self._settings = settings or GenicamSettings()
        self._stale_ms = stale_ms
        self._features: Features | None = None
        self._acquisition: Acquisition | None = None

    @property
    def runs_free(self) -> bool:
        """See `LiveCamera.runs_free`."""
        return self._acquisition is not None and not self._acquisition.in_order

    def open(self) -> None:
        """Find, set and start the camera; see `Camera.open`."""
        self.close()
        try:
            self._features = self._connect()
            apply(self._features, self._settings, self._name)
            acquisition = Acquisition(self._name, self._features, self._stale_ms)
            self._start(acquisition)
        except self._sdk_errors as error:
            self.close()
            raise CameraNotFoundError(
                f"{self._name}: cannot be opened ({words_of(error)}); another program may hold it, "
                "or one that crashed did: then it is free after its heartbeat, about 3 s"
            ) from error
        except CameraError:
            self.close()
            raise
        self._acquisition = acquisition

    def read(self, timeout_s: float) -> Frame | None:
        """The next frame with a trigger, else the newest; see `Camera.read`."""
        if self._acquisition is None:
            raise CameraError(f"{self._name}: the camera is not open")
        if (waiting := self._acquisition.take()) is not None:
            return waiting
        try:
            self._fetch(timeout_s, self._acquisition)
        except self._sdk_errors as error:
            raise self._lost(error) from error
        return self._acquisition.take()

    def trigger(self) -> None:
        """Execute TriggerSoftware; see `SoftwareTriggered.trigger`."""
        self._features_open().execute("TriggerSoftware")

    def describe(self) -> Mapping[str, object]:
        """The camera's features by their SFNC names."""
        return readable(self._features_open())

    def close(self) -> None:
        """See `Camera.close`; without a time limit of its own."""
        try:
            self._disconnect()
        except self._sdk_errors as error:
            _log.warning("%s: cannot be closed in order (%s)", self._name, words_of(error))
        self._features = self._acquisition = None

    @abstractmethod
    def _connect(self) -> Features:
        """Find and open the camera, which tells its `_name`."""

    @abstractmethod
    def _start(self, acquisition: Acquisition) -> None:
        """Begin to grab; the features are set."""

    @abstractmethod
    def _fetch(self, timeout_s: float, acquisition: Acquisition) -> None:
        """Put at least one buffer, if one comes in time."""

    @abstractmethod
    def _disconnect(self) -> None:
        """Release what `_connect` and `_start` took, as far as they came."""

    def _features_open(self) -> Features:
        if self._features is None:
            raise CameraError(f"{self._name}: the camera is not open")
        return self._features

    def _lost(self, error: Exception) -> CameraLostError:
        return CameraLostError(f"{self._name}: lost ({words_of(error)}); open it again")
