"""A camera that follows a script in its configuration, as the `module` of an `IsolatedCamera`."""

from __future__ import annotations

import ctypes
import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge.camera import child
from edge.camera.faults import NAMES, CameraLostError
from edge.part.frame import Frame

FOREVER_S = 1000


class _OtherKindError(CameraLostError):
    pass


def picture(number: int, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """Returns the image of frame `number`."""
    return np.random.default_rng(number).integers(0, 256, shape, dtype=np.uint8)


def _hang() -> None:
    time.sleep(FOREVER_S)


def _hang_with_the_gil() -> None:
    ctypes.PyDLL(None).sleep(FOREVER_S)


def _fail() -> None:
    raise ConnectionError("a mistake in the driver")


def _lose() -> None:
    raise _OtherKindError("pulled out")


_DOES: dict[str, Callable[[], object]] = {
    "hang": _hang,
    "hang with the GIL": _hang_with_the_gil,
    "exit": lambda: os._exit(3),
    "crash": os.abort,
    "fail": _fail,
    "lose": _lose,
    "be slow": lambda: time.sleep(0.5),
}


class ScriptedCamera:
    """Gives the frames of `picture`, one for each read.

    Args:
        shape: shape of the frames.
        shapes: number of a frame -> shape of this frame and the following ones.
        reads: number of a frame -> name of an error, "nothing", "trigger"
            (waits for one), or a key of `_DOES`; "all" for all frames.
        on: "open", "close" or "trigger" -> a key of `_DOES`.
        closed: file that `close` makes.
    """

    waits = False

    def __init__(
        self,
        *,
        shape: tuple[int, ...] = (12, 16),
        shapes: Mapping[str, tuple[int, ...]] | None = None,
        reads: Mapping[str, str] | None = None,
        on: Mapping[str, str] | None = None,
        runs_free: bool = True,
        closed: str = "",
    ) -> None:
        self._shape = tuple(shape)
        self._shapes = shapes or {}
        self._reads = reads or {}
        self._on = on or {}
        self._closed = closed
        self._number = -1
        self._sequence = 0
        self._triggered = threading.Event()
        self.runs_free = runs_free

    def open(self) -> None:
        print("words of an SDK", flush=True)
        self._do("open")

    def read(self, timeout_s: float) -> Frame | None:
        self._number += 1
        key = str(self._number)
        action = self._reads.get(key, self._reads.get("all", ""))
        if action == "trigger":
            self._triggered.wait()
            action = ""
        if action == "nothing":
            time.sleep(timeout_s)
            return None
        if action in NAMES:
            raise NAMES[action](f"frame {key} is bad")
        if action:
            _DOES[action]()
        self._shape = tuple(self._shapes.get(key, self._shape))
        self._sequence += 1
        image = picture(self._number, self._shape)
        return Frame(image, time.monotonic_ns(), self._sequence - 1, f"scripted {key}")

    def trigger(self) -> None:
        self._do("trigger")
        self._reads = {}
        self._triggered.set()

    def describe(self) -> Mapping[str, object]:
        return {"pid": os.getpid(), "Width": self._shape[1]}

    def close(self) -> None:
        self._do("close")
        if self._closed:
            Path(self._closed).touch()

    def _do(self, call: str) -> None:
        if call in self._on:
            _DOES[self._on[call]]()


def build(config: str) -> ScriptedCamera:
    return ScriptedCamera(**json.loads(config))


if __name__ == "__main__":
    child.main(build)
