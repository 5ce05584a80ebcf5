"""The commands that a running line takes at its control socket.

::

    {"command": "trigger", "part_id": "A-17"}      {"ok": true, "trigger_id": "3f9a2c1d-000017"}
    {"command": "state"}                           {"ok": true, "state": "ready", "faults": [], ...}
    {"command": "recipe", "number": 2}             {"ok": true, "active": 1, "loading": 2, ...}
    {"command": "recipe"}                          {"ok": true, "active": 2, "loading": null, ...}
    {"command": "recipe", "again": true}           {"ok": true, "active": 2, "loading": 2, ...}
    {"command": "check"}                           {"ok": true, "check": {"due": "...", ...}}
    {"command": "picture"}                         {"ok": true, "trigger_id": "...", ...}
    {"command": "label", "trigger_id": "3f9a2c1d-000017", "label": "good", "author": "ann"}
    {"command": "withdraw", "trigger_id": "3f9a2c1d-000017", "author": "ann", "by": "bob",
     "label": "good"}
    {"command": "frame"}                           {"ok": true, "trigger_id": "...", ...}
    {"command": "signals"}                         {"ok": true, "signals": {"modbus": [...]}}
    {"command": "stop"}                            {"ok": true}

The answer to "state" also holds `edge.station.status.StationStatus`, and the answer to "recipe" the
state of the changeover (`edge.recipe.changeover.RecipeStatus`): the requested recipe takes over
when it is loaded. The answer to "picture" is `edge.station.newest_part.NewestPart.picture`, to
"frame" `edge.station.whole_frame.WholeFrame.piece`, and to "signals"
`edge.station.signals.signal_values`. "label" and "withdraw" answer when the record is on the disk,
see `edge.store.labelling`.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Annotated, Any

from pydantic import Field

from edge.peers.messages import Message, MessageError, Name, Text
from edge.pipeline.pipeline import Pipeline
from edge.recipe.changeover import Changeover
from edge.recipe.request.base import RequestedNumber
from edge.station.control import Command
from edge.station.newest_part import NewestPart
from edge.station.whole_frame import WholeFrame
from edge.store.labelling import Labelling
from edge.trigger.base import part_id_from_text


class NoArguments(Message):
    """A request that is its command alone."""


class TriggerMessage(Message):
    """Announces a part.

    Attributes:
        part_id: name of the part on the line; it is cut as every part id.
    """

    part_id: Text | None = None


class RecipeMessage(Message):
    """Requests a recipe, or asks for the one in force.

    Attributes:
        number: None asks.
        again: reads the recipe in force again, with a newer calibration; for lines without numbered
            recipes too.
    """

    number: RequestedNumber | None = None
    again: bool = False


class LabelMessage(Message):
    """Labels a part.

    Attributes:
        frame: image of the record that `mask` was painted over.
        mask: PNG in base64; see `edge.store.painted`.
    """

    trigger_id: Name
    label: Name
    author: Name
    note: Annotated[str, Field(max_length=500)] = ""
    frame: Annotated[str, Field(max_length=300)] | None = None
    mask: str | None = None


class WithdrawMessage(Message):
    """Takes back the newest label of a person.

    Attributes:
        by: who does.
        label: the one that is meant: refused where the newest is another. None takes any.
    """

    trigger_id: Name
    author: Name
    by: Name
    label: Name | None = None


class FrameMessage(Message):
    """Asks for a piece of a whole frame; see `WholeFrame.piece`."""

    trigger_id: Text | None = None
    view: Text | None = None
    offset: Annotated[int, Field(ge=0)] = 0


def station_commands(
    pipeline: Pipeline,
    changeover: Changeover,
    state: Callable[[], Mapping[str, Any]],
    *,
    newest: NewestPart,
    labelling: Labelling,
    signals: Callable[[], Mapping[str, Any]],
) -> dict[str, Command[Any]]:
    """Returns the commands of a line, by name."""
    return {
        **_commands_of_the_line(pipeline, changeover, state, signals),
        **_commands_of_parts(newest, labelling),
    }


def _commands_of_the_line(
    pipeline: Pipeline,
    changeover: Changeover,
    state: Callable[[], Mapping[str, Any]],
    signals: Callable[[], Mapping[str, Any]],
) -> dict[str, Command[Any]]:
    def trigger(request: TriggerMessage) -> Mapping[str, Any]:
        part_id = part_id_from_text(request.part_id or "")
        return {"trigger_id": pipeline.fire(part_id), "part_id": part_id}

    def tell_state(_request: NoArguments) -> Mapping[str, Any]:
        return state()

    def recipe(request: RecipeMessage) -> Mapping[str, Any]:
        if request.number is not None:
            changeover.request(request.number)
        elif request.again:
            changeover.read_again()
        return {**asdict(changeover.status), "numbers": changeover.numbers}

    def check(_request: NoArguments) -> Mapping[str, Any]:
        return {"check": asdict(changeover.begin_check())}

    def tell_signals(_request: NoArguments) -> Mapping[str, Any]:
        return {"signals": signals()}

    def stop(_request: NoArguments) -> Mapping[str, Any]:
        pipeline.stop()
        return {}

    return {
        "trigger": Command(TriggerMessage, trigger),
        "state": Command(NoArguments, tell_state),
        "recipe": Command(RecipeMessage, recipe),
        "check": Command(NoArguments, check),
        "signals": Command(NoArguments, tell_signals),
        "stop": Command(NoArguments, stop),
    }


def _commands_of_parts(newest: NewestPart, labelling: Labelling) -> dict[str, Command[Any]]:
    whole_frame = WholeFrame(newest)

    def picture(_request: NoArguments) -> Mapping[str, Any]:
        return newest.picture()

    def frame(request: FrameMessage) -> Mapping[str, Any]:
        return whole_frame.piece(request.trigger_id, request.view, request.offset)

    def label(request: LabelMessage) -> Mapping[str, Any]:
        labelling.label(
            request.trigger_id,
            request.label,
            author=request.author,
            note=request.note,
            frame=request.frame,
            mask=None if request.mask is None else _decoded(request.mask),
        )
        return {}

    def withdraw(request: WithdrawMessage) -> Mapping[str, Any]:
        labelling.withdraw(request.trigger_id, request.author, by=request.by, label=request.label)
        return {}

    return {
        "picture": Command(NoArguments, picture),
        "frame": Command(FrameMessage, frame),
        "label": Command(LabelMessage, label),
        "withdraw": Command(WithdrawMessage, withdraw),
    }


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise MessageError("'mask': it is not base64") from error
