"""Frozen backbones: sources of their weights, and their results."""

from pathlib import Path

import pytest
import safetensors.torch
import timm
import torch
from torch.utils.flop_counter import FlopCounterMode

from inspection.errors import BundleError, ConfigError
from training.backbones import Backbone, BackboneConfig


def whole_resnet18() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    state: dict[str, torch.Tensor] = timm.create_model("resnet18", pretrained=False).state_dict()
    return state


def config(weights: str = "none", **settings: object) -> BackboneConfig:
    return BackboneConfig.model_validate({"weights": weights, **settings})


@pytest.mark.parametrize(
    ("name", "channels", "parameters"),
    [
        ("resnet18.tv_in1k", [128, 256], None),
        ("wide_resnet50_2.tv_in1k", [512, 1024], 24_862_528),
    ],
)
def test_truncated_after_the_last_layer_used(
    name: str, channels: list[int], parameters: int | None
) -> None:
    backbone = Backbone(config(name=name))
    assert backbone.channels == channels
    assert not any("layer4" in key or "fc" in key for key in backbone.state_dict())
    if parameters is not None:
        assert sum(p.numel() for p in backbone.parameters()) == parameters
    shapes = [f.shape[1:] for f in backbone(torch.zeros(1, 64, 96, 3, dtype=torch.uint8))]
    assert shapes == [(channels[0], 8, 12), (channels[1], 4, 6)]


@pytest.mark.parametrize(
    ("size", "gmac"),
    [
        ((224, 224), 9.187),
        ((256, 256), 11.999),
        ((288, 288), 15.186),
        ((640, 232), 27.594),
        ((144, 144), 3.797),
        ((320, 192), 11.249),
    ],
)
def test_work_to_layer3_of_the_wide_resnet(size: tuple[int, int], gmac: float) -> None:
    with torch.device("meta"):
        backbone = Backbone(config(name="wide_resnet50_2.tv_in1k"))
        images = torch.zeros(1, *size, 3, dtype=torch.uint8)
    with FlopCounterMode(display=False) as counter:
        backbone(images)
    assert counter.get_total_flops() / 2e9 == pytest.approx(gmac, abs=6e-4)


def test_an_efficientnet_ends_with_its_last_used_block() -> None:
    """Blocks 22 to 31 are left out: 13.1 of 16.7 million numbers."""
    backbone = Backbone(config(name="tf_efficientnet_b4.aa_in1k", layers=(0, 1, 2, 3)))
    assert backbone.channels == [24, 32, 56, 160]
    assert backbone.strides == [2, 4, 8, 16]
    assert 3.5e6 < sum(p.numel() for p in backbone.parameters()) < 3.7e6
    shapes = [f.shape[1:] for f in backbone(torch.zeros(1, 64, 64, 3, dtype=torch.uint8))]
    assert shapes == [(24, 32, 32), (32, 16, 16), (56, 8, 8), (160, 4, 4)]


@pytest.mark.parametrize("name", ["resnet18.tv_in1k", "tf_efficientnet_b4.aa_in1k"])
def test_reflected_borders_change_the_border_only(name: str) -> None:
    """For an evenly grey image, no convolution sees a border at all."""
    torch.manual_seed(0)
    zeros = Backbone(config(name=name, layers=(1,)))
    reflect = Backbone(config(name=name, layers=(1,), padding="reflect"))
    reflect.load_state_dict(zeros.state_dict())
    images = torch.randint(0, 256, (1, 128, 128, 3), dtype=torch.uint8)
    (a,), (b,) = zeros(images), reflect(images)
    assert a.shape == b.shape
    inside = (slice(None), slice(None), slice(10, -10), slice(10, -10))
    if name.startswith("resnet"):  # squeeze-and-excite looks at the whole image
        torch.testing.assert_close(a[inside], b[inside])
    assert (a - b).abs().max() > 1e-3
    (even,) = reflect(torch.full((1, 128, 128, 3), 90, dtype=torch.uint8))
    assert float((even - even[..., 16:17, 16:17]).abs().max()) < 1e-4


def test_frozen_and_always_in_eval_mode() -> None:
    backbone = Backbone(config()).train()
    assert not any(module.training for module in backbone.modules())
    assert not any(parameter.requires_grad for parameter in backbone.parameters())


def test_features_are_convolved_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch lets cuDNN round to TF32, and a model learnt so on a GPU differs from the line's."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    backbone = Backbone(BackboneConfig(weights="none"))
    allowed = []
    backbone.body.register_forward_hook(lambda *_: allowed.append(torch.backends.cudnn.allow_tf32))
    backbone(torch.zeros(1, 64, 64, 3, dtype=torch.uint8))
    assert allowed == [False]
    assert torch.backends.cudnn.allow_tf32


def test_blue_and_red_are_told_apart() -> None:
    torch.manual_seed(0)
    backbone = Backbone(config())
    blue = torch.zeros(1, 64, 64, 3, dtype=torch.uint8)
    blue[..., 0] = 255
    red = blue.flip(-1)
    assert not torch.allclose(backbone(blue)[0], backbone(red)[0])


@pytest.mark.parametrize("kind", ["pth", "safetensors"])
@pytest.mark.parametrize("drop", ["layer4", "nothing"])
def test_weights_files_load(tmp_path: Path, kind: str, drop: str) -> None:
    state = {key: value for key, value in whole_resnet18().items() if drop not in key}
    path = tmp_path / f"resnet18.{kind}"
    if kind == "pth":
        torch.save(state, path)
    else:
        safetensors.torch.save_file(state, path)
    backbone = Backbone(config(str(path)))
    assert torch.equal(
        backbone.state_dict()["body.layer3.1.conv2.weight"], state["layer3.1.conv2.weight"]
    )


def test_a_file_without_a_used_layer_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "resnet18.pth"
    torch.save({k: v for k, v in whole_resnet18().items() if "layer3" not in k}, path)
    with pytest.raises(BundleError, match=r"lacks 25 of 90 entries, layer3\.0\.conv1\.weight"):
        Backbone(config(str(path)))


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "resnet18.pth"
    torch.save(whole_resnet18(), path)
    with pytest.raises(BundleError, match="not the weights of wide_resnet50_2"):
        Backbone(config(str(path), name="wide_resnet50_2"))
    torch.save(timm.create_model("resnet34", pretrained=False).state_dict(), path)
    narrow = {k: v[:1] if k == "conv1.weight" else v for k, v in whole_resnet18().items()}
    torch.save(narrow, path)
    with pytest.raises(BundleError, match=r"conv1\.weight is \(1, 3, 7, 7\) instead of \(64,"):
        Backbone(config(str(path)))


@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04rubbish"])
def test_rubbish_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "resnet18.pth"
    path.write_bytes(content)
    with pytest.raises(BundleError, match=str(path)):
        Backbone(config(str(path)))


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "resnet18.pth"
    torch.save({"model": Path("somewhere")}, path)
    with pytest.raises(BundleError, match="not a plain state dict"):
        Backbone(config(str(path)))


def test_missing_file_and_unknown_network() -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.pth: no such weights file"):
        Backbone(config("nowhere.pth"))
    with pytest.raises(ConfigError, match="backbone resnet99"):
        Backbone(config(name="resnet99"))
