"""GANomaly against its specification: counts, losses, restarts, normalisation."""

import math
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from inspection.errors import ConfigError
from tests.doubles.small_models import frames
from tests.doubles.small_models import small_ganomaly as model
from training.checkpoint import Progress, load_run
from training.config import TrainConfig
from training.data.samples import Targets
from training.fit import fit
from training.models.base import Features
from training.models.ganomaly import Config, Model
from training.models.ganomaly_networks import Decoder, Discriminator, Encoder, Generator, Rebuilt

MAPS = ["reconstruction", "latent", "features"]
TINY = {"channels": 8, "latent": 10}


def images(count: int, size: int = 32) -> Tensor:
    return frames(count, (size, size))


def targets(count: int, size: int = 32) -> Targets:
    masks = torch.zeros(count, 1, size, size)
    return Targets(torch.zeros(count), masks, torch.ones_like(masks), torch.ones(count))


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("size", "encoder", "decoder", "generator", "discriminator"),
    [
        (16, 339_200, 339_328, 1_017_728, 136_448),
        (32, 1_068_800, 1_068_928, 3_206_528, 663_296),
        (64, 3_576_576, 3_576_704, 10_729_856, 2_765_568),
        (128, 12_786_432, 12_786_560, 38_359_424, 11_164_416),
        (256, 47_983_360, 47_983_488, 143_950_208, 44_739_328),
    ],
)
def test_parameters_of_the_paper(
    size: int, encoder: int, decoder: int, generator: int, discriminator: int
) -> None:
    with torch.device("meta"):
        assert count(Encoder(size, 64, 100, 0)) == encoder
        assert count(Decoder(size, 64, 100, 0)) == decoder
        assert count(Generator(size, 64, 100, 0)) == generator
        assert count(Discriminator(size, 64, 0)) == discriminator


@pytest.mark.parametrize("extra", [0, 2])
@pytest.mark.parametrize("size", [16, 32, 128])
def test_shapes(size: int, extra: int) -> None:
    with torch.device("meta"):
        image = torch.zeros(2, 3, size, size)
        rebuilt = Generator(size, 64, 100, extra)(image)
        discriminator = Discriminator(size, 64, extra)
        features, logits = discriminator.features(image), discriminator(image)
    assert rebuilt.image.shape == image.shape
    assert rebuilt.latent.shape == rebuilt.second_latent.shape == (2, 100, 1, 1)
    assert features.shape == (2, 8 * size, 4, 4)
    assert logits.shape == (2,)


def test_extra_layers_come_after_the_first_block_and_before_the_last() -> None:
    extra = 9 * 64 * 64 + 2 * 64
    with torch.device("meta"):
        assert count(Encoder(32, 64, 100, 2)) == 1_068_800 + 2 * extra
        assert count(Decoder(32, 64, 100, 2)) == 1_068_928 + 2 * extra


@pytest.mark.parametrize("size", [(48, 48), (8, 8), (1024, 1024), (64, 32)])
def test_other_sizes_are_refused(size: tuple[int, int]) -> None:
    message = "set data.image_size to a square of 16, 32, 64, 128, 256 or 512"
    with pytest.raises(ConfigError, match=message):
        Model(Config(), size)


def test_images_become_rgb_between_minus_one_and_one() -> None:
    blue = torch.zeros(1, 32, 32, 3, dtype=torch.uint8)
    blue[..., 0] = 255
    (image,) = model().extract(blue)
    assert image.shape == (1, 3, 32, 32)
    assert image.dtype == torch.float32
    assert image[0, :, 5, 5].tolist() == [-1, -1, 1]


def test_all_layers_start_as_dcgan_does() -> None:
    fresh = Model(Config(channels=32), (32, 32))
    norms = [module for module in fresh.modules() if isinstance(module, nn.BatchNorm2d)]
    for name, module in fresh.named_modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            weight = module.weight.detach()
            assert float(weight.std()) == pytest.approx(0.02, rel=0.1), name
            assert abs(float(weight.mean())) < 0.002, name
    gains = torch.cat([norm.weight.detach() for norm in norms])
    assert float(gains.mean()) == pytest.approx(1, abs=0.005)
    assert float(gains.std()) == pytest.approx(0.02, rel=0.15)
    assert all(float(norm.bias.detach().abs().max()) == 0 for norm in norms)


