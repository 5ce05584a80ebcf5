"""Checks what a machine needs to run an engine, and names the remedy for each missing piece.

Only reads: installs, starts and changes nothing.
"""

from __future__ import annotations

import ctypes
import grp
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from inspection.engine.cuda import Device, open_cuda
from inspection.engine.rtx_cards import require_rtx_card
from inspection.engine.sidecar import L4T_RELEASE, Runtime, l4t_release
from inspection.engine.tensorrt_bindings import load_bindings
from inspection.errors import ConfigError, DeviceLostError, EngineError
from inspection.trust.keys import configured_keys, keys_folder

Scope = Literal["common", "onnxruntime", "openvino", "tensorrt", "tensorrt-rtx", "triton"]

ENGINES: tuple[Scope, ...] = ("onnxruntime", "openvino", "tensorrt", "tensorrt-rtx", "triton")
_FREE_GIB = 2
_MAJORS = (11, 10)
# L4T release to JetPack and its TensorRT (NVIDIA's release notes); the first fitting prefix wins.
_JETPACKS = {
    "R36.3": ("6.0", "8.6"),
    "R36": ("6.1 or 6.2", "10.3"),
    "R38": ("7.0 or 7.1", "10.13"),
    "R39": ("7.2", "10.16"),
    "R35": ("5", "8.5"),
}
_NODES_JETSON = ("dev/nvmap", "dev/nvhost-gpu", "dev/nvhost-ctrl-gpu")
_NODES_THOR = ("dev/nvidia[0-9]*", "dev/nvidiactl", "dev/nvidia-uvm", "dev/nvmap")
_NODES_CARD = ("dev/nvidia[0-9]*", "dev/nvidiactl", "dev/nvidia-uvm")
# The first drivers of CUDA 12.8 and of CUDA 13; the wheels of TensorRT for RTX need CUDA 13.
_DRIVERS: dict[Runtime, str] = {
    "tensorrt": "nvidia-driver-570",
    "tensorrt-rtx": "nvidia-driver-580",
}
_LIBRARIES = {
    "nvinfer": "libnvinfer-dev",
    "nvinfer_plugin": "libnvinfer-plugin-dev",
    "nvonnxparser": "libnvonnxparsers-dev",
}


@dataclass(frozen=True)
class Check:
    """Result of one check.

    Attributes:
        scope: engine that needs it, or "common".
        found: the state that the check found.
        mend: remedy; empty when the check is met.
    """

    scope: Scope
    name: str
    is_met: bool
    found: str
    mend: str = ""


@dataclass(frozen=True)
class Machine:
    """Access to the examined machine; a test passes another one."""

    root: Path = Path("/")
    load: Callable[[str], object] = ctypes.CDLL
    import_module: Callable[[str], Any] = import_module
    groups: frozenset[str] = field(default_factory=lambda: frozenset(_own_groups()))
    is_root: bool = field(default_factory=lambda: os.geteuid() == 0)

    @property
    def l4t(self) -> str | None:
        """Returns the Jetson release; None on other machines."""
        return l4t_release(self.root / L4T_RELEASE.relative_to("/"))

    @property
    def release(self) -> str:
        """Returns the L4T release such as R36.4; empty on other machines."""
        found = re.search(r"R(\d+) \(release\), REVISION: (\d+)", self.l4t or "")
        return f"R{found[1]}.{found[2]}" if found else ""

    @property
    def has_nvidia(self) -> bool:
        """Returns True when the machine has an NVIDIA device."""
        nodes = (*_NODES_JETSON, *_NODES_CARD)
        return self.l4t is not None or any(self.nodes(node) for node in nodes)

    def nodes(self, pattern: str) -> list[Path]:
        """Returns the device nodes that match a name or pattern."""
        return sorted(self.root.glob(pattern))


