"""DifferNet and its spatial variant against the paper: flow, features, rotations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional as F

from inspection.errors import BundleError, ConfigError
from tests.doubles import small_models
from tests.doubles.small_models import small_differnet as model
from tests.doubles.small_models import small_differnet_spatial as spatial
from training.backbones import AlexNet, BackboneConfig
from training.checkpoint import Fitting, Progress, Task, load_run, load_state, save_state
from training.config import TrainConfig
from training.data.order import GoodOnly
from training.data.samples import Targets
from training.fit import fit
from training.metrics import auroc
from training.models import differnet
from training.models.base import AnomalyModel
from training.models.differnet import Turn, TurnBack, layer_shapes
from training.models.flow import Flow, FlowConfig, Subnet, permutation

SIZE = (64, 64)
RESNET = {"weights": "none", "layers": [1, 2]}
TINY = {"backbone": RESNET, "hidden": 16, "blocks": 2}
ALEXNET = BackboneConfig(name="alexnet.tv_in1k", weights="none")
NLL = "negative_log_likelihood"
NOTHING = Targets(*[torch.zeros(0)] * 4)


def flow(channels: int, blocks: int = 3, hidden: int = 16) -> Flow:
    """Makes a flow with outputs away from the identity, float64."""
    torch.manual_seed(0)
    config = FlowConfig(blocks=blocks, hidden=hidden, standardise=True)
    made = Flow(channels, config).double()
    made.prepare([torch.randn(9, channels, dtype=torch.float64) * 0.3 + 1])
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(2)
    return made


def frames(count: int, size: tuple[int, int] = SIZE) -> Tensor:
    return small_models.frames(count, size)


VARIANTS = [
    pytest.param(model, id="quarter turns"),
    pytest.param(lambda: model(training_rotations=6, inference_rotations=6), id="six copies"),
    pytest.param(lambda: model((64, 96), inference_rotations=4), id="oblong, turned"),
    pytest.param(lambda: model((96, 64)), id="oblong"),
    pytest.param(lambda: model(training_rotations=1), id="upright"),
    pytest.param(lambda: model(standardise=True), id="standardised"),
    pytest.param(lambda: spatial((64, 96)), id="spatial"),
    pytest.param(lambda: spatial(context=True, score="mean", standardise=True), id="spatial, mean"),
]


class TestFlow:
    @pytest.mark.parametrize(
        ("seed", "first"),
        [
            (0, [661, 122, 113, 14, 529, 103]),
            (1, [285, 101, 581, 352, 726, 472]),
            (7, [353, 236, 323, 98, 701, 61]),
        ],
    )
    def test_permutations_are_the_published_ones(self, seed: int, first: list[int]) -> None:
        order = permutation(768, seed)
        assert order[:6].tolist() == first
        assert order.sort().values.tolist() == list(range(768))

    def test_permutations_move_with_the_model_and_stay_out_of_its_state(self) -> None:
        made = flow(8)
        assert {"blocks.0.order", "blocks.2.inverse_order"} <= dict(made.named_buffers()).keys()
        assert not [name for name in made.state_dict() if "order" in name]

    def test_parameters_of_the_paper(self) -> None:
        with torch.device("meta"):
            made = Flow(768, FlowConfig())
            subnet = Subnet(384, 384, 2048)
        assert sum(p.numel() for p in made.parameters()) == 172_077_056
        assert sum(p.numel() for p in subnet.parameters()) == 10_754_816

    @pytest.mark.parametrize("channels", [8, 9])
    def test_the_inverse_gives_the_features_back(self, channels: int) -> None:
        made = flow(channels).float()
        y = torch.randn(5, channels) * 0.3 + 1
        with torch.no_grad():
            z, _ = made(y)
            assert float((made.inverse(z) - y).abs().max()) < 1e-4
        assert float((z - y).abs().max()) > 0.1

    def test_log_determinant_is_that_of_the_jacobian(self) -> None:
        made = flow(8)
        for y in torch.randn(3, 8, dtype=torch.float64):
            jacobian = torch.autograd.functional.jacobian(lambda v: made(v[None])[0][0], y)
            expected = torch.linalg.slogdet(jacobian).logabsdet
            torch.testing.assert_close(made(y[None])[1][0], expected)

    @pytest.mark.parametrize("log_det", [False, True])
    @pytest.mark.parametrize("channels", [8, 9])
    def test_the_closed_gradient_is_that_of_autograd(self, log_det: bool, channels: int) -> None:
        made = flow(channels).float()
        y = torch.randn(6, channels, requires_grad=True)
        z, determinant = made(y)
        objective = 0.5 * z.square().sum() - log_det * determinant.sum()
        (expected,) = torch.autograd.grad(objective, y)
        with torch.no_grad():
            again, gradient = made.gradient(y, log_det=log_det)
        assert torch.equal(again, z)
        assert float((gradient - expected).abs().max() / expected.abs().max()) <= 1e-5

    def test_maps_are_vectors_at_every_position(self) -> None:
        made = flow(8)
        maps = torch.randn(2, 8, 3, 4, dtype=torch.float64)
        rows = maps.permute(0, 2, 3, 1).flatten(0, 2)
        z, determinant = made(maps)
        expected, expected_determinant = made(rows)
        torch.testing.assert_close(z.permute(0, 2, 3, 1).flatten(0, 2), expected)
        torch.testing.assert_close(determinant.flatten(), expected_determinant)
        gradient = made.gradient(maps, log_det=True)[1].permute(0, 2, 3, 1).flatten(0, 2)
        torch.testing.assert_close(gradient, made.gradient(rows, log_det=True)[1])
        nll = made.negative_log_likelihood
        torch.testing.assert_close(nll(maps), nll(rows))

    def test_features_are_standardised_over_all_batches(self) -> None:
        made = Flow(8, FlowConfig(blocks=1, hidden=4, standardise=True))
        y = torch.randn(40, 8) * torch.arange(8) + 10
        made.prepare(y.split(16))
        torch.testing.assert_close(made.centre, y.mean(0))
        expected = y.std(0, correction=0)
        torch.testing.assert_close(made.spread[1:], expected[1:], rtol=1e-4, atol=0)
        assert float(made.spread[0]) == pytest.approx(0.1 * float(expected.mean()), rel=1e-4)

    def test_what_is_far_from_all_good_parts_has_bounded_scores(self) -> None:
        made = flow(8)
        with torch.no_grad():
            far, further = (made(torch.full((1, 8), value).double())[0] for value in (1e3, 1e9))
        torch.testing.assert_close(far, further, rtol=0.02, atol=0)

    def test_the_published_flow_takes_features_as_they_are(self) -> None:
        made = Flow(8, FlowConfig(blocks=1, hidden=4))
        made.prepare([torch.randn(40, 8) + 10])
        assert made.centre.tolist() == [0] * 8
        assert made.spread.tolist() == [1] * 8

    def test_the_loss_is_the_likelihood_of_a_normal_distribution(self) -> None:
        made = flow(8)
        y = torch.randn(4, 8, dtype=torch.float64)
        z, determinant = made(y)
        normal = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1)
        constant = 0.5 * np.log(2 * np.pi)
        expected = (-(normal + determinant) / 8).mean() - constant
        torch.testing.assert_close(made.negative_log_likelihood(y), expected)


class TestFeatures:
    def test_alexnet_sizes_and_parameters_of_the_paper(self) -> None:
        made = AlexNet(ALEXNET)
        shapes = layer_shapes(made, (448, 448), 3)
        assert shapes == [(256, 13, 13), (256, 6, 6), (256, 2, 2)]
        assert sum(p.numel() for p in made.parameters()) == 2_469_696

    def test_alexnet_reads_the_names_of_torchvision(self, tmp_path: Path) -> None:
        source = AlexNet(ALEXNET)
        state = {**source.body.state_dict(), "classifier.6.bias": torch.zeros(1000)}
        torch.save(state, tmp_path / "alexnet.pth")
        assert {"features.0.weight", "features.10.bias"} <= state.keys()
        read = AlexNet(ALEXNET.model_copy(update={"weights": str(tmp_path / "alexnet.pth")}))
        images = frames(1, (96, 96))
        assert torch.equal(read(images)[0], source(images)[0])
        torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
        with pytest.raises(BundleError, match=r"not the weights of alexnet\.tv_in1k"):
            AlexNet(ALEXNET.model_copy(update={"weights": str(tmp_path / "other.pth")}))

    def test_each_scale_is_nearest_interpolation(self) -> None:
        images = frames(1).permute(0, 3, 1, 2).float()
        for step in (2, 4):
            resized = F.interpolate(images, scale_factor=1 / step, mode="nearest")
            assert torch.equal(images[:, :, ::step, ::step], resized)

    def test_a_vector_is_the_means_of_all_maps(self) -> None:
        made = model(training_rotations=1, scales=2)
        images = frames(2)
        (y,) = made.extract(images)
        whole, half = made.backbone(images), made.backbone(images[:, ::2, ::2])
        means = [f.mean((2, 3)) for f in (*whole, *half)]
        torch.testing.assert_close(y[:, 0], torch.cat(means, dim=1))
        assert y.shape == (2, 1, 2 * (64 + 128))

    def test_too_small_images_are_refused(self) -> None:
        config = differnet.Config(backbone=ALEXNET, hidden=8)
        with pytest.raises(ConfigError, match=r"smallest of 3 scales, \(16, 16\) px"):
            differnet.Model(config, SIZE)


class TestRotation:
    def test_quarter_turns_are_exact(self) -> None:
        images = frames(2)
        copies = Turn(SIZE, 4)(images)
        for number in range(4):
            assert torch.equal(copies[:, number], torch.rot90(images, number, (1, 2)))

    def test_eighths_contain_the_quarters(self) -> None:
        images, eighths = frames(1, (32, 32)), Turn((32, 32), 8)
        for number in range(4):
            quarter = torch.rot90(images, number, (1, 2))
            assert torch.equal(eighths.copy(images, 2 * number), quarter)
            assert torch.equal(eighths(images)[:, 2 * number], quarter)

    def test_other_angles_are_nearest_pixels_of_grid_sample(self) -> None:
        size = (33, 33)
        images = frames(1, size)
        for number in (1, 2, 5):
            angle = torch.tensor(2 * np.pi * number / 7)
            cosine, sine = float(angle.cos()), float(angle.sin())
            matrix = torch.tensor([[[cosine, -sine, 0], [sine, cosine, 0]]], dtype=torch.float64)
            grid = F.affine_grid(matrix, [1, 3, *size], align_corners=False)
            planes = images.permute(0, 3, 1, 2).double()
            turned = F.grid_sample(planes, grid, mode="nearest", align_corners=False)
            ours = Turn(size, 7).copy(images, number).permute(0, 3, 1, 2)
            assert torch.equal(ours.double(), turned)

    def test_corners_are_black(self) -> None:
        turned = Turn((32, 32), 8).copy(torch.full((1, 32, 32, 3), 255, dtype=torch.uint8), 1)
        assert turned[0, 0, 0].tolist() == [0, 0, 0]
        assert turned[0, 16, 16].tolist() == [255, 255, 255]

    @pytest.mark.parametrize(("size", "count"), [((8, 8), 4), ((8, 12), 2), ((40, 40), 9)])
    def test_turning_back_undoes_it(self, size: tuple[int, int], count: int) -> None:
        rows = torch.linspace(0, 1, size[0])[:, None]
        maps = (rows + torch.linspace(0, 2, size[1])).expand(2, *size)
        turn = Turn(size, count)
        copies = turn(maps[..., None].expand(-1, -1, -1, 3))[..., 0]  # (N, T, h, w)
        back = TurnBack(size, count)(copies.flatten(0, 1))
        if turn.is_lossless:
            torch.testing.assert_close(back, maps)
        middle = (slice(None), slice(size[0] // 4, -size[0] // 4), slice(size[1] // 4, -2))
        assert float((back - maps)[middle].abs().mean()) < 0.1

    def test_how_many_copies_inference_makes(self) -> None:
        assert model().turn.count == 4
        assert model((64, 96)).turn.count == 1
        assert model(training_rotations=1).turn.count == 1
        assert model(training_rotations=6).turn.count == 2
        assert model(training_rotations=6, inference_rotations=6).turn.count == 6

    @pytest.mark.parametrize(("learnt", "made"), [(1, 4), (8, 6), (8, 64)])
    def test_copies_that_were_not_learnt_are_refused(self, learnt: int, made: int) -> None:
        problem = (
            rf"inference_rotations {made} turns by angles that training_rotations {learnt} has not "
            rf"learnt, .* a divisor of {learnt}, or training_rotations to a multiple of {made}"
        )
        with pytest.raises(ValidationError, match=problem):
            differnet.Config(training_rotations=learnt, inference_rotations=made)

    def test_a_turned_image_has_the_same_score_and_a_turned_map(self) -> None:
        made = model()
        images = frames(2)
        with torch.no_grad():
            upright, turned = made(images), made(torch.rot90(images, 1, (1, 2)))
        torch.testing.assert_close(turned.scores, upright.scores)
        expected = torch.rot90(upright.maps, 1, (1, 2))
        torch.testing.assert_close(turned.maps, expected, rtol=1e-4, atol=1e-6)


class TestDifferNet:
    def test_score_is_the_mean_square_over_copies_and_dimensions(self) -> None:
        made = model(training_rotations=4)
        images = frames(2)
        (copies,) = made.extract(images)
        with torch.no_grad():
            z, _ = made.flow(copies.flatten(0, 1))
            expected = z.reshape(2, -1).square().mean(1)
            torch.testing.assert_close(made(images).scores, expected)

    def test_the_map_is_the_change_of_the_score_to_first_order(self) -> None:
        made = model(training_rotations=1, scales=1)
        features = [f.clone().requires_grad_() for f in made.backbone(frames(1))]
        score = made.flow(differnet.pooled(tuple(features)))[0].square().mean()
        gradients = torch.autograd.grad(score, features)
        expected = torch.zeros(1, 1, *SIZE)
        means = made.mean.split(made.widths)
        for feature, gradient, mean in zip(features, gradients, means, strict=True):
            cells = feature.shape[-2] * feature.shape[-1]
            share = (gradient * (feature - mean[:, None, None])).sum(1, keepdim=True)
            expected += F.interpolate(F.relu(share) * cells, SIZE, mode="bilinear").detach()
        with torch.no_grad():
            maps = made.predict(tuple(features)).maps
        torch.testing.assert_close(maps, expected[:, 0], rtol=1e-4, atol=1e-6)

    def test_the_mean_is_that_of_the_copies_of_inference(self) -> None:
        made = model()
        vectors = made.extract(frames(3))[0][:, [0, 2, 4, 6]]
        torch.testing.assert_close(made.mean, vectors.mean((0, 1)), rtol=1e-5, atol=1e-6)

    def test_a_step_draws_some_copies_of_each_image(self) -> None:
        made = model(drawn_rotations=2)
        features = made.extract(frames(2))
        torch.manual_seed(5)
        first, second = (float(made.loss(features, NOTHING)[NLL].detach()) for _ in range(2))
        torch.manual_seed(5)
        assert float(made.loss(features, NOTHING)[NLL].detach()) == first != second

    def test_all_copies_are_taken_when_fewer_are_there(self) -> None:
        made = model(training_rotations=3, drawn_rotations=4)
        (copies,) = made.extract(frames(2))
        expected = made.flow.negative_log_likelihood(copies.flatten(0, 1))
        torch.testing.assert_close(made.loss((copies,), NOTHING)[NLL], expected)

    def test_only_the_flow_learns(self) -> None:
        made = model().train()
        assert not made.backbone.training
        learnt = made.optimisation(1).optimisers[0].param_groups
        assert sum(len(group["params"]) for group in learnt) == len(list(made.flow.parameters()))
        assert not made.extract(frames(1))[0].requires_grad


class TestSpatial:
    def test_all_scales_lie_on_the_grid_of_the_first(self) -> None:
        made = spatial()
        features = made.extract(frames(2))
        y = made.embed(features)
        assert y.shape == (2, 3 * (64 + 128), 16, 16)
        assert torch.equal(y[:, :64], features[0])

    def test_a_sample_of_positions_costs_the_same_on_average(self) -> None:
        whole, sampled = spatial(), spatial(sampled_positions=40)
        features = whole.extract(frames(4))
        expected = float(whole.loss(features, NOTHING)[NLL].detach())
        drawn = [float(sampled.loss(features, NOTHING)[NLL].detach()) for _ in range(20)]
        assert np.mean(drawn) == pytest.approx(expected, rel=0.02)
        assert np.std(drawn) > 0

    def test_scores(self) -> None:
        with torch.no_grad():
            by_maximum, by_mean = spatial()(frames(2)), spatial(score="mean")(frames(2))
            z, _ = spatial().flow(spatial().embed(spatial().extract(frames(2))))
        torch.testing.assert_close(by_maximum.scores, by_maximum.maps.amax((1, 2)))
        torch.testing.assert_close(by_mean.scores, z.square().mean((1, 2, 3)))


@pytest.mark.parametrize("make", VARIANTS)
class TestAllVariants:
    def test_an_image_alone_scores_as_in_a_batch(self, make: Callable[[], AnomalyModel]) -> None:
        made = make()
        images = frames(3, made.size)
        with torch.no_grad():
            together, alone = made(images), made(images[1:2])
        assert relative(alone.scores[0], together.scores[1]) <= 1e-5
        assert relative(alone.maps[0], together.maps[1]) <= 1e-5


def relative(expected: Tensor, other: Tensor) -> float:
    return float((expected - other).abs().max() / expected.abs().max())


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Draws good parts that are squares: the authors' data set for trying an installation."""
    root = tmp_path_factory.mktemp("squares")
    (root / "train" / "good").mkdir(parents=True)
    for number, image in enumerate(shapes(20, seed=0, round_ones=False)):
        cv2.imwrite(str(root / "train" / "good" / f"{number}.png"), image)
    return root


