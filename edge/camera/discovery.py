"""Which cameras are there: each family's driver tells it with its function `discover`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import NamedTuple

from edge.camera.faults import CameraNotFoundError

FAMILIES = ("opencv", "gstreamer", "pylon", "aravis", "harvesters")
"""The kinds of `edge.camera.CAMERAS` that can look for cameras; an address must be known."""


class Found(NamedTuple):
    """A camera that can be opened.

    Attributes:
        kind: of its driver.
        identity: what the configuration names it by.
        names: further names that it answers to: serial number, address.
        model: for people.
        setting: line for the configuration that takes this camera.
    """

    kind: str
    identity: str
    names: tuple[str, ...]
    model: str
    setting: str


def discover(kind: str) -> list[Found]:
    """The cameras of one family.

    Raises:
        CameraError: the family's package is not installed, or looking failed.
    """
    found: list[Found] = import_module(f"edge.camera.{kind}").discover()
    return found


def only_one(kind: str, found: Sequence[Found], wanted: str | None) -> int:
    """Index of the camera called `wanted`, or of the only one when that is None.

    Raises:
        CameraNotFoundError: none, or more than one; the message names those there are.
    """
    fitting = [
        index
        for index, camera in enumerate(found)
        if wanted is None or wanted in (camera.identity, *camera.names)
    ]
    if len(fitting) == 1:
        return fitting[0]
    there = ", ".join(f"{camera.identity} ({camera.model})" for camera in found) or "none"
    if not fitting:
        raise CameraNotFoundError(
            f"camera {kind!r}: {wanted or 'no camera'} was not found; there: {there}. "
            "Check power, cable and, for GigE, that camera and computer share a subnet"
        )
    raise CameraNotFoundError(
        f"camera {kind!r}: {len(fitting)} cameras fit; name one in the configuration: {there}"
    )
