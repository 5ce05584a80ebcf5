"""The newest part as pictures: encoded when somebody asks, at most some times a second."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edge.part.result import Settled
from edge.station.newest_part import NewestPart
from inspection.images.reading import decode_image

MakeSettled = Callable[..., Settled]


class Shelf:
    """An archive that keeps the trigger ids."""

    def __init__(self) -> None:
        self.saved: list[str] = []

    def names(self, settled: Settled) -> tuple[str, ...]:
        return (f"{settled.trigger.trigger_id}.frame.png",)

    def save(self, settled: Settled) -> None:
        self.saved.append(settled.trigger.trigger_id)


def decoded(picture: dict[str, Any], kind: str) -> Any:
    return decode_image(base64.b64decode(picture[kind]), kind)


def test_before_the_first_part_there_is_none() -> None:
    assert NewestPart(None).picture() == {"trigger_id": None}


def test_a_part_has_frame_heat_map_and_mask(make_settled: MakeSettled) -> None:
    newest = NewestPart(None)
    settled = make_settled(1)
    assert newest.names(settled) == ()
    picture = newest.picture()
    assert picture["trigger_id"] == "test-000001"
    assert picture["region"] == [0.0, 0.0, 1.0, 1.0]
    assert settled.views[0].frame is not None
    frame = decoded(picture, "frame").astype(int)
    assert frame.shape[:2] == (64, 64)
    heat = decoded(picture, "heat")
    assert heat.max() == 255  # 3.25, above twice the threshold 1.5 of a pixel
    assert heat.min() == 0
    assert (decoded(picture, "mask") > 0).sum() == 4


def test_a_colour_means_the_same_in_every_picture(make_settled: MakeSettled) -> None:
    now = [0.0]
    newest = NewestPart(None, lambda: now[0])
    newest.names(make_settled(1))
    newest.picture()
    louder = make_settled(2)
    assert louder.inspection.anomaly_map is not None
    louder.inspection.anomaly_map[:] = 1.5
    newest.names(louder)
    now[0] = 1.0
    assert np.unique(decoded(newest.picture(), "heat")).tolist() == [127]


def test_the_archive_keeps_what_it_kept(make_settled: MakeSettled) -> None:
    shelf = Shelf()
    newest = NewestPart(shelf)
    settled = make_settled(1)
    assert newest.names(settled) == ("test-000001.frame.png",)
    newest.save(settled)
    assert shelf.saved == ["test-000001"]


def test_a_curious_peer_costs_five_pictures_a_second(
    make_settled: MakeSettled, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    newest = NewestPart(None, lambda: now[0])
    seen = []
    for number in range(1, 41):
        newest.names(make_settled(number))
        now[0] += 0.025
        seen.append(newest.picture()["trigger_id"])
    assert len(set(seen)) == 5


def test_a_part_without_a_frame_has_no_picture(make_settled: MakeSettled) -> None:
    newest = NewestPart(None)
    newest.names(make_settled(1, with_frame=False))
    picture = newest.picture()
    assert (picture["frame"], picture["heat"], picture["mask"]) == (None, None, None)
