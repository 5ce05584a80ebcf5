"""The base of all kinds of cameras: configuration, driver, discovery, loading of an SDK."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any, ClassVar, NamedTuple, get_args

from pydantic import Field, field_validator

from edge.camera.base import Camera, LiveCamera
from edge.camera.faults import CameraNotFoundError
from inspection.config.claims import Claimant
from inspection.config.plugins import require
from inspection.config.resources import Named
from inspection.errors import CameraError
from inspection.images import Window

Seconds = Annotated[float, Field(gt=0)]


class Found(NamedTuple):
    """A camera that can be opened.

    Attributes:
        kind: name of the kind, as in a configuration.
        identity: the name to put into a configuration.
        names: other names that find the camera: serial number, address.
        model: maker and model.
        setting: the line of a configuration that selects this camera.
    """

    kind: str
    identity: str
    names: tuple[str, ...]
    model: str
    setting: str


class KindConfig(Claimant, ABC):
    """The configuration of one kind of camera; the field `kind` has the kind's name.

    Reading a configuration loads no package of a camera's maker.

    Attributes:
        window: digital numbers of a camera with 10 to 16 bits that become 0 and 255, as
            {low: 400, high: 3200}; the same as in the training. None takes 8 bits only.
    """

    takes_window: ClassVar[bool] = True
    window: Window | None = None

    @field_validator("window")
    @classmethod
    def _fits_the_kind(cls, window: Window | None) -> Window | None:
        if window is not None and not cls.takes_window:
            raise ValueError("cameras of this kind give 8 bits, which take no window: leave it out")
        return window

    @classmethod
    def kind_name(cls) -> str:
        """Returns the name of the kind, as in a configuration."""
        name: str = get_args(cls.model_fields["kind"].annotation)[0]
        return name

    @classmethod
    def discover(cls) -> list[Found] | None:
        """Returns the cameras of this kind; None where only an address finds one.

        Raises:
            CameraError: the package of the kind is not installed, or the search failed.
        """
        return None

    @abstractmethod
    def driver(self) -> Camera:
        """Makes the camera in this process, without time limits and not yet open.

        Raises:
            CameraError: the package of the kind is not installed.
        """


class LiveConfig(KindConfig):
    """The settings of all live cameras.

    Attributes:
        open_limit_s: the longest time to open the camera.
        hung_limit_s: the longest time by which a call into the SDK may overrun; after that the line
            ends the camera's process.
        silent_limit_s: a camera that runs free is lost after this time without a usable frame; None
            waits. A triggered camera may be silent.
        stale_ms: the line refuses an older frame; None accepts any.
    """

    open_limit_s: Seconds = 10.0
    hung_limit_s: Seconds = 5.0
    silent_limit_s: Seconds | None = 5.0
    stale_ms: Annotated[float, Field(gt=0)] | None = 500.0

    @abstractmethod
    def driver(self) -> LiveCamera:
        """Narrows `KindConfig.driver`."""


def only_camera(family: str, name: str | None) -> Named:
    """Returns the claim to a camera, which the message does not name: an address holds a password.

    Args:
        family: kind of cameras whose names are unique.
        name: None takes the only camera of the family.
    """
    what = "the same camera" if name is not None else "the only camera"
    return Named(f"camera {family}", name, what, "give each view a camera of its own")


def only_one(kind: str, found: Sequence[Found], wanted: str | None) -> int:
    """Returns the index of the camera named `wanted`, or of the only camera when that is None.

    Raises:
        CameraNotFoundError: no camera fits, or several do; the message lists all cameras found.
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
        what = f"{wanted} was not found" if wanted else "no camera was found"
        raise CameraNotFoundError(
            f"camera {kind!r}: {what}; there: {there}. "
            "Check power and cable; for GigE, check that camera and computer are in one subnet"
        )
    raise CameraNotFoundError(
        f"camera {kind!r}: {len(fitting)} cameras fit; name one of them in the configuration: "
        f"{there}"
    )


def load_sdk(kind: str, module: str, install: str) -> Any:
    """Imports `module` for camera `kind`; `install` says how to install it.

    Raises:
        CameraError: the module is not installed, or a library that it needs cannot be loaded.
    """
    try:
        require(f"camera {kind!r}", module, install, CameraError)
    except ImportError as error:
        raise CameraError(f"camera {kind!r}: {module} cannot be loaded: {error}") from error
    return import_module(module)


def load_gi(kind: str, packages: str, **versions: str) -> tuple[Any, ...]:
    """Loads namespaces of GObject introspection, such as Aravis="0.8".

    Args:
        packages: the system packages with these namespaces.

    Raises:
        CameraError: a namespace is not installed.
    """
    install = (
        f"apt install {packages}; apt install python3-gi, and make the environment with "
        "--system-site-packages"
    )
    gi = load_sdk(kind, "gi", install)
    try:
        for name, version in versions.items():
            gi.require_version(name, version)
    except ValueError as error:
        raise CameraError(
            f"camera {kind!r} needs {name} {version} of GObject introspection, and it is not "
            f"installed: {install}"
        ) from error
    return tuple(load_sdk(kind, f"gi.repository.{name}", install) for name in versions)
