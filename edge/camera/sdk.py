"""Loading the packages of the camera makers, and saying what to install where one is missing."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from inspection.errors import CameraError

_GI = "apt install python3-gi, and make the environment with --system-site-packages"

INSTALL: Mapping[str, str] = {
    "replay": "pip install linewarden",
    "opencv": "pip install linewarden",
    "pyav": "pip install 'linewarden[pyav]'",
    "gstreamer": f"apt install gir1.2-gst-plugins-base-1.0 gstreamer1.0-plugins-good; {_GI}",
    "pylon": "pip install 'linewarden[pylon]'",
    "aravis": f"apt install gir1.2-aravis-0.8; {_GI}",
    "harvesters": "pip install 'linewarden[harvesters]', and the GenTL producer of the camera",
}


def load_sdk(kind: str, module: str) -> Any:
    """Import `module`, which camera `kind` needs.

    Raises:
        CameraError: it is not installed, or a library it needs cannot be loaded.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise _missing(kind, f"the package {(error.name or module).partition('.')[0]}") from error
    except ImportError as error:
        raise CameraError(f"camera {kind!r}: {module} cannot be loaded: {error}") from error


def load_gi(kind: str, **versions: str) -> tuple[Any, ...]:
    """The namespaces of GObject introspection, such as Aravis="0.8".

    Raises:
        CameraError: one is not installed.
    """
    gi = load_sdk(kind, "gi")
    try:
        for name, version in versions.items():
            gi.require_version(name, version)
    except ValueError as error:
        raise _missing(kind, f"{name} {version} of GObject introspection") from error
    return tuple(load_sdk(kind, f"gi.repository.{name}") for name in versions)


def _missing(kind: str, what: str) -> CameraError:
    return CameraError(f"camera {kind!r} needs {what}, and it is not installed: {INSTALL[kind]}")
