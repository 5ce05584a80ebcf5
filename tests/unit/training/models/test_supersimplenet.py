"""SuperSimpleNet against its specification: counts, losses, synthesis."""

import math

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional as F

from tests.doubles.small_models import frames
from tests.doubles.small_models import small_supersimplenet as model
from training.data.samples import Targets
from training.models.base import DataFacts
from training.models.supersimplenet import (
    ClassificationHead,
    Config,
    SegmentationHead,
    focal,
    segmentation_losses,
)


def images(count: int, size: tuple[int, int] = (64, 64)) -> Tensor:
    return frames(count, size)


def targets(count: int, size: tuple[int, int] = (64, 64), defective: bool = False) -> Targets:
    masks = torch.zeros(count, 1, *size)
    if defective:
        masks[:, :, 16:40, 16:40] = 1
    labels = torch.full((count,), float(defective))
    return Targets(labels, masks, torch.ones(count, 1, *size), torch.ones(count))


@pytest.mark.parametrize("version", ["jims", "icpr"])
def test_a_thin_defect_is_learnt_at_every_position(version: str) -> None:
    """A row of the input is a quarter of a cell: half of the cell's area never sees it."""
    learner = model(supervision="mixed", version=version)
    for row in range(20, 40):
        masks = torch.zeros(1, 1, 64, 64)
        masks[0, 0, row, 10:50] = 1
        given = Targets(torch.ones(1), masks, torch.ones_like(masks), torch.ones(1))
        cells, _ = learner._targets_on_grid(given)
        assert cells.shape[2:] == (16, 16)
        rows = cells[0, 0].sum(1).nonzero().flatten()
        assert 1 <= len(rows) <= 2
        assert float((rows + 0.5).mean()) == pytest.approx((row + 0.5) / 4, abs=1)
        assert float(cells[0, 0, rows[0]].sum()) >= 9


def test_a_large_defect_is_learnt_as_the_authors_do() -> None:
    cells, _ = model(supervision="mixed")._targets_on_grid(targets(1, defective=True))
    alone = F.interpolate(
        targets(1, defective=True).masks, (16, 16), mode="bilinear", align_corners=True
    )
    assert torch.equal(cells, (alone >= 0.5).float())


def test_trainable_parameters_of_the_paper() -> None:
    assert count(torch.nn.Conv2d(1536, 1536, 1)) == 2_360_832
    segmentation = SegmentationHead(1536, 1024)
    assert count(segmentation) == 1_573_888 + 2_048 + 1_024
    classification = ClassificationHead(1536, 128)
    assert count(classification.conv) + count(classification.norm) == 4_918_528 + 256
    assert count(classification.fc) == 259
    assert 2_360_832 + count(segmentation) + count(classification) == 8_856_835


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("logit", "target", "expected"),
    [
        (0.0, 0.0, math.log(2) / 16),
        (-2.0, 1.0, 1.28013641),
        (-2.0, 0.0, 0.00002563),
        (-0.5, 1.0, 0.14623025),
        (-0.5, 0.0, 0.00963172),
    ],
)
def test_focal_loss(logit: float, target: float, expected: float) -> None:
    one, truth = torch.tensor([logit, target], dtype=torch.float64)
    value = focal(one, truth)
    assert float(value) == pytest.approx(expected, abs=1e-8)
    mirrored = focal(-one, 1 - truth)
    assert float(mirrored) == pytest.approx(float(value), abs=1e-12)


def test_losses_of_a_silent_map() -> None:
    logits, masks = torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 4)
    masks[0, 0, 0, 0] = 1
    ones, everyone = torch.ones_like(masks), torch.ones(2)
    score = float(focal(torch.zeros(2), torch.tensor([1.0, 0.0])).mean())
    both = segmentation_losses(logits, masks, ones, everyone)
    assert float(sum(both.values())) + score == pytest.approx(1.08664340, abs=1e-7)
    good_only = segmentation_losses(logits, torch.zeros_like(masks), ones, everyone)
    assert float(sum(good_only.values())) + score == pytest.approx(0.58664340, abs=1e-7)