class FixedGenerator(nn.Module):
    """Rebuilds every image in a known way."""

    def __init__(self, image: float, latent: float, second_latent: float) -> None:
        super().__init__()
        self.values = image, latent, second_latent

    def forward(self, image: Tensor) -> Rebuilt:
        rebuilt, latent, second_latent = self.values
        code = torch.ones(len(image), 10, 1, 1)
        return Rebuilt(torch.full_like(image, rebuilt), latent * code, second_latent * code)


class FixedDiscriminator(nn.Module):
    """Features and logits are the image's mean, times a factor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def features(self, image: Tensor) -> Tensor:
        return self.factor * image.mean((1, 2, 3)).view(-1, 1, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.features(image).flatten()


@pytest.mark.parametrize(
    ("latents", "factor", "expected"), [((1, 1), 0, 25), ((1, 2), 2, 27), ((1, 2), 0, 26)]
)
def test_generator_loss(latents: tuple[float, float], factor: float, expected: float) -> None:
    ganomaly = model()
    ganomaly.generator = FixedGenerator(0, *latents)  # type: ignore[assignment]
    ganomaly.discriminator = FixedDiscriminator(factor)  # type: ignore[assignment]
    losses = ganomaly.loss((torch.full((2, 3, 32, 32), 0.5),), targets(2))
    assert float(sum(losses.values())) == pytest.approx(expected)


def test_discriminator_loss() -> None:
    ganomaly = model()
    ones = torch.ones(2, 3, 32, 32)
    ganomaly.discriminator = FixedDiscriminator(0)  # type: ignore[assignment]
    undecided = ganomaly.discriminator_loss((ones,), -ones)
    assert float(undecided["discriminator"]) == pytest.approx(math.log(2), abs=1e-7)
    ganomaly.discriminator = FixedDiscriminator(3)  # type: ignore[assignment]
    right, wrong = (ganomaly.discriminator_loss((s * ones,), -s * ones) for s in (1, -1))
    assert float(right["discriminator"]) == pytest.approx(math.log1p(math.exp(-3)), rel=1e-5)
    assert float(wrong["discriminator"]) == pytest.approx(math.log1p(math.exp(3)), rel=1e-5)


class PlainSteps:
    """Steps of one process, without Fabric."""

    def __init__(self, ganomaly: Model) -> None:
        self.module = ganomaly
        self.optimisers = ganomaly.optimisation(1).optimisers
        self.taken: list[int | None] = []

    def minimise(self, loss: Tensor, optimiser: int | None = None) -> None:
        assert optimiser is not None
        self.taken.append(optimiser)
        self.optimisers[optimiser].zero_grad()
        loss.backward()
        self.optimisers[optimiser].step()


def test_a_step_moves_the_generator_then_the_discriminator() -> None:
    ganomaly = model().train()
    steps = PlainSteps(ganomaly)
    before = {name: value.clone() for name, value in ganomaly.named_parameters()}
    losses = ganomaly.step(ganomaly.extract(images(4)), targets(4), steps)
    assert steps.taken == [0, 1]
    assert list(losses) == ["adversarial", "context", "latent", "discriminator"]
    assert all(not torch.equal(before[name], p) for name, p in ganomaly.named_parameters())


def test_each_loss_teaches_its_own_network() -> None:
    ganomaly = model().train()
    features = ganomaly.extract(images(4))
    losses, rebuilt = ganomaly.generator_loss(features)
    assert not rebuilt.requires_grad
    ganomaly.discriminator_loss(features, rebuilt)["discriminator"].backward()
    assert all(p.grad is None for p in ganomaly.generator.parameters())
    torch.stack(list(losses.values())).sum().backward()
    assert all(p.grad is not None for p in ganomaly.generator.parameters())


@pytest.mark.parametrize(("loss", "restarts"), [(9.9e-6, True), (1e-5, False)])
def test_a_discriminator_that_won_starts_anew(loss: float, restarts: bool) -> None:
    ganomaly = model().train()
    steps = PlainSteps(ganomaly)
    ganomaly.step(ganomaly.extract(images(4)), targets(4), steps)
    before = [p.detach().clone() for p in ganomaly.discriminator.parameters()]
    generator = [p.detach().clone() for p in ganomaly.generator.parameters()]
    ganomaly.restart_winner(torch.tensor(loss))
    pairs = zip(before, ganomaly.discriminator.parameters(), strict=True)
    assert all(torch.equal(b, a) is not restarts for b, a in pairs)
    assert (len(steps.optimisers[1].state) == 0) is restarts
    assert len(steps.optimisers[0].state) > 0
    pairs = zip(generator, ganomaly.generator.parameters(), strict=True)
    assert all(torch.equal(b, a) for b, a in pairs)


def batch_error(ganomaly: Model) -> float:
    with torch.no_grad():
        together, alone = ganomaly(images(3)), ganomaly(images(3)[1:2])
    return float((alone.scores[0] / together.scores[1] - 1).abs())


def test_scores_do_not_depend_on_the_batch() -> None:
    assert batch_error(model()) < 1e-6


def test_they_would_in_train_mode() -> None:
    """The check above can fail."""
    assert batch_error(model().train()) > 1e-4


@pytest.mark.parametrize("anomaly_map", MAPS)
def test_finishing_makes_the_maps_of_good_parts_standard(anomaly_map: str) -> None:
    ganomaly = model(anomaly_map=anomaly_map).train()
    keys = list(ganomaly.state_dict())
    good = ganomaly.extract(images(20))
    momenta = [m.momentum for m in ganomaly.modules() if isinstance(m, nn.BatchNorm2d)]
    ganomaly.finish(lambda: iter([(good[0][:8],), (good[0][8:16],), (good[0][16:],)]))
    assert list(ganomaly.state_dict()) == keys
    assert [m.momentum for m in ganomaly.modules() if isinstance(m, nn.BatchNorm2d)] == momenta
    with torch.no_grad():
        maps = ganomaly.predict(good).maps
        raw = ganomaly.raw_map(good[0], ganomaly.generator(good[0]))
    assert float(maps.mean(0).abs().max()) < 1e-3
    expected = raw.std(0, correction=0) / ganomaly.normal_spread()
    torch.testing.assert_close(maps.std(0, correction=0).double(), expected, rtol=1e-3, atol=0)
    floor = ganomaly.pixel_std.double()
    torch.testing.assert_close(ganomaly.normal_spread(), floor + 1e-6 + 0.05 * floor.mean())
    if anomaly_map == "features":
        means = [d.mean() for d in ganomaly._distances(good[0], ganomaly.generator(good[0]))]
        torch.testing.assert_close(ganomaly.level_means, torch.stack(means).detach())


def test_batch_norms_take_the_mean_over_the_images() -> None:
    ganomaly = model().train()
    x = ganomaly.extract(images(72))[0]

    def in_parts(*ends: int) -> Iterator[Features]:
        return iter([(x[start:end],) for start, end in zip((0, *ends), (*ends, 72), strict=True)])

    ganomaly.finish(lambda: in_parts(40, 64))
    norm = ganomaly.generator.encoder.body[3]
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    with torch.no_grad():
        seen = ganomaly.generator.encoder.body[:3](x).transpose(0, 1).flatten(1)
    torch.testing.assert_close(norm.running_mean, seen.mean(1), rtol=1e-4, atol=1e-5)
    assert norm.running_var is not None
    torch.testing.assert_close(norm.running_var, seen.var(1), rtol=0.05, atol=0)


def test_recalibration_makes_eval_mode_compute_what_train_mode_does() -> None:
    ganomaly = model().train()
    good = ganomaly.extract(images(16))
    ganomaly.finish(lambda: iter([good]))
    with torch.no_grad():
        evaluated = ganomaly.generator(good[0]).image
        trained = ganomaly.train().generator(good[0]).image
    assert float((evaluated - trained).abs().max()) < 0.01


def test_state_dicts_go_round() -> None:
    first = model()
    second = Model(Config.model_validate(TINY), (32, 32), load_weights=False).eval()
    second.load_state_dict(first.state_dict())
    with torch.no_grad():
        expected, got = first(images(2)), second(images(2))
    assert torch.equal(got.scores, expected.scores)
    assert torch.equal(got.maps, expected.maps)


def test_the_map_shows_where_a_part_differs() -> None:
    ganomaly = model(smoothing=1.5)
    normal = torch.zeros(1, 3, 32, 32)
    ganomaly.generator = FixedGenerator(0, 1, 1)  # type: ignore[assignment]
    normal[:, :, 20, 9] = 1
    nn.init.zeros_(ganomaly.pixel_mean)
    nn.init.ones_(ganomaly.pixel_std)
    prediction = ganomaly.predict((normal,))
    where = int(prediction.maps[0].argmax())
    assert divmod(where, 32) == (20, 9)
    assert float(prediction.maps.sum()) == pytest.approx(1 / (1.05 + 1e-6), rel=1e-5)
    assert float(prediction.scores[0]) == 0


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Draws twelve good parts: a bright disc that moves a little."""
    root = tmp_path_factory.mktemp("parts")
    random = np.random.default_rng(0)
    for number in range(12):
        image = random.normal(60, 5, (32, 32, 3)).clip(0, 255).astype(np.uint8)
        x, y = (int(value) for value in random.integers(13, 19, 2))
        cv2.circle(image, (x, y), 8, (200, 180, 160), -1)
        cv2.imwrite(str(root / f"{number}.png"), image)
    return root