def shapes(count: int, *, seed: int, round_ones: bool) -> list[npt.NDArray[np.uint8]]:
    """Draws squares, or circles of the same width, white on grey."""
    random = np.random.default_rng(seed)
    images = []
    for _ in range(count):
        image = random.normal(90, 3, (*SIZE, 3)).clip(0, 255).astype(np.uint8)
        x, y = (int(v) for v in random.integers(28, 36, 2))
        half = int(random.integers(14, 17))
        if round_ones:
            cv2.circle(image, (x, y), half, (220, 220, 220), -1)
        else:
            cv2.rectangle(image, (x - half, y - half), (x + half, y + half), (220, 220, 220), -1)
        images.append(image)
    return images


def training(data: Path, name: str, **settings: object) -> TrainConfig:
    return TrainConfig.model_validate(
        {
            "data": {"folder": data, "image_size": SIZE},
            "model": {"name": name, **TINY, **settings},
            "fit": {"epochs": 2, "batch_size": 8},
        }
    )


@pytest.mark.parametrize("name", ["differnet", "differnet_spatial"])
def test_a_finished_run_gives_the_same_scores_when_loaded(
    squares: Path, tmp_path: Path, name: str
) -> None:
    record = fit(training(squares, name), tmp_path / "run")
    assert (record.epochs, record.steps) == (2, 4)
    first, second = load_run(tmp_path / "run")[1], load_run(tmp_path / "run")[1]
    with torch.no_grad():
        one, other = first(frames(2)), second(frames(2))
    assert torch.equal(one.scores, other.scores)
    assert torch.equal(one.maps, other.maps)
    if isinstance(first, differnet.Model):
        assert float(first.mean.abs().max()) > 0


