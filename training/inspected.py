"""Labelled images with the results of the deployed artefact."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from inspection.errors import CameraError, named
from inspection.images import Window, read_frame
from inspection.inspector import Inspection, Inspector
from inspection.preprocess import Crop, Preprocessing, preprocess
from inspection.verdict import OF_SEVERAL_VIEWS, Verdict
from training.data.data_set import GOOD, Sample
from training.data.masks import mask_sha256, read_mask
from training.data.survey import SurveyedSample, survey

Image = npt.NDArray[np.uint8]  # (H, W) grey or (H, W, 3) BGR
Truth = npt.NDArray[np.bool_]  # (H, W), True where the defect is


@dataclass(frozen=True, eq=False)
class InspectedSample:
    """A labelled image with the artefact's result.

    Attributes:
        truth: at the resolution of the anomaly map; None without a map, or without ground truth.
        crop: the part of the frame under the anomaly map; None for the whole frame.
        window: that of the bundle.
    """

    sample: Sample
    sha256: str
    inspection: Inspection
    truth: Truth | None
    mask_sha256: str | None = None
    crop: Crop | None = None
    window: Window | None = None

    @property
    def name(self) -> str:
        """Returns the image's name within its data set: `good/017.png`."""
        return self.sample.name

    @property
    def frame(self) -> Image:
        """Reads the native frame each time, because a data set need not fit into memory."""
        return read_frame(self.sample.path, self.window)

    @property
    def is_judged(self) -> bool:
        """Returns True when the image has a verdict."""
        return self.inspection.verdict is not Verdict.NO_VERDICT

    @property
    def is_false_reject(self) -> bool:
        """Returns True when a good part was rejected."""
        return self.sample.is_good and self.inspection.verdict is Verdict.REJECT

    @property
    def is_escape(self) -> bool:
        """Returns True when a defective part was passed."""
        return not self.sample.is_good and self.inspection.verdict is Verdict.PASS

    def region(self) -> tuple[Image, Truth | None]:
        """Returns the inspected part of the native frame, and its ground truth of the same size.

        Without a map this is the whole frame. The truth is None for a defect without a mask.
        """
        frame = self.frame
        truth = _native_truth(self.sample, frame)
        if self.crop is None or self.inspection.anomaly_map is None:
            return frame, truth
        return self.crop.of(frame), None if truth is None else self.crop.of(truth)


@dataclass(frozen=True)
class InspectedPart:
    """A labelled part with the verdict that the line gives on all of its images together."""

    defect: str
    verdict: Verdict

    @property
    def is_good(self) -> bool:
        """Returns True when the part shows no defect."""
        return self.defect == GOOD

    @property
    def is_judged(self) -> bool:
        """Returns True when the part has a verdict."""
        return self.verdict is not Verdict.NO_VERDICT


def parts_of(
    inspected: Sequence[InspectedSample], part_of: Callable[[Path], str] | None
) -> list[InspectedPart]:
    """Joins the images of each part: images of one name in one folder.

    Args:
        part_of: names the part that an image shows; None when every image is another part.
    """
    if part_of is None:
        return [InspectedPart(one.sample.defect, one.inspection.verdict) for one in inspected]
    verdicts: dict[tuple[str, Path, str], list[Verdict]] = {}
    for one in inspected:
        path = one.sample.path
        key = one.sample.defect, path.parent, part_of(path)
        verdicts.setdefault(key, []).append(one.inspection.verdict)
    return [
        InspectedPart(defect, max(found, key=OF_SEVERAL_VIEWS.index))
        for (defect, _folder, _name), found in verdicts.items()
    ]


def inspect_samples(
    inspector: Inspector,
    samples: Sequence[Sample],
    report: Callable[[], object] = lambda: None,
) -> list[InspectedSample]:
    """Runs labelled images through an inspector; `report` is called after each.

    Raises:
        CameraError: there are no samples, a file cannot be read, or the model was trained on some
            of them, so that figures would mean nothing. The message names all such files.
    """
    if not samples:
        raise CameraError("there are no test images: put them into test/good and test/<defect>")
    surveyed = survey(samples, inspector.bundle.manifest.preprocessing.window)
    _refuse_trained_on(surveyed, inspector.bundle.trained_on())
    inspected = []
    for sample in surveyed:
        inspected.append(_inspect(inspector, sample))
        report()
    return inspected


def _refuse_trained_on(samples: Sequence[SurveyedSample], trained_on: frozenset[str]) -> None:
    learnt = [str(s.sample.path) for s in samples if s.sha256 in trained_on]
    if learnt:
        raise CameraError(
            f"the model was trained on {len(learnt)} of these test images, so that figures would "
            f"mean nothing; test it on others: {named(learnt)}"
        )


def _inspect(inspector: Inspector, surveyed: SurveyedSample) -> InspectedSample:
    sample, preprocessing = surveyed.sample, inspector.bundle.manifest.preprocessing
    frame = surveyed.read()
    inspection = inspector.inspect(frame)
    truth = None
    if inspection.anomaly_map is not None:
        native = _native_truth(sample, frame)
        shown = preprocessing.model_copy(update={"crop": inspection.crop})  # alignment may move it
        truth = None if native is None else truth_at_map_size(native, shown)
    truth_sha256 = None if sample.mask is None else mask_sha256(sample.mask)
    return InspectedSample(
        sample,
        surveyed.sha256,
        inspection,
        truth,
        truth_sha256,
        inspection.crop,
        surveyed.window,
    )


def _native_truth(sample: Sample, frame: Image) -> Truth | None:
    size = (frame.shape[0], frame.shape[1])
    if sample.is_good:
        return np.zeros(size, dtype=np.bool_)
    if sample.mask is None:
        return None
    mask = read_mask(sample.mask, size).astype(np.bool_)
    return mask if mask.any() else None  # an empty mask of a defect was never drawn


def truth_at_map_size(truth: Truth, preprocessing: Preprocessing) -> Truth:
    """Takes the ground truth of a native frame to the anomaly map.

    It passes the crop and the resize of the frames. A pixel is a defect when a defect covers half
    of it or more.
    """
    as_frame = preprocessing.model_copy(update={"channels": 1})
    covered = preprocess(truth.astype(np.uint8) * 255, as_frame)[..., 0]
    return np.asarray(covered >= 128)
