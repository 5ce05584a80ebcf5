"""SimpleNet against its definition; numbers are the acceptance oracles of the paper's method."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor
from torch.nn import functional as F

from tests.doubles.small_models import frames
from tests.doubles.small_models import small_simplenet as model
from training.data.samples import Targets
from training.linear_maps import apply, bilinear, gaussian
from training.models.patch_embedding import PatchEmbedding, embedding_matrices
from training.models.simplenet import Config, Model


def literal_embedding(layers: list[Tensor], width: int, side: int) -> Tensor:
    """Unfolds, resizes every plane, pools each layer's vector, stacks, pools again."""
    height, across = layers[0].shape[-2:]
    pooled = []
    for layer in layers:
        count = layer.shape[1]
        patches = F.unfold(layer, side, padding=side // 2)
        patches = patches.reshape(len(layer), side**2 * count, *layer.shape[-2:])
        resized = F.interpolate(patches, (height, across), mode="bilinear", align_corners=False)
        rows = resized.permute(0, 2, 3, 1).reshape(-1, 1, side**2 * count)
        pooled.append(F.adaptive_avg_pool1d(rows, width)[:, 0])
    stacked = torch.stack(pooled, dim=1).flatten(1)[:, None]
    rows = F.adaptive_avg_pool1d(stacked, width)[:, 0]
    return rows.reshape(-1, height, across, width).permute(0, 3, 1, 2)


@pytest.mark.parametrize(
    ("channels", "width", "side"),
    [
        ((512, 1024), 1536, 3),
        ((128, 256), 1536, 3),
        ((64, 128, 256), 96, 3),
        ((12, 20), 31, 3),
        ((16,), 8, 3),
        ((128, 256), 96, 1),
        ((12, 20), 31, 5),
    ],
)
def test_the_embedding_is_its_definition(channels: tuple[int, ...], width: int, side: int) -> None:
    torch.manual_seed(0)
    grids = [(8 // 2**k, 12 // 2**k) for k in range(len(channels))]
    layers = [torch.randn(2, c, *g) for c, g in zip(channels, grids, strict=True)]
    got = PatchEmbedding(channels, grids, width, side)(layers)
    expected = literal_embedding([layer.double() for layer in layers], width, side)
    torch.testing.assert_close(got.double(), expected, rtol=0, atol=2e-6)


def test_wide_resnet_falls_into_256_groups() -> None:
    embedding = PatchEmbedding((512, 1024), [(4, 4), (2, 2)], 1536)
    assert [layer.pool.groups for layer in embedding.layer_embeddings()] == [256, 256]
    assert [(layer.first, layer.end) for layer in embedding.layer_embeddings()] == [
        (0, 768),
        (768, 1536),
    ]


def test_impulses_reach_the_outputs_of_their_bins() -> None:
    second, third = embedding_matrices((512, 1024), 1536)

    def reached(matrix: Tensor, channel: int) -> list[int]:
        return matrix[:, 9 * channel : 9 * channel + 9].any(dim=1).nonzero().flatten().tolist()

    assert reached(second, 0) == [0, 1]
    assert reached(second, 1) == [1, 2]
    assert reached(third, 1) == [768, 769]
    sums = second.sum(dim=1) + third.sum(dim=1)
    torch.testing.assert_close(sums, torch.ones(1536, dtype=torch.float64))


def test_zero_padding_dims_the_border() -> None:
    grids = [(36, 36), (18, 18)]
    ones = [torch.ones(1, 512, 36, 36), torch.ones(1, 1024, 18, 18)]
    embedded = PatchEmbedding((512, 1024), grids, 1536)(ones)[0]
    lowest = [half.amin(0)[:5, 18] for half in embedded.split(768)]
    torch.testing.assert_close(lowest[0], torch.tensor([0.5, 1, 1, 1, 1]))
    torch.testing.assert_close(lowest[1], torch.tensor([0.5, 0.625, 0.875, 1, 1]))


def test_parameters_are_those_of_the_paper() -> None:
    heads = Model(Config.model_validate({"backbone": {"weights": "none"}}), (64, 64))
    trained = [p for p in heads.parameters() if p.requires_grad]
    assert sum(p.numel() for p in trained) == 3_937_792


@pytest.mark.parametrize(
    ("good", "bad", "loss"), [(0.0, 0.0, 1.0), (0.5, -0.5, 0.0), (-1.0, 1.0, 3.0)]
)
def test_the_hinge_loss(good: float, bad: float, loss: float) -> None:
    made = model()

    class Constant(torch.nn.Module):
        def forward(self, patches: Tensor) -> Tensor:
            half = len(patches) // 2
            return torch.cat([torch.full((half,), good), torch.full((half,), bad)])

    made.discriminator = Constant()  # type: ignore[assignment]
    terms = made.loss(made.extract(frames(1, (64, 64))), nothing_known(1))
    assert sum(terms.values()).item() == pytest.approx(loss)  # type: ignore[union-attr]


def test_both_kinds_share_one_batch_norm() -> None:
    made = model().train()
    rows = torch.randn(20, 48)
    shifted = rows + 1
    together = made.discriminator(torch.cat([rows, shifted]))
    apart = torch.cat([made.discriminator(rows), made.discriminator(shifted)])
    assert (together - apart).abs().max() > 1e-2


def test_a_sample_of_patches_has_the_asked_size() -> None:
    made = model(sampled_patches=5)
    assert made._drawn(made.embed(made.extract(frames(3, (64, 64))))).shape == (15, 48)


def test_a_deeper_projection_has_only_linear_layers() -> None:
    """As the authors' code with its default layer type, so that it folds into one matrix."""
    made = model(projection_layers=3)
    assert [type(layer) for layer in made.adaptor] == [torch.nn.Linear] * 3
    trained = {id(p) for group in made.optimisation(1).optimisers for p in _parameters(group)}
    assert trained == {id(p) for p in made.parameters() if p.requires_grad}


def test_a_patch_has_a_cell_in_its_middle() -> None:
    with pytest.raises(ValidationError, match="2 must be odd, with the cell in the middle"):
        Config.model_validate({"patch_size": 2})


def test_the_score_is_the_highest_patch_and_the_map_never_exceeds_it() -> None:
    made = model()
    with torch.no_grad():
        scores, maps = made(frames(3, (64, 64)))
    assert maps.shape == (3, 64, 64)
    assert (maps.amax((1, 2)) <= scores + 1e-6).all()


def test_smoothing_is_resize_then_gaussian() -> None:
    """scipy's gaussian_filter(sigma=4, truncate=4), whose border repeats the last sample."""
    from scipy.ndimage import gaussian_filter

    grid = torch.rand(9, 13, dtype=torch.float64)
    rows, columns = (
        gaussian(n, 4.0, 16, "symmetric") @ bilinear(n, cells, align_corners=False)
        for n, cells in ((72, 9), (104, 13))
    )
    resized = F.interpolate(grid[None, None], (72, 104), mode="bilinear")[0, 0].numpy()
    expected = gaussian_filter(resized, sigma=4)
    np.testing.assert_allclose(apply(rows, grid, columns).numpy(), expected, atol=1e-12)


def test_each_image_is_judged_by_itself() -> None:
    made = model()
    images = frames(3, (64, 64))
    with torch.no_grad():
        together = made(images).scores
        alone = torch.cat([made(images[i : i + 1]).scores for i in range(3)])
    torch.testing.assert_close(together, alone, rtol=1e-6, atol=1e-6)


def _parameters(optimiser: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimiser.param_groups for parameter in group["params"]]


def nothing_known(count: int) -> Targets:
    zeros = torch.zeros(count, 1, 64, 64)
    return Targets(torch.zeros(count), zeros, zeros + 1, torch.ones(count))
