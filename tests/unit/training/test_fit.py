"""Fitting: the same result after any interruption, and no incomplete files."""

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from inspection.errors import BundleError, CameraError, ConfigError
from inspection.images import read_image
from training.checkpoint import RESUME, RUN, WEIGHTS, Progress, load_run, refuse_other_folder
from training.config import TrainConfig
from training.data.augment import Augmentation
from training.fit import DivergedError, fit
from training.models.base import FeatureBatches
from training.models.supersimplenet import Model

RUN_FIT = """
import sys
from pathlib import Path
from training.config import TrainConfig
from training.fit import fit
fit(TrainConfig.model_validate_json(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Draws twelve good parts, three defective ones, two of them with a mask."""
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
    data: Path,
    *,
    model: dict[str, object] | None = None,
    augment: Augmentation = Augmentation(),  # noqa: B008 - frozen
    **fit_settings: object,
) -> TrainConfig:
    return TrainConfig.model_validate(
        {
            "data": {"folder": data, "image_size": (64, 64), "augment": augment},
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


@pytest.mark.parametrize("rotations", [1, 3])
def test_the_cache_changes_nothing(parts: Path, tmp_path: Path, rotations: int) -> None:
    augment = Augmentation(rotations=rotations)
    cached = fit(config(parts, augment=augment), tmp_path / "cached")
    fresh = fit(config(parts, augment=augment, cache_max_bytes=0), tmp_path / "fresh")
    assert cached.losses == pytest.approx(fresh.losses, rel=1e-4)


def test_turned_copies_are_learnt_too(parts: Path, tmp_path: Path) -> None:
    upright, turned = (
        fit(config(parts, augment=Augmentation(rotations=n)), tmp_path / str(n)) for n in (1, 3)
    )
    assert upright.losses != turned.losses


def test_minimum_steps_add_epochs(parts: Path, tmp_path: Path) -> None:
    record = fit(config(parts, epochs=1, minimum_steps=7), tmp_path / "run")
    assert (record.epochs, record.steps) == (3, 9)  # 9 images in batches of 4


class _SlowLearner(Model):
    """A model that learns in a number of passes, for its doubts alone."""

    passes = 0

    def finish(self, batches: FeatureBatches) -> None:
        _SlowLearner.passes += 1

    def doubts(self, losses: dict[str, float]) -> list[str]:
        return ["not yet"] if _SlowLearner.passes < 3 else []


@pytest.mark.parametrize(("most", "epochs"), [(0, 4), (100, 6), (13, 5)])
def test_a_model_that_has_not_learnt_trains_on_up_to_a_limit(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, epochs: int
) -> None:
    monkeypatch.setattr("training.models.supersimplenet.Model", _SlowLearner)
    monkeypatch.setattr(_SlowLearner, "passes", 0)
    settings = config(parts, epochs=4, maximum_steps=most)  # 3 steps an epoch
    assert fit(settings, tmp_path / "run").epochs == epochs


@pytest.mark.parametrize("after", [8, 10, 11])
def test_a_training_that_goes_on_ends_alike_after_an_interruption(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """It resumes in the middle of an extension, and where one begins: 8, 10."""
    monkeypatch.setattr("training.models.supersimplenet.Model", _SlowLearner)
    monkeypatch.setattr(_SlowLearner, "passes", 0)
    settings = config(parts, epochs=8, maximum_steps=100)
    whole = fit(settings, tmp_path / "whole")
    monkeypatch.setattr(_SlowLearner, "passes", 0)
    with pytest.raises(StoppedHereError):
        # The state is that of the epoch before: an epoch writes it behind its report.
        fit(settings, tmp_path / "broken", interrupt_after(after + 1))  # type: ignore[arg-type]
    resumed = fit(settings, tmp_path / "broken")
    assert (resumed.epochs, resumed.weights_sha256) == (whole.epochs, whole.weights_sha256)


def test_a_finished_run_is_not_overwritten(parts: Path, tmp_path: Path) -> None:
    fit(config(parts, epochs=1), tmp_path / "run")
    with pytest.raises(ConfigError, match="holds a finished run"):
        fit(config(parts, epochs=1), tmp_path / "run")


def test_a_run_takes_a_folder_of_its_own(parts: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds .*, and not a run; choose another folder"):
        refuse_other_folder(parts)
    with pytest.raises(StoppedHereError):
        fit(config(parts), tmp_path / "run", interrupt_after(2))  # type: ignore[arg-type]
    for folder in (tmp_path / "new", tmp_path / "run"):
        refuse_other_folder(folder)


def test_a_state_of_another_configuration_is_refused(parts: Path, tmp_path: Path) -> None:
    with pytest.raises(StoppedHereError):
        fit(config(parts), tmp_path / "run", interrupt_after(2))  # type: ignore[arg-type]
    with pytest.raises(BundleError, match="belongs to a training with another configuration"):
        fit(config(parts, seed=7), tmp_path / "run")
    (tmp_path / "run" / RESUME).write_bytes(b"damaged")
    with pytest.raises(BundleError, match="damaged"):
        fit(config(parts), tmp_path / "run")


def test_a_state_of_other_images_is_refused(parts: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(parts, tmp_path / "parts")
    with pytest.raises(StoppedHereError):
        fit(config(copied), tmp_path / "run", interrupt_after(2))  # type: ignore[arg-type]
    shutil.copy(copied / "train" / "spot" / "0.png", copied / "train" / "good" / "new.png")
    with pytest.raises(BundleError, match="belongs to a training with other images or labels"):
        fit(config(copied), tmp_path / "run")


def test_a_full_disk_keeps_the_last_state(parts: Path, tmp_path: Path) -> None:
    """RLIMIT_FSIZE stands in for the disk: writing beyond it fails as a full one does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill_disk(progress: Progress, epochs: int, losses: dict[str, float]) -> None:
        if progress.epoch == 2:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))

    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with pytest.raises(BundleError, match=r"resume.safetensors: cannot be written \(File too"):
            fit(config(parts), tmp_path / "run", fill_disk)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, previous)
    assert [path.name for path in (tmp_path / "run").iterdir()] == [RESUME]
    assert fit(config(parts), tmp_path / "run").epochs == 3


def test_a_place_for_the_run_that_cannot_be_made_is_refused(parts: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"file/run: cannot be made \(Not a directory\); choose"):
        fit(config(parts), tmp_path / "file" / "run")


def test_a_training_killed_at_any_moment_ends_with_the_same_weights(
    parts: Path, tmp_path: Path
) -> None:
    settings = config(parts, model={"sampled_grid": 4}, epochs=6)
    whole = fit(settings, tmp_path / "whole")
    environment = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, "-c", RUN_FIT, settings.model_dump_json(), str(tmp_path / "run")]
    process = subprocess.Popen(command, env=environment)
    try:
        deadline = time.monotonic() + 120
        while not (tmp_path / "run" / RESUME).exists() and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.002)
    finally:
        process.kill()
        process.wait()
    assert not (tmp_path / "run" / RUN).exists()
    resumed = fit(settings, tmp_path / "run")
    assert resumed.weights_sha256 == whole.weights_sha256


def test_a_loss_that_is_not_a_number_stops_the_training(parts: Path, tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match=r"the loss map_l1_good became (nan|inf): train"):
        fit(config(parts, model={"learning_rate_heads": 1e30}), tmp_path / "run")


def test_weights_that_the_last_step_broke_are_not_kept(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def finish(model: Model, batches: FeatureBatches) -> None:
        model.adaptor.weight.data[0, 0] = float("inf")

    monkeypatch.setattr(Model, "finish", finish)
    with pytest.raises(DivergedError, match=r"adaptor.weight has values that are not finite"):
        fit(config(parts, epochs=1), tmp_path / "run")
    assert not (tmp_path / "run" / RUN).exists()


def test_grey_images_of_several_sizes_are_learnt(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for number in range(6):
        image = random.integers(0, 256, (70 + number, 90), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / f"{number}.png"), image)
    settings = config(tmp_path, epochs=1)
    with pytest.raises(CameraError, match="images of several sizes"):
        fit(settings, tmp_path / "run")
    sizes = settings.data.model_copy(update={"frame_height": (70, 75), "frame_width": (90, 90)})
    record = fit(settings.model_copy(update={"data": sizes}), tmp_path / "run")
    assert record.preprocessing.channels == 1


def test_damaged_weights_are_refused(parts: Path, tmp_path: Path) -> None:
    fit(config(parts, epochs=1), tmp_path / "run")
    weights = tmp_path / "run" / WEIGHTS
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(BundleError, match="not the weights of this run"):
        load_run(tmp_path / "run")
    (tmp_path / "run" / RUN).write_text("{}")
    with pytest.raises(BundleError, match="not a run record"):
        load_run(tmp_path / "run")
    with pytest.raises(BundleError, match="does not hold a run; make one with"):
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


def test_images_that_are_not_learnt_are_doubts(parts: Path, tmp_path: Path) -> None:
    shutil.copytree(parts, tmp_path / "parts")
    good, spot = tmp_path / "parts/train/good", tmp_path / "parts/train/spot"
    shutil.copyfile(good / "0.png", good / "again.png")
    cv2.imwrite(str(good / "copy.bmp"), read_image(good / "1.png"))
    (good / "monday").mkdir()
    shutil.copyfile(good / "0.png", good / "monday/0.png")
    undrawn = "1 of 3 defective images have no mask, and the others have one: " + str(
        spot / "0.png"
    )
    read = [f"{good}: 1 images in subfolders are not read: monday/", undrawn]
    once = "1 good training images repeat another and are learnt once: "
    copies = (
        "1 good images are copies of another to the last pixel and count as other parts, so that "
        "the threshold promises too much; remove them: "
    )

    def doubts(run: str, **model: str) -> list[str]:
        record = fit(config(tmp_path / "parts", model={**model}, epochs=1), tmp_path / run)
        return [re.sub("(once|remove them): .*", r"\1: ", doubt) for doubt in record.doubts]

    assert doubts("good")[:5] == [
        *read,
        "3 defective training images are not for a model of good parts and are not learnt: "
        + ", ".join(str(spot / f"{number}.png") for number in range(3)),
        once,
        copies,
    ]
    assert doubts("icpr", supervision="mixed", version="icpr")[:4] == [
        *read,
        f"1 defective training images have no mask and are not learnt: {spot / '0.png'}",
        once,
    ]
    assert doubts("jims", supervision="mixed")[:3] == [*read, once]
