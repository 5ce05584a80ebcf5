"""Fitting: the same result however often it was interrupted, and nothing half-written."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from edge.errors import BundleError, CameraError, ConfigError
from training.checkpoint import RESUME, RUN, WEIGHTS, Progress, load_run
from training.config import TrainConfig
from training.fit import fit


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve good parts, three defective ones, two of them with a mask."""
    root = tmp_path_factory.mktemp("parts")
    random = np.random.default_rng(0)
    for kind, count in (("good", 12), ("spot", 3)):
        (root / "train" / kind).mkdir(parents=True)
        (root / "ground_truth" / kind).mkdir(parents=True)
        for number in range(count):
            image = random.normal(120, 10, (64, 64, 3)).clip(0, 255).astype(np.uint8)
            mask = np.zeros((64, 64), np.uint8)
            if kind == "spot":
                image[20:34, 20:34] = 255
                mask[20:34, 20:34] = 255
            cv2.imwrite(str(root / "train" / kind / f"{number}.png"), image)
            if kind == "spot" and number:
                cv2.imwrite(str(root / "ground_truth" / kind / f"{number}_mask.png"), mask)
    return root


def config(
    data: Path, *, model: dict[str, object] | None = None, **fit_settings: object
) -> TrainConfig:
    return TrainConfig.model_validate(
        {
            "data": {"folder": data, "image_size": (64, 64)},
            "model": {
                "name": "supersimplenet",
                "backbone": {"weights": "none"},
                "segmentation_channels": 16,
                "classification_channels": 8,
                "noise_std": "auto",
                **(model or {}),
            },
            "fit": {"epochs": 3, "batch_size": 4, "save_every_s": 0, **fit_settings},
        }
    )


class StoppedHereError(Exception):
    pass


def interrupt_after(epoch: int) -> object:
    def report(progress: Progress, epochs: int, losses: dict[str, float]) -> None:
        if progress.epoch == epoch:
            raise StoppedHereError

    return report


@pytest.mark.parametrize("supervision", ["unsupervised", "mixed"])
def test_an_interrupted_training_ends_with_the_same_weights(
    parts: Path, tmp_path: Path, supervision: str
) -> None:
    settings = config(parts, model={"supervision": supervision})
    whole = fit(settings, tmp_path / "whole")
    with pytest.raises(StoppedHereError):
        fit(settings, tmp_path / "broken", interrupt_after(3))  # type: ignore[arg-type]
    assert (tmp_path / "broken" / RESUME).exists()
    with pytest.raises(BundleError, match="is unfinished; train it again to resume"):
        load_run(tmp_path / "broken")
    resumed = fit(settings, tmp_path / "broken")
    assert resumed.weights_sha256 == whole.weights_sha256
    assert resumed.steps == whole.steps
    assert not (tmp_path / "broken" / RESUME).exists()


def test_a_finished_run_gives_the_same_scores_when_loaded(parts: Path, tmp_path: Path) -> None:
    record = fit(config(parts), tmp_path / "run")
    assert (len(record.fitted_sha256), len(record.held_out)) == (9, 3)
    images = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        first = load_run(tmp_path / "run")[1](images)
        second = load_run(tmp_path / "run")[1](images)
    assert torch.equal(first.scores, second.scores)
    assert torch.equal(first.maps, second.maps)


def test_seeds_decide(parts: Path, tmp_path: Path) -> None:
    hashes = [
        fit(config(parts, seed=s), tmp_path / str(n)).weights_sha256
        for n, s in enumerate((1, 1, 2))
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_the_cache_changes_nothing(parts: Path, tmp_path: Path) -> None:
    cached = fit(config(parts), tmp_path / "cached")
    fresh = fit(config(parts, cache_max_bytes=0), tmp_path / "fresh")
    assert cached.losses == pytest.approx(fresh.losses, rel=1e-4)


def test_minimum_steps_add_epochs(parts: Path, tmp_path: Path) -> None:
    record = fit(config(parts, epochs=1, minimum_steps=7), tmp_path / "run")
    assert (record.epochs, record.steps) == (3, 9)  # 9 images in batches of 4


def test_a_finished_run_is_not_overwritten(parts: Path, tmp_path: Path) -> None:
    fit(config(parts, epochs=1), tmp_path / "run")
    with pytest.raises(ConfigError, match="holds a finished run"):
        fit(config(parts, epochs=1), tmp_path / "run")


def test_a_state_of_another_configuration_is_refused(parts: Path, tmp_path: Path) -> None:
    with pytest.raises(StoppedHereError):
        fit(config(parts), tmp_path / "run", interrupt_after(2))  # type: ignore[arg-type]
    with pytest.raises(BundleError, match="belongs to a training with another configuration"):
        fit(config(parts, seed=7), tmp_path / "run")
    (tmp_path / "run" / RESUME).write_bytes(b"damaged")
    with pytest.raises(BundleError, match="damaged"):
        fit(config(parts), tmp_path / "run")


def test_damaged_weights_are_refused(parts: Path, tmp_path: Path) -> None:
    fit(config(parts, epochs=1), tmp_path / "run")
    weights = tmp_path / "run" / WEIGHTS
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(BundleError, match="not what was trained"):
        load_run(tmp_path / "run")
    (tmp_path / "run" / RUN).write_text("{}")
    with pytest.raises(BundleError, match="not a run record"):
        load_run(tmp_path / "run")
    with pytest.raises(BundleError, match="holds no run; make one with"):
        load_run(tmp_path / "nowhere")


def test_supervision_needs_defects(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for number in range(6):
        image = random.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / f"{number}.png"), image)
    with pytest.raises(CameraError, match="supervised training needs real defects"):
        fit(config(tmp_path, model={"supervision": "mixed"}), tmp_path / "run")


def test_icpr_learns_only_defects_with_a_mask(parts: Path, tmp_path: Path) -> None:
    jims = fit(config(parts, model={"supervision": "mixed"}, epochs=1), tmp_path / "jims")
    icpr = fit(
        config(parts, model={"supervision": "mixed", "version": "icpr"}, epochs=1),
        tmp_path / "icpr",
    )
    assert len(jims.fitted_sha256) - len(icpr.fitted_sha256) == 1