def test_weights_that_were_learnt_without_a_bound_are_refused(
    squares: Path, tmp_path: Path
) -> None:
    fit(training(squares, "differnet"), tmp_path / "run")
    record = tmp_path / "run/run.json"
    record.write_text(record.read_text().replace('"standardise": false', '"standardise": true'))
    with pytest.raises(BundleError, match=r"(?s)train again: .*flow\.reach"):
        load_run(tmp_path / "run")


def test_a_training_without_a_bound_is_not_resumed_with_one(tmp_path: Path) -> None:
    task = Task(training(tmp_path, "differnet", standardise=True), "data")

    def fitting(*, standardise: bool) -> Fitting:
        made = model(standardise=standardise)
        return Fitting(made, GoodOnly(4), made.optimisation(2))

    save_state(tmp_path, task, fitting(standardise=False), Progress(1, 2, 3.0))
    with pytest.raises(BundleError, match=r"(?s)remove .* to start again: .*flow\.reach"):
        load_state(tmp_path, task, fitting(standardise=True))


def test_circles_are_told_from_squares(squares: Path, tmp_path: Path) -> None:
    config = training(
        squares,
        "differnet",
        backbone={"weights": "none", "layers": [1]},
        hidden=32,
        training_rotations=4,
        learning_rate=2e-3,
        standardise=True,
    )
    longer = config.model_copy(update={"fit": config.fit.model_copy(update={"epochs": 20})})
    fit(longer, tmp_path / "run")
    _, made = load_run(tmp_path / "run")
    assert separation(made) == 1.0


def separation(made: AnomalyModel) -> float:
    good = shapes(20, seed=1, round_ones=False)
    bad = shapes(20, seed=2, round_ones=True)
    with torch.no_grad():
        scores = made(torch.from_numpy(np.stack([*good, *bad]))).scores.numpy()
    return float(auroc(scores, np.repeat([False, True], 20)))
