"""Golden vectors of the field's metric implementations, invariances, bad input."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import ndimage

from training.metrics import (
    UndefinedMetricError,
    aupro,
    auroc,
    average_precision,
    best_f1,
    curve,
    detected_at_false_positive_rate,
    overlap_curve,
    passed_at_miss_rate,
    pimo,
)

sklearn_metrics = pytest.importorskip("sklearn.metrics")


def vector(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)


def labels(*values: int) -> np.ndarray:
    return np.array(values, dtype=bool)


def toy() -> tuple[np.ndarray, np.ndarray]:
    """The deterministic 64x64 example: five maps, two of them with defects."""
    y, x = np.mgrid[:64, :64]
    maps = np.stack([((7 * x + 13 * y + 17 * k) % 101) / 101 for k in range(5)])
    masks = np.zeros(maps.shape, dtype=bool)
    masks[3, 10:20, 10:20] = True
    masks[4, 30:34, 30:50] = True
    masks[4, 50:53, 5:8] = True
    maps[masks] += 0.6
    return maps, masks


def test_auroc_golden() -> None:
    scores = vector(0.13, 0.26, 0.08, 0.92, 0.03)
    assert auroc(scores, labels(0, 0, 1, 1, 0)) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("scores", "truth", "expected"),
    [
        ((0.1, 0.5, 0.9, 1), (0, 1, 1, 1), (1.0, 0.5)),
        ((0.1, 0.5, 0.9, 0.1), (0, 1, 1, 1), (0.857143, 0.1)),
        ((0.1, 0.4, 0.35, 0.8), (0, 0, 1, 1), (0.8, 0.35)),
        ((-0.5, 0, 0.5, 1, 2), (0, 1, 1, 1, 1), (1.0, 0.0)),
    ],
)
def test_best_f1_golden(scores, truth, expected) -> None:  # type: ignore[no-untyped-def]
    assert best_f1(vector(*scores), labels(*truth)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("columns", "limit", "expected"),
    [((3,), 1 / 3, 0.1666656), ((1, 3, 5), 1 / 3, 0.1666661), ((3,), 0.3, 0.15)],
)
def test_aupro_golden(columns: tuple[int, ...], limit: float, expected: float) -> None:
    maps = (np.arange(2800) / 2800).reshape(1, 400, 7)
    masks = np.zeros(maps.shape, dtype=bool)
    masks[:, :, columns] = True
    assert aupro(maps, masks, limit) == pytest.approx(expected, abs=1e-5)


def test_curve_golden() -> None:
    found = curve(vector(1, 2, 3, 3, 4, 5), labels(0, 1, 0, 1, 1, 0))
    assert found.thresholds.tolist() == [4, 3, 2]
    assert found.true.tolist() == [1, 2, 3]
    assert found.false.tolist() == [1, 2, 2]
    assert found.false_above.tolist() == [1, 1, 2]
    assert found.good == 3


def test_overlap_golden() -> None:
    """Five regions of one to five pixels, one after another over the threshold."""
    maps = np.repeat(np.arange(10.0)[:, None], 5, axis=1)[None]
    masks = np.zeros(maps.shape, dtype=bool)
    for size in range(1, 6):
        masks[0, 2 * size - 1, :size] = True
    overlap = overlap_curve(maps, masks).overlap
    assert overlap[1::2].tolist() == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


def test_toy_of_every_metric() -> None:
    maps, masks = toy()
    assert auroc(maps, masks) == pytest.approx(0.9157702518, abs=1e-10)
    assert aupro(maps, masks) == pytest.approx(0.8175788938, abs=1e-9)
    assert aupro(maps, masks, 0.05) == pytest.approx(0.7423950274, abs=1e-9)
    assert best_f1(maps, masks) == pytest.approx((0.7647058824, 0.9960396), abs=1e-7)


def test_rates_at_a_rate_golden() -> None:
    scores, truth = vector(0.1, 0.4, 0.35, 0.8), labels(0, 0, 1, 1)
    assert passed_at_miss_rate(scores, truth, 0.2) == 1.0
    assert detected_at_false_positive_rate(scores, truth, 0.2) == 1.0


def test_metrics_depend_on_the_order_of_scores_only() -> None:
    maps, masks = toy()
    for squeezed in (np.exp(3 * maps), maps * 1000 - 5, np.tanh(maps)):
        assert auroc(squeezed, masks) == pytest.approx(auroc(maps, masks), abs=1e-12)
        assert aupro(squeezed, masks) == pytest.approx(aupro(maps, masks), abs=1e-12)


@given(
    arrays.arrays(np.float64, 30, elements=st.sampled_from([0.0, 0.1, 0.2, 0.5, 1.0, 98.0])),
    arrays.arrays(np.bool_, 30),
)
def test_agrees_with_scikit_learn_also_with_ties(scores: np.ndarray, truth: np.ndarray) -> None:
    truth[:2] = (True, False)
    assert auroc(scores, truth) == pytest.approx(sklearn_metrics.roc_auc_score(truth, scores))
    expected = sklearn_metrics.average_precision_score(truth, scores)
    assert average_precision(scores, truth) == pytest.approx(expected)
    precision, recall, thresholds = sklearn_metrics.precision_recall_curve(truth, scores)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    best, threshold = best_f1(scores, truth)
    assert best == pytest.approx(f1.max())
    assert threshold in thresholds[f1[:-1] >= f1.max() - 1e-9]


@given(
    arrays.arrays(np.float64, (2, 3, 5), elements=st.sampled_from([0.0, 0.1, 0.2, 0.5, 1.0, 98.0])),
    arrays.arrays(np.bool_, (2, 3, 5)),
    st.sampled_from([0.05, 0.3, 1.0]),
)
def test_overlap_agrees_with_every_threshold_in_turn(
    maps: np.ndarray, masks: np.ndarray, limit: float
) -> None:
    masks[0, 0, :2] = (True, False)
    parts = [ndimage.label(mask, np.ones((3, 3))) for mask in masks]
    regions = [
        (n, found == k) for n, (found, count) in enumerate(parts) for k in range(1, count + 1)
    ]
    rates, overlaps = [0.0], [0.0]
    for threshold in sorted(set(maps.ravel()), reverse=True):
        rates.append(float((maps[~masks] >= threshold).mean()))
        shares = [(maps[n][region] >= threshold).mean() for n, region in regions]
        overlaps.append(float(np.mean(shares)))
    area = sum(
        (min(b, limit) - a) * (x + (x + (y - x) * (min(b, limit) - a) / (b - a))) / 2
        for a, b, x, y in zip(rates, rates[1:], overlaps, overlaps[1:], strict=False)
        if a < min(b, limit)
    )
    assert aupro(maps, masks, limit) == pytest.approx(area / limit)


def test_a_region_counts_the_same_whatever_its_size() -> None:
    masks = np.zeros((1, 20, 20), dtype=bool)
    masks[0, 2:12, 2:12] = True
    masks[0, 16, 16] = True
    found_large = np.where(masks, 1.0, 0.0)
    found_large[0, 16, 16] = -1.0
    assert aupro(found_large, masks) == pytest.approx(0.5, abs=0.01)


def test_undefined_metrics_say_so() -> None:
    with pytest.raises(UndefinedMetricError, match="both good samples and defects"):
        auroc(vector(1, 2), labels(0, 0))
    with pytest.raises(UndefinedMetricError, match="at least one defect region"):
        aupro(np.zeros((1, 4, 4)), np.zeros((1, 4, 4), dtype=bool))


@pytest.mark.parametrize("metric", [auroc, passed_at_miss_rate, aupro, pimo])
def test_labels_that_are_numbers_are_refused(metric: Callable[..., object]) -> None:
    maps, masks = toy()
    with pytest.raises(TypeError, match="labels and masks are bool, not int64"):
        metric(maps, masks.astype(np.int64))


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        auroc(vector(1, np.nan), labels(0, 1))
    with pytest.raises(ValueError, match="differ in shape"):
        auroc(vector(1, 2, 3), labels(0, 1))


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
def test_pimo_of_the_golden_staircase(
    bounds: tuple[float, float], expected: tuple[float, float]
) -> None:
    maps, masks = staircase()
    found = pimo(maps, masks, bounds, thresholds=7, force=True)
    assert found.areas == pytest.approx(expected, rel=1e-6)


def test_pimo_of_the_golden_toy() -> None:
    maps, masks = toy()
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


def test_what_the_images_do_not_define_for_pimo_is_said() -> None:
    random = np.random.default_rng(0)
    maps = random.normal(size=(2, 16, 16))
    masks = np.zeros(maps.shape, dtype=bool)
    with pytest.raises(UndefinedMetricError, match="both good and defective images"):
        pimo(maps, masks)
    masks[0, 0, 0] = True
    with pytest.raises(UndefinedMetricError, match=r"can show is 3.9e-03, above 1e-05: take more"):
        pimo(maps, masks)
    with pytest.raises(UndefinedMetricError, match="2 thresholds between"):
        pimo(maps, masks, (1e-2, 2e-2), thresholds=50)
    with pytest.raises(UndefinedMetricError, match="constant"):
        pimo(np.zeros(maps.shape), masks)
