"""Turns a native frame into the model's input: the only implementation, for training and line.

Training, export, calibration and the line all call `preprocess`, so that a model learns and runs
with the same resize. Different resizes flip verdicts in deployed systems (anomalib issues 3726,
2686, 2672): without antialiasing a line one pixel wide disappears at most positions.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from inspection.errors import FrameError
from inspection.images import Window

Pixel = TypeVar("Pixel", bound=np.generic)
Pixels = Annotated[int, Field(ge=1, le=65535)]


class Crop(BaseModel):
    """A rectangle in native pixels, cut out before the resize."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    top: Annotated[int, Field(ge=0)]
    left: Annotated[int, Field(ge=0)]
    height: Pixels
    width: Pixels

    def of(self, image: npt.NDArray[Pixel]) -> npt.NDArray[Pixel]:
        """Returns a view of the image (H, W, ...) inside the rectangle."""
        return image[self.top : self.top + self.height, self.left : self.left + self.width]


class Preprocessing(BaseModel):
    """The frames that a model was trained on, and their way to its input; part of the manifest.

    Attributes:
        frame_height: lowest and highest native height; other frames are refused.
        frame_width: lowest and highest native width.
        channels: 1 for grey frames (H, W), 3 for BGR frames (H, W, 3).
        window: conversion of the camera's 10 to 16 bits to the 8 of the frame; None for a camera
            of 8 bits.
        crop: inspected part of the frame; None takes the whole frame.
        resize: "area" averages every source pixel into the result along an axis that shrinks, and
            interpolates linearly along an axis that grows.
        height: height of the model's input.
        width: width of the model's input.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    frame_height: tuple[Pixels, Pixels]
    frame_width: tuple[Pixels, Pixels]
    channels: Literal[1, 3]
    window: Window | None = None
    crop: Crop | None = None
    resize: Literal["area"] = "area"
    height: Pixels
    width: Pixels

    @model_serializer(mode="wrap")
    def _without_empty(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leaves out a missing window, so that the seal of an older bundle stays valid."""
        content: dict[str, Any] = serialise(self)
        if self.window is None:
            del content["window"]
        return content


def preprocess(frame: npt.NDArray[np.uint8], to: Preprocessing) -> npt.NDArray[np.uint8]:
    """Turns a native frame into the model's input.

    Args:
        frame: uint8, (H, W) grey or (H, W, 3) BGR, as `to` says; stays unchanged.

    Returns:
        uint8 (height, width, 3) BGR, C-contiguous, owned by the caller.

    Raises:
        FrameError: the frame has another size, number of channels or depth. The function never
            stretches or converts a frame to fit.
    """
    check_frame(frame, to)
    return model_input(frame, to.crop, to)


def model_input(
    frame: npt.NDArray[np.uint8], crop: Crop | None, to: Preprocessing
) -> npt.NDArray[np.uint8]:
    """Does the work of `preprocess` on a checked frame, with a crop that may have moved."""
    shown = frame if crop is None else crop.of(frame)
    resized = _resize_antialiased(shown, to.height, to.width)
    if resized.ndim == 2:
        return np.asarray(cv2.cvtColor(resized, cv2.COLOR_GRAY2BGR), dtype=np.uint8)
    # A frame of the model's size was not resized, and its memory belongs to the camera.
    return np.array(resized, order="C") if resized is shown else resized


def check_frame(frame: npt.NDArray[np.uint8], against: Preprocessing) -> None:
    """Raises FrameError when `frame` is not like the frames that the model was trained on."""
    if frame.dtype != np.uint8:
        raise FrameError(f"the frame has {frame.dtype} pixels and the model takes uint8")
    channels = () if against.channels == 1 else (against.channels,)
    if frame.ndim < 2 or frame.shape[2:] != channels:
        raise FrameError(
            f"the frame has shape {frame.shape} and the model was trained on "
            f"{'grey (H, W)' if against.channels == 1 else 'BGR (H, W, 3)'} frames: "
            "check the camera's pixel format"
        )
    (low_h, high_h), (low_w, high_w) = against.frame_height, against.frame_width
    if not (low_h <= frame.shape[0] <= high_h and low_w <= frame.shape[1] <= high_w):
        raise FrameError(
            f"the frame is {frame.shape[0]}x{frame.shape[1]} (height x width) and the model was "
            f"trained on {_range(low_h, high_h)}x{_range(low_w, high_w)}: check the camera's "
            "region, or train with such frames"
        )


def _range(low: int, high: int) -> str:
    return str(low) if low == high else f"({low} to {high})"


def _resize_antialiased(
    frame: npt.NDArray[np.uint8], height: int, width: int
) -> npt.NDArray[np.uint8]:
    # cv2.INTER_AREA antialiases only when both axes shrink, and silently interpolates otherwise.
    # So the shrinking axes go first, by area, and the growing ones afterwards.
    shrunk = (min(height, frame.shape[0]), min(width, frame.shape[1]))
    if shrunk != frame.shape[:2]:
        frame = np.asarray(cv2.resize(frame, shrunk[::-1], interpolation=cv2.INTER_AREA), np.uint8)
    if shrunk != (height, width):
        size = (width, height)
        frame = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR), np.uint8)
    return frame