def test_a_batch_without_drawn_masks_has_no_map_loss() -> None:
    logits = torch.randn(2, 1, 4, 4, requires_grad=True)
    masks = torch.zeros(2, 1, 4, 4)
    losses = segmentation_losses(logits, masks, torch.ones_like(masks), torch.zeros(2))
    total = sum(losses.values(), start=torch.zeros(()))
    assert float(total.detach()) == 0
    total.backward()
    assert logits.grad is not None
    assert float(logits.grad.abs().max()) == 0


def test_weights_multiply_before_the_mean() -> None:
    logits, masks = torch.zeros(1, 1, 1, 4), torch.tensor([[[[1.0, 1, 0, 0]]]])
    weights = torch.tensor([[[[3.0, 1, 1, 1]]]])
    losses = segmentation_losses(logits, masks, weights, torch.ones(1))
    assert float(losses["map_l1_defect"]) == pytest.approx((3 + 1) * 0.5 / 2)


class TestAnomalies:
    """Noise in feature space (acceptance oracle 13)."""

    def synthesise(self, version: str = "jims") -> tuple[Tensor, ...]:
        ssn = model(version=version, supervision="mixed")
        torch.manual_seed(3)
        raw, adapted = torch.randn(2, 384, 16, 16), torch.randn(2, 384, 16, 16)
        masks = torch.zeros(2, 1, 16, 16)
        masks[0, :, :8] = 1
        where = (torch.rand(4, 1, 16, 16) > 0.5).float()
        where[3] = 0
        labels = torch.tensor([1.0, 0.0])
        return raw, adapted, masks, where, *ssn.add_anomalies(raw, adapted, masks, labels, where)

    def test_noise_is_where_it_should_be(self) -> None:
        _, adapted, masks, where, _, noised, after, labels = self.synthesise()
        change = (noised - adapted.repeat(2, 1, 1, 1)).abs().amax(1, keepdim=True)
        expected = where * (1 - masks.repeat(2, 1, 1, 1))
        assert torch.equal(change > 0, expected > 0)
        assert torch.equal(after, ((masks.repeat(2, 1, 1, 1) + where) > 0).float())
        assert labels.tolist() == [1, 1, 1, 0]

    def test_jims_puts_the_same_noise_on_raw_features(self) -> None:
        raw, adapted, _, _, noised_raw, noised, _, _ = self.synthesise()
        on_raw = noised_raw - raw.repeat(2, 1, 1, 1)
        on_adapted = noised - adapted.repeat(2, 1, 1, 1)
        torch.testing.assert_close(on_raw, on_adapted, atol=1e-6, rtol=0)
        assert float(on_adapted[on_adapted != 0].std()) == pytest.approx(0.015, rel=0.01)

    def test_icpr_leaves_raw_features_alone(self) -> None:
        raw, _, _, _, noised_raw, _, _, _ = self.synthesise("icpr")
        assert torch.equal(noised_raw, raw.repeat(2, 1, 1, 1))


class TestGradients:
    """Gradients of the losses in each part (acceptance oracle 16)."""

    def gradients(self, **settings: str) -> tuple[bool, bool]:
        ssn = model((64, 64), score="classification", **settings).train()
        supervised = settings.get("supervision") == "mixed"
        losses = ssn.loss(ssn.extract(images(2)), targets(2, defective=supervised))
        losses["score_focal"].backward()
        return has_gradient(ssn.adaptor), has_gradient(ssn.segmentation)

    def test_unsupervised_jims_cuts_the_classifier_off(self) -> None:
        assert self.gradients() == (False, False)

    def test_supervised_lets_it_through(self) -> None:
        assert self.gradients(supervision="mixed") == (True, True)

    def test_unsupervised_icpr_reaches_the_adaptor_only(self) -> None:
        assert self.gradients(version="icpr") == (True, False)

    def test_leaving_the_classifier_out_changes_nothing_else(self) -> None:
        results = []
        for score in ("segmentation", "classification"):
            ssn = model(score=score).train()
            torch.manual_seed(9)
            losses = ssn.loss(ssn.extract(images(2)), targets(2))
            sum(losses.values(), start=torch.zeros(())).backward()
            assert ssn.adaptor.weight.grad is not None
            results.append(ssn.adaptor.weight.grad)
        assert torch.equal(results[0], results[1])


