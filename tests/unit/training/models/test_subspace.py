"""The subspace model against its definition, computed in another way in float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from pydantic import ValidationError
from scipy.ndimage import gaussian_filter, uniform_filter
from torch import Tensor
from torch.nn import functional as F

from inspection.errors import CameraError
from tests.doubles.small_models import frames, small_subspace
from training.models.subspace import Config, Gaussian, Model, residual, whitening

SIZE = (64, 96)
Array = npt.NDArray[np.float64]


def literal_patches(model: Model, images: Tensor) -> list[Array]:
    """Returns the patches (N, h, w, D) of each judged grid, layer by layer with scipy."""
    pooled = [
        uniform_filter(f.double().numpy(), size=(1, 1, 3, 3), mode="constant")
        for f in model.extract(images)
    ]
    if model.config.layers_joined:
        grid = pooled[0].shape[-2:]
        resized = [F.interpolate(torch.from_numpy(p), grid, mode="bilinear") for p in pooled]
        pooled = [torch.cat(resized, 1).numpy()]
    return [p.transpose(0, 2, 3, 1) for p in pooled]


def literal_residual(good: Array, away: Array, variance: float) -> tuple[Array, Array]:
    """Reconstructs from the principal directions of the SVD of all good patches."""
    centred = good - good.mean(0)
    _, singular, directions = np.linalg.svd(centred, full_matrices=False)
    explained = np.cumsum(singular**2) / np.sum(singular**2)
    principal = directions[: int(np.searchsorted(explained, variance)) + 1]

    def error(x: Array) -> Array:
        errors: Array = np.sum((x - x @ principal.T @ principal) ** 2, axis=-1)
        return errors

    return error(away), error(centred)


def literal_mahalanobis(good: Array, away: Array, shrinkage: float) -> tuple[Array, Array]:
    centred = good - good.mean(0)
    covariance = np.cov(good.T, bias=True)
    width = len(covariance)
    shrunk = covariance + shrinkage * np.trace(covariance) / width * np.eye(width)

    def distance(x: Array) -> Array:
        distances: Array = np.einsum(
            "...d,...d->...", x, np.linalg.solve(shrunk, x[..., None])[..., 0]
        )
        return distances

    return distance(away), distance(centred)


LITERAL: dict[str, tuple[Callable[..., tuple[Array, Array]], dict[str, float]]] = {
    "residual": (literal_residual, {"variance": 0.9}),
    "mahalanobis": (literal_mahalanobis, {"shrinkage": 0.05}),
}


@pytest.mark.parametrize("layers_joined", [True, False])
@pytest.mark.parametrize("distance", ["residual", "mahalanobis"])
def test_map_and_score_are_the_definition(layers_joined: bool, distance: str) -> None:
    literal, setting = LITERAL[distance]
    made = small_subspace(SIZE, layers_joined=layers_joined, distance=distance, **setting)
    learnt, seen = frames(4, SIZE), frames(6, SIZE)[4:]
    expected, total = np.zeros((2, *SIZE)), 0.0
    for good, new in zip(literal_patches(made, learnt), literal_patches(made, seen), strict=True):
        vectors = good.reshape(-1, good.shape[-1])
        distances, of_good = literal(vectors, new - vectors.mean(0), **setting)
        total += of_good.mean()
        resized = F.interpolate(torch.from_numpy(distances)[:, None], SIZE, mode="bilinear")
        expected += gaussian_filter(resized[:, 0].numpy(), (0, 4, 4), mode="mirror")
    expected /= total
    scores, maps = made(seen)
    np.testing.assert_allclose(maps.numpy(), expected, rtol=2e-5)
    np.testing.assert_allclose(scores.numpy(), expected.max((1, 2)), rtol=2e-5)


def test_the_statistics_are_those_of_all_vectors_in_any_order() -> None:
    generator = torch.Generator().manual_seed(3)
    parts = [5 + torch.randn(n, 7, generator=generator) for n in (4, 1, 30, 9)]
    gaussians = [Gaussian(7) for _ in range(3)]
    for part in parts:
        gaussians[0].add(part)
    for part in (parts[2], parts[0]):
        gaussians[1].add(part)
    for part in (*parts, 100 * parts[3]):
        gaussians[2].add(part)
    for part in (100 * parts[3], parts[3], parts[1]):
        gaussians[2].remove(part)
    everything = torch.cat(parts).double()
    assert float(gaussians[0].count) == 44
    torch.testing.assert_close(gaussians[0].mean, everything.mean(0), rtol=1e-13, atol=0)
    cov = torch.from_numpy(np.cov(everything.T.numpy(), bias=True))
    torch.testing.assert_close(gaussians[0].covariance, cov, rtol=1e-12, atol=1e-14)
    for name in ("count", "mean", "covariance"):
        a, b = (gaussian.get_buffer(name) for gaussian in gaussians[1:])
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("values", "variance", "kept"),
    [
        ((4.0, 3.0, 2.0, 1.0), 0.69, 2),
        ((4.0, 3.0, 2.0, 1.0), 0.71, 1),
        ((4.0, 3.0, 2.0, 1.0), 0.01, 3),
        ((1.0, 0.0, 0.0, 0.0), 0.999, 3),
        ((4.0, 4.0, 4.0, 3.9), 0.999999, 1),
    ],
)
def test_the_subspace_is_the_smallest_that_explains_the_share(
    values: tuple[float, ...], variance: float, kept: int
) -> None:
    rows = residual(torch.diag(torch.tensor(values, dtype=torch.float64)), variance)
    assert int(rows.any(dim=1).sum()) == kept
    assert rows[rows.any(dim=1)].abs().sum(0).nonzero().flatten().tolist() == list(
        range(4 - kept, 4)
    )


def test_a_direction_without_variance_stays_finite() -> None:
    covariance = torch.diag(torch.tensor([2.0, 0.0], dtype=torch.float64))
    made = whitening(covariance, 0.01)
    expected = torch.diag(1 / torch.tensor([2.01, 0.01], dtype=torch.float64))
    torch.testing.assert_close(made.T @ made, expected)


def test_good_patches_have_a_distance_of_one_on_average() -> None:
    made = small_subspace(SIZE)
    (gaussian,), (projection,) = made.statistics(), made.projections()
    mean = torch.trace(projection @ gaussian.covariance @ projection.T)
    assert float(mean) == pytest.approx(1.0)


def test_turned_copies_are_learnt_too() -> None:
    made = small_subspace(rotations=4)
    image = frames(1, (64, 64))
    views = list(made.views(image))
    assert len(views) == 4
    torch.testing.assert_close(views[0], image)
    inside = (slice(None), slice(2, -2), slice(2, -2))
    quarter = torch.rot90(image, 1, (1, 2))[inside].float()
    assert float((views[1][inside].float() - quarter).abs().mean()) < 1


def test_the_state_holds_the_model() -> None:
    made = small_subspace(SIZE)
    other = Model(made.config, SIZE)
    other.load_state_dict(made.state_dict())
    image = frames(1, SIZE)
    assert torch.equal(made(image).maps, other(image).maps)


def test_images_that_show_nothing_are_refused() -> None:
    config = Config.model_validate(
        {"backbone": {"name": "resnet18.tv_in1k", "weights": "none", "padding": "reflect"}}
    )
    made = Model(config, SIZE)
    grey = torch.full((1, *SIZE, 3), 90, dtype=torch.uint8)
    features = tuple(torch.zeros_like(f) for f in made.extract(grey))
    made.learn(features)
    with pytest.raises(CameraError, match="the good images show nothing"):
        made.solve()


@pytest.mark.parametrize(
    "settings",
    [
        {"variance": 1.0},
        {"variance": 0},
        {"distance": "mahalanobis", "shrinkage": 0},
        {"distance": "mahalanobis", "variance": 0.9},
        {"shrinkage": 0.1},
        {"rotations": 0},
        {"distance": "cosine"},
    ],
)
def test_settings_without_a_meaning_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Config.model_validate(settings)