def examine(machine: Machine, folder: Path, engines: tuple[Scope, ...]) -> list[Check]:
    """Checks everything that these engines need.

    Args:
        folder: folder of the bundles; its disk must have room.
    """
    checks = list(_common(machine, folder))
    for engine in engines:
        if engine == "tensorrt":
            checks += _tensorrt(machine)
        elif engine == "tensorrt-rtx":
            checks += _tensorrt_rtx(machine)
        else:
            package = "tritonclient.grpc" if engine == "triton" else engine
            mend = f"pip install 'linewarden[{engine}]'"
            checks.append(_package(machine, engine, package, mend))
    return checks


def engines_here(machine: Machine) -> tuple[Scope, ...]:
    """Returns the engines that suit this machine."""
    return ("onnxruntime", "tensorrt") if machine.has_nvidia else ("onnxruntime",)


def _common(machine: Machine, folder: Path) -> Iterator[Check]:
    yield _package(machine, "common", "cv2", "pip install opencv-python-headless")
    yield _package(machine, "common", "simplejpeg", "pip install simplejpeg")
    free = shutil.disk_usage(folder).free / 2**30
    yield _check(
        "common",
        f"disk space in {folder}",
        free >= _FREE_GIB,
        f"{free:.1f} GiB free",
        f"free {_FREE_GIB} GiB: an engine build needs room for the old engine and the new one",
    )
    yield _keys()


def _keys() -> Check:
    name = f"keys in {keys_folder()}"
    try:
        return _check("common", name, True, configured_keys().describe(), "")
    except ConfigError as error:
        return _check("common", name, False, "not usable", str(error))


def _tensorrt(machine: Machine) -> Iterator[Check]:
    if machine.l4t is not None:
        yield _jetpack(machine)
    yield from _device(machine, "tensorrt")
    for name, package in _LIBRARIES.items():
        yield _library(machine, name, package)
    if machine.release.startswith("R36"):
        yield _check(
            "tensorrt",
            "libnvdla_compiler",
            _loads(machine, "libnvdla_compiler.so"),
            "libnvdla_compiler.so",
            "apt install nvidia-l4t-dla-compiler: TensorRT of JetPack 6 does not load without it",
        )
    yield _asked(
        "tensorrt", "Python package tensorrt", lambda: f"tensorrt {load_bindings().__version__}"
    )
    yield _package(machine, "tensorrt", "tqdm", "pip install tqdm: linewarden build needs it")
    yield _asked("tensorrt", "CUDA device", lambda: _cuda_device(_describe_device))


def _tensorrt_rtx(machine: Machine) -> Iterator[Check]:
    scope: Runtime = "tensorrt-rtx"
    yield _asked(
        scope,
        "Python package tensorrt_rtx_bindings",
        lambda: f"TensorRT for RTX {load_bindings(scope).__version__}: builds here, without a GPU",
    )
    yield from _device(machine, scope)
    yield _package(machine, scope, "tqdm", "pip install tqdm: linewarden build needs it")
    yield _asked(scope, "RTX card", lambda: _cuda_device(_describe_card))
    # No run on a card has tested the engine: `linewarden build --verify` is the proof on each.
    yield _check(
        scope, "proof on a card", True, "none yet but 'linewarden build --verify' here", ""
    )


def _jetpack(machine: Machine) -> Check:
    release = machine.release
    known = next((v for prefix, v in _JETPACKS.items() if release.startswith(prefix)), None)
    jetpack, version = known or ("unknown", "10.3")
    return _check(
        "tensorrt",
        "JetPack",
        int(version.partition(".")[0]) >= 10,
        f"{release or machine.l4t}: JetPack {jetpack}, TensorRT {version}",
        "Linewarden needs TensorRT 10.3: install JetPack 6.1 or later",
    )


