"""Tiles of an image, and one map from theirs."""

import itertools

import pytest
import torch
from torch.testing import assert_close

from studies.large_frames.tiles import Size, Tiling

SIZES = [(224, 288), (512, 512), (672, 896), (800, 320)]


@pytest.mark.parametrize("size", SIZES)
def test_tiles_of_one_size_cover_the_image_and_overlap(size: Size) -> None:
    tiling = Tiling.over(size, overlap=32)
    for axis in (0, 1):
        starts = sorted({corner[axis] for corner in tiling.corners})
        assert starts[0] == 0
        assert starts[-1] + tiling.tile[axis] == size[axis]
        steps = [after - before for before, after in itertools.pairwise(starts)]
        assert all(step <= tiling.tile[axis] - 32 for step in steps)


@pytest.mark.parametrize("size", SIZES)
def test_a_map_that_is_cut_and_joined_is_the_same(size: Size) -> None:
    tiling = Tiling.over(size, overlap=32)
    expected = torch.rand(2, *size)
    cut = tiling.cut(expected[..., None])[..., 0]
    assert_close(tiling.join(cut), expected)


def test_tiles_that_disagree_fade_into_each_other() -> None:
    tiling = Tiling.over((256, 512), overlap=32)
    levels = torch.arange(float(len(tiling.corners)))[:, None, None]
    joined = tiling.join(levels.expand(-1, *tiling.tile))[0]
    assert joined[0, 0] == 0
    assert joined[0, -1] == 1
    assert joined.diff(dim=1).max() < 0.1
