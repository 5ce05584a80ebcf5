"""The command `linewarden` with faults on request, for machines that a test breaks.

The file `fault` in the state directory has the fault of the next call of a stage, such as "engine
raise" or "camera hang"; a third word repeats it at every call. The file `frames` beside it has a
line for each frame that the camera gave, to count the parts.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import edge.recipe.loaded
import edge.service.run
import inspection.inspector
import inspection.layout.preparer
from edge.camera.replay import ReplayCamera
from edge.line.jsonlines import JsonLines
from edge.line.plc import PlcOutput
from edge.part.frame import Frame
from edge.store.images import ImageArchive
from inspection.engine.onnxruntime import OnnxRuntimeEngine
from linewarden import command_line

STATE = Path("/var/lib/linewarden")


def _raise() -> None:
    raise ZeroDivisionError("a defect of the program")


def _spin() -> None:
    while True:
        pass


def _hold_the_interpreter() -> None:
    ctypes.PyDLL(None).sleep(3600)


ACTIONS: dict[str, Callable[[], None]] = {
    "raise": _raise,
    "spin": _spin,
    "hold": _hold_the_interpreter,
    "hang": lambda: time.sleep(3600),
    "slow": lambda: time.sleep(20),
    "nap": lambda: time.sleep(0.4),
}
STAGES: dict[str, tuple[Any, str]] = {
    "start": (edge.recipe.loaded, "open_chosen"),
    "camera": (ReplayCamera, "read"),
    "preprocess": (inspection.layout.preparer, "model_input"),
    "engine": (OnnxRuntimeEngine, "infer"),
    "decide": (inspection.inspector, "decide"),
    "output": (JsonLines, "send"),
    "plc": (PlcOutput, "send"),
    "record": (edge.service.run, "log_no_verdict"),
    "archive": (ImageArchive, "save"),
}


def strike(stage: str) -> None:
    """Makes the fault in the file, if the file names this stage."""
    try:
        wanted, action, *always = (STATE / "fault").read_text().split()
    except (OSError, ValueError):
        return
    if wanted != stage:
        return
    if not always:
        (STATE / "fault").unlink()
    (STATE / "struck").write_text(repr(time.time()))
    ACTIONS[action]()


def _break(stage: str, owner: Any, name: str) -> None:
    genuine = getattr(owner, name)

    def broken(*args: Any, **settings: Any) -> Any:
        strike(stage)
        result = genuine(*args, **settings)
        if isinstance(result, Frame):
            _note(result)
        return result

    setattr(owner, name, broken)


def _note(frame: Frame) -> None:
    with (STATE / "frames").open("a") as stream:
        stream.write(f"{frame.source}\n")


def main() -> int:
    """Runs the command."""
    for stage, (owner, name) in STAGES.items():
        _break(stage, owner, name)
    return command_line.main()
