"""Measuring a calibrated bundle on labelled images, through the artefact that would run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy.stats import beta

from edge.config import StrictModel
from edge.errors import BundleError, CameraError
from edge.images import decode_image
from edge.inspector import Inspection, Inspector
from edge.preprocess import Preprocessing
from edge.verdict import Verdict
from training.data.layout import Sample
from training.data.masks import read_mask
from training.metrics import UndefinedMetricError, aupro, auroc, average_precision, best_f1

Image = npt.NDArray[np.uint8]
_BOUND_CONFIDENCE = 0.95


@dataclass(frozen=True)
class InspectedSample:
    """A labelled image with what the artefact said of it.

    Attributes:
        frame: uint8 (H, W) or (H, W, 3) BGR, native.
        truth: bool (h, w) at the resolution of the anomaly map; None for a defect without a mask.
        native_truth: bool (H, W); None likewise.
    """

    sample: Sample
    sha256: str
    frame: Image
    inspection: Inspection
    truth: npt.NDArray[np.bool_] | None
    native_truth: npt.NDArray[np.bool_] | None

    @property
    def is_false_reject(self) -> bool:
        """Whether a good part was rejected."""
        return self.sample.is_good and self.inspection.verdict is Verdict.REJECT

    @property
    def is_escape(self) -> bool:
        """Whether a defective part was passed."""
        return not self.sample.is_good and self.inspection.verdict is Verdict.PASS


class Rate(StrictModel):
    """A share with its two-sided Clopper-Pearson interval at 95 %."""

    count: int
    of: int
    rate: float
    low: float
    high: float


class Evaluation(StrictModel):
    """Figures of one bundle on one data set; None where the samples do not define a figure.

    Attributes:
        best_f1: over all thresholds; it uses the labels and is an upper limit, no result.
        map_size: (height, width) at which pixel figures are computed.
        vanished_masks: defects whose mask has no pixel left at that size.
        no_verdict: images that could not be inspected, with the reason.
    """

    data_set: str
    bundle: str
    model: str
    backbone: str | None
    artefact_sha256: str
    calibration: str
    good: int
    defective: int
    image_auroc: float | None
    image_average_precision: float | None
    best_f1: float | None
    pixel_auroc: float | None
    aupro: float | None
    pixel_average_precision: float | None
    threshold: float
    promised_false_reject_rate: float
    confidence: float
    false_reject_rate: Rate | None
    escape_rate: Rate | None
    escapes_by_defect: dict[str, Rate]
    map_size: tuple[int, int]
    vanished_masks: int
    latency_p50_ms: float
    no_verdict: dict[str, str]


def inspect_samples(
    inspector: Inspector,
    samples: Sequence[Sample],
    report: Callable[[], object] = lambda: None,
) -> list[InspectedSample]:
    """Run labelled images through an inspector.

    Raises:
        CameraError: there are none, or a file cannot be read.
        BundleError: an image is one that the model was trained on: figures would mean nothing.
    """
    if not samples:
        raise CameraError("there are no test images: a folder test/good or test/<defect> is needed")
    trained_on = inspector.bundle.trained_on()
    inspected = []
    for sample in samples:
        content = sample.path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        if digest in trained_on:
            raise BundleError(
                f"{sample.path}: the model was trained on this image; measure it on others"
            )
        inspected.append(_inspect(inspector, sample, digest, content))
        report()
    return inspected


def evaluate(
    inspector: Inspector, data_set: str, inspected: Sequence[InspectedSample]
) -> Evaluation:
    """The figures of inspected samples."""
    manifest, calibration = inspector.bundle.manifest, inspector.calibration
    judged = [s for s in inspected if s.inspection.verdict is not Verdict.NO_VERDICT]
    good = [s for s in judged if s.sample.is_good]
    defective = [s for s in judged if not s.sample.is_good]
    scores = np.array([s.inspection.score for s in judged])
    labels = np.array([not s.sample.is_good for s in judged])
    maps, masks = _maps_and_masks(judged)
    kinds = sorted({s.sample.defect for s in defective})
    times = [s.inspection.times for s in judged]
    return Evaluation(
        data_set=data_set,
        bundle=manifest.name,
        model=manifest.model,
        backbone=manifest.backbone,
        artefact_sha256=calibration.artefact_sha256,
        calibration=calibration.seal,
        good=len(good),
        defective=len(defective),
        image_auroc=_defined(lambda: auroc(scores, labels)),
        image_average_precision=_defined(lambda: average_precision(scores, labels)),
        best_f1=_defined(lambda: best_f1(scores, labels).f1),
        pixel_auroc=_defined(lambda: auroc(maps, masks)),
        aupro=_defined(lambda: aupro(maps, masks)),
        pixel_average_precision=_defined(lambda: average_precision(maps, masks)),
        threshold=calibration.threshold_score,
        promised_false_reject_rate=calibration.false_reject_rate_bound,
        confidence=calibration.confidence,
        false_reject_rate=rate_of(sum(s.is_false_reject for s in good), len(good)),
        escape_rate=rate_of(sum(s.is_escape for s in defective), len(defective)),
        escapes_by_defect={kind: _escapes_of(kind, defective) for kind in kinds},
        map_size=(manifest.graph.height, manifest.graph.width),
        vanished_masks=sum(
            s.truth is not None and not s.truth.any() for s in defective if s.sample.mask
        ),
        latency_p50_ms=float(
            np.median([(t.preprocess_ns + t.infer_ns + t.decide_ns) / 1e6 for t in times] or [0.0])
        ),
        no_verdict={str(s.sample.path): s.inspection.message for s in inspected if s not in judged},
    )


def rate_of(count: int, of: int) -> Rate | None:
    """A share with its Clopper-Pearson interval; None of nothing."""
    if not of:
        return None
    tail = (1 - _BOUND_CONFIDENCE) / 2
    low = float(beta.ppf(tail, count, of - count + 1)) if count else 0.0
    high = float(beta.ppf(1 - tail, count + 1, of - count)) if count < of else 1.0
    return Rate(count=count, of=of, rate=count / of, low=low, high=high)


def _escapes_of(kind: str, defective: Sequence[InspectedSample]) -> Rate:
    of_kind = [s for s in defective if s.sample.defect == kind]
    rate = rate_of(sum(s.is_escape for s in of_kind), len(of_kind))
    assert rate is not None  # noqa: S101 - kinds come from the samples
    return rate


def _inspect(inspector: Inspector, sample: Sample, digest: str, content: bytes) -> InspectedSample:
    frame = decode_image(content, str(sample.path))
    native = None
    if sample.is_good:
        native = np.zeros(frame.shape[:2], dtype=np.bool_)
    elif sample.mask is not None:
        native = read_mask(sample.mask, (frame.shape[0], frame.shape[1])).astype(np.bool_)
    truth = _at_map_size(native, inspector.bundle.manifest.preprocessing)
    return InspectedSample(sample, digest, frame, inspector.inspect(frame), truth, native)


def _at_map_size(
    mask: npt.NDArray[np.bool_] | None, preprocessing: Preprocessing
) -> npt.NDArray[np.bool_] | None:
    """Ground truth where the map is: cropped as frames are; half of a cell makes it a defect."""
    if mask is None:
        return None
    if (crop := preprocessing.crop) is not None:
        mask = mask[crop.top : crop.top + crop.height, crop.left : crop.left + crop.width]
    size = (preprocessing.width, preprocessing.height)
    covered = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    return np.asarray(covered >= 0.5)


def _maps_and_masks(
    judged: Sequence[InspectedSample],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    pairs = [
        (s.inspection.anomaly_map, s.truth)
        for s in judged
        if s.truth is not None and s.inspection.anomaly_map is not None
    ]
    if not pairs:
        return np.zeros((0, 1, 1), np.float32), np.zeros((0, 1, 1), np.bool_)
    return np.stack([m for m, _ in pairs]), np.stack([t for _, t in pairs])


def _defined(metric: Callable[[], float]) -> float | None:
    try:
        return metric()
    except UndefinedMetricError:
        return None
