"""Statistics of masks and of features (acceptance oracle 12 of the model's specification)."""

import pytest
import torch

from training.synthesis import gradient_noise, mean_channel_std, perlin_mask, perlin_masks

DRAWS = 2000


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(5)


@pytest.mark.parametrize(
    ("grid", "threshold", "non_empty", "coverage"),
    [
        ((64, 64), 0.2, 0.499, 0.260),
        ((64, 64), 0.6, 0.453, 0.0275),
        ((160, 58), 0.2, 0.499, 0.258),
        ((80, 48), 0.6, 0.446, 0.0191),
    ],
)
def test_rate_and_coverage(
    grid: tuple[int, int], threshold: float, non_empty: float, coverage: float
) -> None:
    masks = perlin_masks(DRAWS, *grid, threshold)
    filled = masks[masks.amax((1, 2, 3)) > 0]
    # Four standard errors of a rate over this number of draws, and of the coverage.
    assert len(filled) / DRAWS == pytest.approx(non_empty, abs=0.045)
    assert float(filled.mean()) == pytest.approx(coverage, rel=0.12)


def test_noise_has_the_right_spread() -> None:
    noise = torch.stack([gradient_noise(64, 64, 8, 8) for _ in range(200)])
    assert float(noise.std()) == pytest.approx(0.304, abs=0.006)
    assert float(noise.abs().max()) <= 1


def test_noise_is_zero_on_the_lattice() -> None:
    assert float(gradient_noise(64, 64, 8, 4)[::8, ::16].abs().max()) == 0


def test_masks_are_binary_and_differ() -> None:
    masks = perlin_masks(40, 36, 36, 0.2)
    assert set(masks.unique().tolist()) == {0.0, 1.0}
    filled = masks[masks.amax((1, 2, 3)) > 0]
    assert not torch.equal(filled[0], filled[1])


def test_the_generator_of_torch_decides() -> None:
    torch.manual_seed(1)
    first = perlin_mask(64, 64, 0.2)
    torch.manual_seed(1)
    assert torch.equal(first, perlin_mask(64, 64, 0.2))


def test_mean_channel_std_over_batches_is_that_over_all() -> None:
    cells = torch.randn(6, 5, 4, 4) * torch.arange(1.0, 6.0).view(1, 5, 1, 1) + 10
    expected = float(cells.double().transpose(0, 1).flatten(1).std(1, correction=0).mean())
    assert mean_channel_std(iter(cells.split(2))) == pytest.approx(expected, rel=1e-9)