def config(data: Path, **fit_settings: object) -> TrainConfig:
    return TrainConfig.model_validate(
        {
            "data": {"folder": data, "image_size": (32, 32)},
            "model": {"name": "ganomaly", **TINY},
            "fit": {"epochs": 2, "batch_size": 4, **fit_settings},
        }
    )


def test_a_fitted_run_can_be_loaded(parts: Path, tmp_path: Path) -> None:
    record = fit(config(parts), tmp_path / "run")
    assert set(record.losses) == {"adversarial", "context", "latent", "discriminator"}
    assert all(math.isfinite(loss) for loss in record.losses.values())
    _, loaded = load_run(tmp_path / "run")
    assert isinstance(loaded, Model)
    assert float(loaded.pixel_std.max()) < 1  # no longer what it starts as
    with torch.no_grad():
        prediction = loaded(images(2))
    assert bool(prediction.scores.isfinite().all())
    assert bool(prediction.maps.isfinite().all())


class StoppedHereError(Exception):
    pass


def stop_after_two(progress: Progress, epochs: int, losses: dict[str, float]) -> None:
    if progress.epoch == 2:
        raise StoppedHereError


def test_both_optimisers_are_resumed(parts: Path, tmp_path: Path) -> None:
    settings = config(parts, epochs=3, save_every_s=0)
    whole = fit(settings, tmp_path / "whole")
    with pytest.raises(StoppedHereError):
        fit(settings, tmp_path / "broken", stop_after_two)
    resumed = fit(settings, tmp_path / "broken")
    assert resumed.weights_sha256 == whole.weights_sha256


def test_a_model_that_learnt_nothing_is_doubted(parts: Path, tmp_path: Path) -> None:
    untrained = fit(config(parts, epochs=1, batch_size=12), tmp_path / "untrained")
    assert any("hardly better" in doubt for doubt in untrained.doubts)
    trained = fit(config(parts, minimum_steps=120), tmp_path / "trained")
    assert trained.doubts == ()
    assert trained.losses["context"] < 0.5 * untrained.losses["context"]