def _device(machine: Machine, scope: Runtime) -> Iterator[Check]:
    proc = machine.root / "proc/driver/nvidia/version"
    has_driver = machine.l4t is not None or proc.is_file()
    yield _check(
        scope,
        "NVIDIA driver",
        has_driver,
        _driver(machine.l4t, proc) if has_driver else "none",
        f"install the driver of the card (Ubuntu: apt install {_DRIVERS[scope]} or later)",
    )
    expected = _nodes(machine)
    nodes = [node for pattern in expected for node in machine.nodes(pattern)]
    missing = [f"/{pattern}" for pattern in expected if not machine.nodes(pattern)]
    yield _check(
        scope,
        "device nodes",
        not missing,
        ", ".join(f"/{node.relative_to(machine.root)}" for node in nodes),
        f"missing: {', '.join(missing)}; run nvidia-modprobe -u, and let the unit or container see "
        "them (no PrivateDevices)",
    )
    is_closed = not all(os.access(node, os.R_OK | os.W_OK) for node in nodes)
    lacking = {"video", "render"} - machine.groups
    is_needed = is_closed or (machine.l4t is not None and not machine.is_root)
    yield _check(
        scope,
        "groups video and render",
        not (is_needed and lacking),
        ", ".join(sorted(machine.groups & {"video", "render"})) or "in neither",
        f"not in: {', '.join(sorted(lacking))}; usermod --append --groups video,render USER, and "
        "log in again (systemd: SupplementaryGroups=video render)",
    )


def _driver(l4t: str | None, proc: Path) -> str:
    return l4t if l4t is not None else proc.read_text().splitlines()[0]


def _nodes(machine: Machine) -> tuple[str, ...]:
    if machine.l4t is None:
        return _NODES_CARD
    return _NODES_JETSON if machine.release.startswith(("R35", "R36")) else _NODES_THOR


def _library(machine: Machine, name: str, package: str) -> Check:
    found = [
        f"lib{name}.so.{major}" for major in _MAJORS if _loads(machine, f"lib{name}.so.{major}")
    ]
    wheel = find_spec("tensorrt_libs")
    if not found and wheel is not None and wheel.origin is not None:
        found = [str(path) for path in Path(wheel.origin).parent.glob(f"lib{name}.so.*")]
    return _check(
        "tensorrt",
        f"lib{name}",
        bool(found),
        ", ".join(found) or "none",
        f"apt install {package} (JetPack: apt install nvidia-tensorrt), or pip install tensorrt",
    )


def _loads(machine: Machine, name: str) -> bool:
    try:
        machine.load(name)
    except OSError:
        return False
    return True


def _package(machine: Machine, scope: Scope, name: str, mend: str) -> Check:
    try:
        found = str(getattr(machine.import_module(name), "__version__", "installed"))
    except ImportError as error:
        return _check(scope, f"Python package {name}", False, str(error), mend)
    return _check(scope, f"Python package {name}", True, found, mend)


def _asked(scope: Scope, name: str, answer: Callable[[], str]) -> Check:
    try:
        return _check(scope, name, True, answer(), "")
    except (EngineError, DeviceLostError) as error:
        return _check(scope, name, False, "not usable", str(error))


def _cuda_device(describe: Callable[[Device], str]) -> str:
    cuda = open_cuda()
    try:
        device = cuda.device()
    finally:
        cuda.release()
    return describe(device)


def _describe_card(device: Device) -> str:
    require_rtx_card(device)
    return _describe_device(device)


def _describe_device(device: Device) -> str:
    return (
        f"{device.name}, compute capability {device.compute_capability}, CUDA {device.runtime} on "
        f"driver {device.driver}"
    )


def _check(scope: Scope, name: str, is_met: bool, found: str, mend: str) -> Check:
    return Check(scope, name, is_met, found or "none", "" if is_met else mend)


def _own_groups() -> Iterator[str]:
    for number in {os.getegid(), *os.getgroups()}:
        try:
            yield grp.getgrgid(number).gr_name
        except KeyError:  # a container may have groups without names
            yield str(number)
