"""The chain on real images with real weights, where both are available."""

from pathlib import Path

import numpy as np
import pytest
import torch

from export.study import StudyRow, measure
from inspection.errors import BundleError, CameraError
from linewarden.training_run import load_train_config
from training.backbones import Backbone, BackboneConfig
from training.fit import fit

CONFIG = Path(__file__).parents[2] / "configs/train/supersimplenet-cpu.yaml"

pytestmark = [pytest.mark.shared, pytest.mark.slow]


def weights(shared: Path) -> str:
    (file,) = (shared / "weights").glob("resnet18*.pth")
    return str(file)


def settings(shared: Path, name: str, steps: int) -> list[str]:
    return [
        f"data.folder={shared / 'data' / name}",
        "data.frame_height=[1,4000]",
        "data.frame_width=[1,4000]",
        f"model.backbone.weights={weights(shared)}",
        f"fit.minimum_steps={steps}",
    ]


def studied(words: list[str], folder: Path) -> StudyRow:
    return measure("cpu", load_train_config(CONFIG, words, default_weights=False), folder, fit)


def test_checkpoint_and_artefact_give_the_same_verdicts(shared: Path, tmp_path: Path) -> None:
    row = studied(settings(shared, "hazelnut_toy", 60), tmp_path)
    assert row.verdict_flips == 0
    assert row.score_difference < 1e-4
    assert (row.evaluation.good, row.evaluation.defective) == (6, 17)
    assert row.evaluation.image_auroc is not None
    assert row.evaluation.image_auroc > 0.9  # 1.000 after a whole training
    assert row.literal_macs > 1.5 * row.macs


def test_several_sizes_are_refused_until_they_are_allowed(shared: Path, tmp_path: Path) -> None:
    words = [s for s in settings(shared, "ball_screw", 1) if "frame_" not in s]
    with pytest.raises(CameraError, match=r"460x1130: \d+ images"):
        studied(words, tmp_path)


def test_real_weights_load_and_another_network_refuses_them(shared: Path) -> None:
    backbone = Backbone(BackboneConfig(weights=weights(shared)))
    features = backbone(torch.full((1, 64, 64, 3), 118, dtype=torch.uint8))
    assert all(np.isfinite(f.numpy()).all() and float(f.abs().max()) > 0 for f in features)
    with pytest.raises(BundleError, match="not the weights of resnet34"):
        Backbone(BackboneConfig(name="resnet34.tv_in1k", weights=weights(shared)))
