"""The fold of the memory model gives the results of the model, in one matrix product."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch

from export.fold.memory import _GROUP, Deployed, _place_of_largest
from export.graph import build_graph
from export.macs import count_macs
from tests.doubles.folds import assert_exported, assert_folded
from tests.doubles.small_models import RESNET, frames, small_memory

SIZES = [(64, 64), (64, 96), (96, 64)]
SCORES = ["map", "patch", "reweighted"]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("layers", [(2, 3), (1, 2, 3), (2,)])
@pytest.mark.parametrize("score", SCORES)
def test_the_fold_is_the_model(size: tuple[int, int], layers: tuple[int, ...], score: str) -> None:
    made = small_memory(size, backbone={**RESNET, "layers": layers}, score=score, entries=1024)
    images = frames(6, size)[4:]
    images[1] = 255
    assert_folded(made, Deployed(made), images)


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("images", [1, 3])
def test_the_exported_graph_is_the_model(score: str, images: int) -> None:
    assert_exported(small_memory(score=score), frames(4 + images, (64, 64))[4:])


def test_what_is_in_the_bank_is_at_no_distance() -> None:
    """A background that is the same in all images: |x|^2 - 2 x c + |c|^2 leaves 3e-4 |x| of it."""
    made, images = small_memory((256, 64), images=1), frames(2, (256, 64))
    image = images[1:]
    image[:, :160] = images[:1, :160]
    session = onnxruntime.InferenceSession(build_graph(made).SerializeToString())
    _, maps = session.run(None, {"input": image.numpy()})
    with torch.no_grad():
        expected = made(image).maps.numpy()
    assert expected.min() < 1e-6 * expected.max()
    assert np.abs(maps - expected).max() < 1e-5 * expected.max()


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("entries", [1, 63, 65, 1000])
def test_a_bank_that_fills_no_whole_groups_is_the_same(score: str, entries: int) -> None:
    made = small_memory(score=score, entries=1024)
    made.bank = made.bank[:entries]
    images = frames(6, (64, 64))[4:]
    with torch.no_grad():
        expected, got = made(images), Deployed(made)(images)
    for a, b in zip(expected, got, strict=True):
        assert (a - b).abs().max() <= 1e-5 * a.abs().max()


def test_of_equal_entries_the_first_is_nearest() -> None:
    values = torch.randint(0, 3, (2, 5, 3 * _GROUP), generator=torch.manual_seed(0)).float()
    assert torch.equal(_place_of_largest(values), values.argmax(2))


@pytest.mark.parametrize(("entries", "gmac"), [(1024, 2.24), (2048, 2.65), (4096, 3.45)])
def test_the_head_is_one_product(entries: int, gmac: float) -> None:
    """The backbone takes 1.81; each 1,024 entries 32 * 32 * 384 * 1,024."""
    made = small_memory((256, 256), entries=entries, images=5)
    assert len(made.bank) == entries
    assert count_macs(build_graph(made)) / 1e9 == pytest.approx(gmac, abs=0.01)
