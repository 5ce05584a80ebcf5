"""Whole frames for collecting images: pixel for pixel, in pieces of one part."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edge.part.frame import Frame
from edge.part.result import Settled
from edge.station.newest_part import NewestPart
from edge.station.whole_frame import PIECE_BYTES, WholeFrame
from inspection.errors import LineError

MakeSettled = Callable[..., Settled]


def of_frame(settled: Settled, image: Any) -> Settled:
    frame = Frame(image, settled.trigger.triggered_ns, 1, "1.png")
    return replace(settled, views=(replace(settled.views[0], frame=frame),))


def test_the_pieces_are_the_frame_of_one_part(make_settled: MakeSettled) -> None:
    image = np.random.default_rng(0).integers(0, 255, (400, 500, 3), dtype=np.uint8)
    newest = NewestPart(None)
    whole = WholeFrame(newest)
    newest.names(of_frame(make_settled(1), image[:, ::-1]))  # a view of the camera's memory
    answer = whole.piece(None, None, 0)
    newest.names(make_settled(2))  # a part that comes in between
    content = base64.b64decode(answer["pixels"])
    while len(content) < np.prod(answer["shape"]):
        more = whole.piece("test-000001", answer["view"], len(content))
        content += base64.b64decode(more["pixels"])
    assert len(content) > 2 * PIECE_BYTES
    assert np.array_equal(np.frombuffer(content, np.uint8).reshape(400, 500, 3), image[:, ::-1])
    assert whole.piece(None, None, 0)["trigger_id"] == "test-000002"


def test_what_is_not_there_is_said(make_settled: MakeSettled) -> None:
    newest = NewestPart(None)
    whole = WholeFrame(newest)
    with pytest.raises(LineError, match="no part yet"):
        whole.piece(None, None, 0)
    newest.names(make_settled(1))
    with pytest.raises(LineError, match="no view 'top': known are main"):
        whole.piece(None, "top", 0)
    whole.piece(None, "main", 0)
    newest.names(make_settled(2, with_frame=False))
    with pytest.raises(LineError, match="gave no frame of test-000002"):
        whole.piece(None, None, 0)
    with pytest.raises(LineError, match="test-000001 is no longer there"):
        whole.piece("test-000001", None, 0)
