"""What every kind of camera offers: its configuration, its driver, and the cameras there are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any, NamedTuple, get_args

from pydantic import Field

from edge.camera.base import Camera, LiveCamera
from edge.camera.faults import CameraNotFoundError
from inspection.config.loading import StrictModel
from inspection.errors import CameraError

Seconds = Annotated[float, Field(gt=0)]


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


class KindConfig(StrictModel, ABC):
    """The configuration of one kind of camera; its field `kind` has the kind's name.

    A configuration is read where the camera's own packages are not installed.
    """

    @classmethod
    def kind_name(cls) -> str:
        """The name of the kind, as configurations have it."""
        name: str = get_args(cls.model_fields["kind"].annotation)[0]
        return name

    @classmethod
    def discover(cls) -> list[Found] | None:
        """The cameras of this kind; None where only their address finds them.

        Raises:
            CameraError: the kind's package is not installed, or looking failed.
        """
        return None

    @abstractmethod
    def driver(self) -> Camera:
        """The camera in this process, without time limits; not yet opened.

        Raises:
            CameraError: what the camera needs is not installed.
        """


class LiveConfig(KindConfig):
    """What all live cameras share.

    Attributes:
        open_limit_s: how long it may take to open the camera.
        hung_limit_s: how long a call into the camera's SDK may overrun; then it counts as hung and
            the camera's process is ended.
        silent_limit_s: a camera that runs free and gives no frame for so long is lost; None waits.
            One that is triggered may be silent.
        stale_ms: an older frame is refused by name; None takes any.
    """

    open_limit_s: Seconds = 10.0
    hung_limit_s: Seconds = 5.0
    silent_limit_s: Seconds | None = 5.0
    stale_ms: Annotated[float, Field(gt=0)] | None = 500.0

    @abstractmethod
    def driver(self) -> LiveCamera:
        """See `KindConfig.driver`."""


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
        what = f"{wanted} was not found" if wanted else "no camera was found"
        raise CameraNotFoundError(
            f"camera {kind!r}: {what}; there: {there}. "
            "Check power, cable and, for GigE, that camera and computer share a subnet"
        )
    raise CameraNotFoundError(
        f"camera {kind!r}: {len(fitting)} cameras fit; name one in the configuration: {there}"
    )


def load_sdk(kind: str, module: str, install: str) -> Any:
    """Import `module`, which camera `kind` needs; `install` says how to get it.

    Raises:
        CameraError: it is not installed, or a library it needs cannot be loaded.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        package = (error.name or module).partition(".")[0]
        raise _missing(kind, f"the package {package}", install) from error
    except ImportError as error:
        raise CameraError(f"camera {kind!r}: {module} cannot be loaded: {error}") from error


def load_gi(kind: str, packages: str, **versions: str) -> tuple[Any, ...]:
    """The namespaces of GObject introspection, such as Aravis="0.8".

    Args:
        packages: of the system, which bring the namespaces.

    Raises:
        CameraError: one is not installed.
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
        raise _missing(kind, f"{name} {version} of GObject introspection", install) from error
    return tuple(load_sdk(kind, f"gi.repository.{name}", install) for name in versions)


def _missing(kind: str, what: str, install: str) -> CameraError:
    return CameraError(f"camera {kind!r} needs {what}, and it is not installed: {install}")
