"""Constant matrices against the operations that they represent."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch.nn import functional as F

from training.linear_maps import apply, bilinear, gaussian, mean3, shift

SIZES = [((64, 64), (32, 32)), ((160, 58), (80, 29)), ((64, 64), (16, 16)), ((9, 7), (9, 7))]


def random_maps(height: int, width: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, height, width, dtype=torch.float64, generator=generator)


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize(("size", "source"), SIZES)
def test_bilinear_is_interpolate(
    size: tuple[int, int], source: tuple[int, int], align_corners: bool
) -> None:
    maps = random_maps(*source)
    rows, columns = (
        bilinear(s, o, align_corners=align_corners) for s, o in zip(size, source, strict=True)
    )
    expected = F.interpolate(maps, size, mode="bilinear", align_corners=align_corners)
    torch.testing.assert_close(apply(rows, maps, columns), expected, atol=1e-12, rtol=0)


def test_mean3_counts_zeros_outside() -> None:
    ones = torch.ones(1, 1, 5, 6, dtype=torch.float64)
    pooled = apply(mean3(5), ones, mean3(6))[0, 0]
    torch.testing.assert_close(pooled, F.avg_pool2d(ones, 3, 1, 1)[0, 0])
    assert pooled[0, 0] == pytest.approx(4 / 9)
    assert pooled[0, 2] == pytest.approx(6 / 9)
    assert pooled[2, 2] == pytest.approx(1)


def test_shift_moves_and_fills_with_zero() -> None:
    x = torch.arange(1.0, 5.0, dtype=torch.float64)
    assert (shift(4, 1) @ x).tolist() == [2, 3, 4, 0]
    assert (shift(4, -2) @ x).tolist() == [0, 0, 1, 2]


def test_symmetric_blur_is_scipys_reflect() -> None:
    maps = random_maps(40, 50)
    ours = apply(gaussian(40, 4, 16, "symmetric"), maps, gaussian(50, 4, 16, "symmetric"))
    expected = gaussian_filter(maps.numpy(), (0, 0, 4, 4), mode="reflect", truncate=4.0)
    np.testing.assert_allclose(ours.numpy(), expected, atol=1e-12)


def test_reflect_blur_is_a_padded_convolution() -> None:
    maps = random_maps(40, 50)
    taps = torch.exp(-(torch.arange(-12, 13, dtype=torch.float64) ** 2) / 32)
    taps /= taps.sum()
    assert float(taps[12]) == pytest.approx(0.09990836, abs=1e-8)
    assert float(taps[0]) == pytest.approx(0.00110988, abs=1e-8)
    kernel = (taps[:, None] * taps[None, :]).expand(3, 1, 25, 25)
    expected = F.conv2d(F.pad(maps, (12,) * 4, mode="reflect"), kernel, groups=3)
    ours = apply(gaussian(40, 4, 12, "reflect"), maps, gaussian(50, 4, 12, "reflect"))
    torch.testing.assert_close(ours, expected, atol=1e-12, rtol=0)
    symmetric = apply(gaussian(40, 4, 12, "symmetric"), maps, gaussian(50, 4, 12, "symmetric"))
    assert (ours - symmetric).abs()[..., 0, :].max() > 1e-3


@pytest.mark.parametrize("border", ["reflect", "symmetric"])
def test_rows_sum_to_one(border: str) -> None:
    for matrix in (
        gaussian(23, 4, 12, border),  # type: ignore[arg-type]
        bilinear(64, 32, align_corners=True),
    ):
        torch.testing.assert_close(matrix.sum(1), torch.ones(len(matrix), dtype=torch.float64))
