"""AUPIMO against the golden vectors of its reference implementation."""

import numpy as np
import pytest

from training.metrics import UndefinedMetricError
from training.pimo import pimo


def staircase() -> tuple[np.ndarray, np.ndarray]:
    """Value k + 1 or more holds for the first 10^(6 - k) pixels."""
    image = np.ones(10**6)
    for k in range(1, 7):
        image[: 10 ** (6 - k)] = k + 1
    masks = np.zeros((3, 10**6), dtype=bool)
    masks[1] = True
    masks[2, :100_000] = True
    return np.repeat(image.reshape(1, 1000, 1000), 3, axis=0), masks.reshape(3, 1000, 1000)


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [((0.1, 1), (0.55, 1.0)), ((1e-3, 1e-1), (0.03025, 0.3025)), ((1e-5, 1e-4), (5.5e-5, 5.5e-4))],
)
def test_golden_staircase(bounds: tuple[float, float], expected: tuple[float, float]) -> None:
    maps, masks = staircase()
    found = pimo(maps, masks, bounds, thresholds=7, force=True)
    assert found.areas == pytest.approx(expected, rel=1e-6)


def test_golden_toy() -> None:
    y, x = np.mgrid[:64, :64]
    maps = np.stack([((7 * x + 13 * y + 17 * k) % 101) / 101 for k in range(5)])
    masks = np.zeros(maps.shape, dtype=bool)
    masks[3, 10:20, 10:20] = True
    masks[4, 30:34, 30:50] = True
    masks[4, 50:53, 5:8] = True
    maps[masks] += 0.6
    assert pimo(maps, masks, (1e-3, 1e-1), force=True).areas == pytest.approx(
        (0.32048, 0.32876), abs=1e-5
    )


def test_false_positives_in_defective_images_do_not_count() -> None:
    random = np.random.default_rng(0)
    maps = random.normal(size=(40, 64, 64))
    masks = np.zeros(maps.shape, dtype=bool)
    masks[0, :8, :8] = True
    maps[0] = 100.0
    assert pimo(maps, masks, (1e-4, 1e-3)).areas == pytest.approx([1.0], abs=0.02)


def test_what_the_images_do_not_define_is_said() -> None:
    random = np.random.default_rng(0)
    maps = random.normal(size=(2, 16, 16))
    masks = np.zeros(maps.shape, dtype=bool)
    with pytest.raises(UndefinedMetricError, match="both good and defective images"):
        pimo(maps, masks)
    masks[0, 0, 0] = True
    with pytest.raises(UndefinedMetricError, match=r"can show is 3.9e-03, above 1e-05: more"):
        pimo(maps, masks)
    with pytest.raises(UndefinedMetricError, match="2 thresholds between"):
        pimo(maps, masks, (1e-2, 2e-2), thresholds=50)
    with pytest.raises(UndefinedMetricError, match="constant"):
        pimo(np.zeros(maps.shape), masks)
