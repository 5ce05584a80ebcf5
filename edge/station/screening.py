"""Says before the first part what a line lacks: each thing with the command that mends it.

Opens nothing that the line or its PLC would notice as a station: it connects to a peer and leaves,
listens on a port and leaves, and opens a camera as `linewarden camera show` does.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable
from urllib.parse import urlsplit

from pydantic import BaseModel

from edge.camera import CameraConfig, ReplayConfig, camera_from_config
from edge.encoder import Encoder
from edge.line import GpioConfig, OutputConfig, WebhookConfig, output_from_config, output_names
from edge.peers.access import Secret
from edge.peers.resources import ListeningPort
from edge.recipe.loaded import load_recipe
from edge.recipe.promise import described_promise
from edge.station.config import LineConfig
from edge.store.clock import read_clocks
from inspection.bundle import chosen_here, open_bundle
from inspection.config.claims import Claim, all_claims
from inspection.config.resources import Use, UsedPath
from inspection.engine.preflight import ENGINES, Check, Machine, examine
from inspection.errors import CameraError, LinewardenError

_CONNECT_S = 2.0
_EARLIEST_YEAR = 2025  # no clock of a device that runs this release is right before


class Peer(NamedTuple):
    """A machine that the station connects to."""

    name: str
    host: str
    port: int


@runtime_checkable
class Addressed(Protocol):
    """A configuration with an address: of a peer, or of the station where it claims the port."""

    host: str
    port: int

    def claims(self) -> Iterable[Claim]:
        """Returns its claims."""


def screened(config: LineConfig) -> Iterator[Check]:
    """Yields one check after the other, of everything that a line needs before its first part.

    Args:
        config: loaded without its files; `load_config` with `files` names the missing
            secrets and certificates.
    """
    yield from _bundle(config)
    yield from _drivers(config)
    for claim in all_claims(config):
        if isinstance(claim.resource, ListeningPort):
            yield _port(claim.resource)
        elif isinstance(claim.resource, UsedPath) and claim.resource.use is not Use.SOURCE:
            yield _writable(claim.resource)
    yield from _secrets(config)
    yield from map(_reachable, peers_of(config))
    for name, view in config.all_views.items():
        yield _checked(f"camera {name}", partial(_open_camera, view.camera))
    yield from _disk(config)
    yield _clock()


def peers_of(config: LineConfig) -> list[Peer]:
    """Returns the machines that the station connects to, each once."""
    found: dict[tuple[str, int], Peer] = {}
    names = output_names(config.outputs)
    parts: list[tuple[str, Any]] = list(zip(names, config.outputs, strict=True))
    parts += [("trigger", config.trigger), ("recipe_request", config.recipe_request)]
    for name, part in parts:
        address = _address(part)
        if address is not None:
            found.setdefault(address, Peer(name, address[0], address[1]))
    return list(found.values())


def _address(part: object) -> tuple[str, int] | None:
    if isinstance(part, WebhookConfig):
        url = urlsplit(part.url.reveal())
        return str(url.hostname), url.port or (443 if url.scheme == "https" else 80)
    if not isinstance(part, Addressed) or _listens(part):
        return None
    return part.host, part.port


def _listens(part: Addressed) -> bool:
    return any(isinstance(claim.resource, ListeningPort) for claim in part.claims())


def _checked(name: str, work: Callable[[], str]) -> Check:
    """Runs a check that raises the errors of Linewarden, whose messages name the remedy."""
    try:
        return Check("common", name, is_met=True, found=work())
    except LinewardenError as error:
        what, _, mend = str(error).partition("; ")
        return Check("common", name, is_met=False, found=what, mend=mend)


def _bundle(config: LineConfig) -> Iterable[Check]:
    """Yields the findings of `linewarden doctor` for the engine that the line chooses, too."""

    def choose() -> str:
        bundle = open_bundle(config.bundle)
        return chosen_here(bundle, config.engine.kind, config.engine.artefact).engine

    chosen = _checked("bundle", choose)
    yield chosen
    kind = chosen.found if chosen.is_met else config.engine.kind
    engines = tuple(engine for engine in ENGINES if engine == kind)
    if engines:
        yield from examine(Machine(), config.bundle.parent, engines)
    if chosen.is_met:
        yield from _recipes(config)


def _recipes(config: LineConfig) -> Iterable[Check]:
    """Loads each recipe: files, calibration, engine and golden frames."""
    for number in config.recipes or (None,):
        name = "recipe" if number is None else f"recipe {number}"

        def load(number: int | None = number) -> str:
            with closing(load_recipe(config, number)) as recipe:
                views = {name: one.calibration for name, one in recipe.inspectors.items()}
                artefact = next(iter(views.values())).artefact
                promise = described_promise(views)
                found = f"calibrated through {artefact}, and the golden frames agree"
                return f"{found}; {promise}" if promise else found

        yield _checked(name, load)


def _drivers(config: LineConfig) -> Iterable[Check]:
    """Makes each driver, without opening it: its packages must be there."""
    with ExitStack() as stack:
        encoder = None
        if config.encoder is not None:
            encoder = stack.enter_context(closing(config.encoder.driver()))
        for name, output in zip(output_names(config.outputs), config.outputs, strict=True):
            yield _checked(f"output {name}", partial(_made, output, encoder))
            if isinstance(output, GpioConfig):
                yield _device(output.chip, "gpio")

        def trigger() -> str:
            config.trigger.driver(encoder)
            return f"{config.trigger.kind}: its packages are installed"

        yield _checked("trigger", trigger)


def _made(output: OutputConfig, encoder: Encoder | None) -> str:
    output_from_config(output, encoder)
    return "its packages are installed"


def _device(path: Path, group: str) -> Check:
    name = f"device {path}"
    if not path.exists():
        return Check("common", name, is_met=False, found="is missing", mend="see gpiodetect")
    if os.access(path, os.R_OK | os.W_OK):
        return Check("common", name, is_met=True, found="can be used")
    mend = f"sudo usermod -aG {group} $USER, and log in again"
    return Check("common", name, is_met=False, found="may not be opened", mend=mend)


def _port(wanted: ListeningPort) -> Check:
    name = f"port {wanted.port}"
    family = socket.AF_INET6 if ":" in wanted.host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((wanted.host, wanted.port))
        except OSError as error:
            mend = {
                errno.EADDRINUSE: f"ss -ltnp 'sport = :{wanted.port}' names the program on it",
                errno.EACCES: "a port below 1024 needs CAP_NET_BIND_SERVICE: run it as a service, "
                "or choose a port above 1023",
            }.get(error.errno or 0, "ip address lists the addresses of this device")
            found = f"cannot listen on {wanted.host}: {error.strerror}"
            return Check("common", name, is_met=False, found=found, mend=mend)
    return Check("common", name, is_met=True, found=f"free on {wanted.host}")


def _writable(used: UsedPath) -> Check:
    """Checks the nearest folder that is there: the line makes the missing ones itself."""
    folder = used.path if used.use is Use.FOLDER else used.path.parent
    there = next(one for one in (folder, *folder.parents) if one.exists())
    name = f"file {used.path.resolve()}"
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        mend = f"sudo chown $USER {there}, or choose another folder"
        return Check("common", name, is_met=False, found=f"{there} cannot be written", mend=mend)
    if used.use is Use.FILE and used.path.exists() and not os.access(used.path, os.W_OK):
        mend = f"sudo chown $USER {used.path}"
        return Check("common", name, is_met=False, found="cannot be written", mend=mend)
    return Check("common", name, is_met=True, found="can be written")


def _secrets(config: LineConfig) -> Iterable[Check]:
    """Checks that others than owner and group cannot read a secret; a missing one has its check."""
    for path in sorted(_secret_files(config)):
        with suppress(OSError):
            mode = stat.S_IMODE(path.stat().st_mode)
            is_met = not mode & stat.S_IRWXO
            found = f"mode {mode:o}" if is_met else f"mode {mode:o}: every user may read it"
            mend = "" if is_met else f"sudo chmod o= {path}, and give it to the user of the line"
            yield Check("common", f"secret {path}", is_met, found, mend)


def _secret_files(value: object) -> set[Path]:
    """Returns the files of passwords and keys in a part of a configuration."""
    if isinstance(value, Secret):
        return {value.file} if value.file is not None else set()
    if isinstance(value, BaseModel):
        own = {child for name, child in value if name == "key_file" and child is not None}
        return own.union(*(_secret_files(child) for _, child in value))
    if isinstance(value, Mapping):
        return _secret_files(tuple(value.values()))
    return set().union(*map(_secret_files, value)) if isinstance(value, list | tuple) else set()


def _reachable(peer: Peer) -> Check:
    where = f"{peer.host}:{peer.port}"
    try:
        socket.create_connection((peer.host, peer.port), _CONNECT_S).close()
    except OSError as error:
        why = error.strerror or str(error)
        mend = f"check that it runs, host and port; ping {peer.host}"
        return Check("common", f"peer of {peer.name}", False, f"{where}: {why}", mend)
    return Check("common", f"peer of {peer.name}", is_met=True, found=f"{where} answers")


def _open_camera(config: CameraConfig) -> str:
    camera = camera_from_config(config)
    try:
        camera.open()
    except CameraError as error:
        if isinstance(config, ReplayConfig):
            raise
        raise CameraError(f"{error}; linewarden camera list --kind {config.kind}") from error
    finally:
        camera.close()
    return f"{config.kind}: opens"


def _disk(config: LineConfig) -> Iterable[Check]:
    if config.records is None or config.records.images is None:
        return
    folder, images = config.records.folder, config.records.images
    there = next(one for one in (folder, *folder.parents) if one.exists())
    free = shutil.disk_usage(there).free
    needed = images.max_bytes + images.min_free_bytes
    used = sum(one.stat().st_size for one in folder.rglob("*") if one.is_file())
    is_met = free + used >= needed
    found = f"{free / 1e9:.1f} GB free, {needed / 1e9:.1f} GB for images and the reserve"
    mend = "" if is_met else f"free some space (du -xh {there}), or lower records.images.max_bytes"
    yield Check("common", f"disk of {folder}", is_met, found, mend)


def _clock() -> Check:
    clocks = read_clocks()
    found = f"{clocks.utc:%Y-%m-%d %H:%M} UTC"
    if clocks.utc.year < _EARLIEST_YEAR:
        return Check("common", "clock", False, found, "sudo timedatectl set-ntp true")
    if not clocks.is_synchronized:
        mend = "sudo timedatectl set-ntp true; timedatectl timesync-status names the server"
        return Check("common", "clock", False, f"{found}, not synchronised", mend)
    return Check("common", "clock", is_met=True, found=f"{found}, synchronised")