def has_gradient(module: torch.nn.Module) -> bool:
    return any(p.grad is not None and bool(p.grad.abs().max() > 0) for p in module.parameters())


@pytest.mark.parametrize("score", ["segmentation", "classification"])
def test_scores_do_not_depend_on_the_batch(score: str) -> None:
    ssn = model(score=score)
    with torch.no_grad():
        together = ssn(images(3))
        alone = ssn(images(3)[1:2])
    torch.testing.assert_close(alone.scores[0], together.scores[1], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(alone.maps[0], together.maps[1], rtol=1e-5, atol=1e-6)


def test_the_map_is_the_literal_interpolation_and_blur() -> None:
    ssn = model()
    with torch.no_grad():
        features = ssn.extract(images(1))
        logits = ssn.segmentation(ssn.adaptor(ssn.embed(features)))
        resized = F.interpolate(logits, (64, 64), mode="bilinear", align_corners=False)
        taps = torch.exp(-(torch.arange(-12.0, 13.0) ** 2) / 32)
        kernel = taps[:, None] * taps[None, :]
        padded = F.pad(resized, (12,) * 4, mode="reflect")
        expected = F.conv2d(padded, (kernel / kernel.sum())[None, None])[:, 0]
        torch.testing.assert_close(ssn.predict(features).maps, expected, rtol=1e-5, atol=1e-6)


def test_a_sample_of_the_grid_is_a_part_of_the_whole() -> None:
    ssn = model(sampled_grid=6)
    features = ssn.extract(images(2))
    rows, columns = torch.tensor([0, 3, 15]), torch.tensor([1, 14])
    sample = ssn.embed_sample(features, rows, columns)
    expected = ssn.embed(features)[:, :, rows][..., columns]
    torch.testing.assert_close(sample, expected, rtol=1e-5, atol=1e-6)


def test_a_sample_of_the_grid_needs_a_map_score() -> None:
    with pytest.raises(ValidationError, match="leaves the classification head without"):
        Config.model_validate({"sampled_grid": 16, "score": "classification"})


def test_learning_rate_falls_after_80_and_90_percent() -> None:
    ssn = model()
    by = ssn.optimisation(300)
    factors = []
    for _ in range(300):
        factors.append(by.optimisers[0].param_groups[1]["lr"] / 2e-4)
        by.optimisers[0].step()
        by.schedules[0].step()
    assert factors[239] == pytest.approx(1)
    assert factors[240] == factors[269] == pytest.approx(0.4)
    assert factors[270] == factors[299] == pytest.approx(0.16)


def test_a_single_epoch_learns_at_the_full_rate() -> None:
    """Many images reach `minimum_steps` in one epoch; torch applies a milestone of 0 at once."""
    groups = model().optimisation(1).optimisers[0].param_groups
    assert [group["lr"] for group in groups] == [1e-4, 2e-4]


def test_noise_follows_the_scale_of_the_features() -> None:
    ssn = model(noise_std="auto")
    features = ssn.extract(images(4))
    ssn.prepare(DataFacts(4, 0, 0), lambda: iter([features]))
    expected = ssn.embed(features).double().transpose(0, 1).flatten(1).std(1, correction=0)
    assert ssn.noise_std == pytest.approx(0.5 * float(expected.mean()), rel=1e-6)


def test_real_defects_with_masks_ask_for_small_synthetic_ones() -> None:
    ssn = model(supervision="mixed")
    ssn.prepare(DataFacts(10, 4, 0), lambda: iter(()))
    assert ssn.perlin_threshold == 0.2
    ssn.prepare(DataFacts(10, 4, 4), lambda: iter(()))
    assert ssn.perlin_threshold == 0.6


def test_a_map_that_learnt_nothing_is_doubted() -> None:
    assert model().doubts({"map_l1_good": 0.4, "map_l1_defect": 0.6, "map_focal": 0.05})
    assert not model().doubts({"map_l1_good": 0.1, "map_l1_defect": 0.2, "map_focal": 0.05})
