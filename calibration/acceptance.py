"""An acceptance study: labelled parts shown several times to the inspector that will run.

With several shots of each part, every showing is another picture, so that the study covers camera,
light and position too. A stored image shown again covers the inference alone. REVIEW and NO_VERDICT
set a part aside: they count as rejected.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from typing import Literal

import numpy as np

from calibration.agreement import Agreement, agreement
from calibration.calibrate import digest_of_images
from calibration.labelled_parts import GOOD, Plan, image_hashes
from inspection.errors import named
from inspection.images import read_frame
from inspection.inspector import Inspection, Inspector
from inspection.trust.sealed import Sealed, Sha256, Strict
from inspection.verdict import Verdict
from reports.classification import DEFECTIVE, ClassificationReport, classification
from reports.pictures import small_outline
from reports.proportion import proportion

_PICTURE_SIDE = 640  # px


class Showing(Strict):
    """One verdict on a part; the score is None when there was none."""

    image_sha256: Sha256
    verdict: Verdict
    score: float | None

    @property
    def is_rejected(self) -> bool:
        """True when the line sets the part aside."""
        return self.verdict is not Verdict.PASS


class ShownPart(Strict):
    """A part with its verdicts, in the order of its showings."""

    name: str
    label: str
    showings: tuple[Showing, ...]

    @property
    def is_defective(self) -> bool:
        """True when the label names a defect."""
        return self.label != GOOD

    @property
    def wrong(self) -> int:
        """Number of showings whose verdict disagrees with the label."""
        return sum(showing.is_rejected != self.is_defective for showing in self.showings)


class AcceptanceStudy(Sealed):
    """All showings with their verdicts, and the bundle behind them: the JSON beside the report.

    Attributes:
        showings: `shots` when each showing is another picture, `stored images` when one picture of
            each part was shown again.
        data_sha256: over the sorted image hashes.
        classification: of the showings; a part that is set aside is predicted to be defective.
        remarks: reasons to doubt the figures.
    """

    schema_version: Literal[1] = 1
    data_set: str
    data_sha256: Sha256
    created_utc: str
    linewarden_version: str
    bundle: str
    bundle_seal: str
    artefact: str
    artefact_sha256: Sha256
    engine: str
    recipe: str
    calibration_seal: str
    calibration_created_utc: str
    calibration_author: str
    threshold: float
    threshold_review: float | None
    confidence: float
    repeats: int
    showings: Literal["shots", "stored images"]
    agreement: Agreement
    classification: ClassificationReport
    remarks: tuple[str, ...]
    parts: tuple[ShownPart, ...]

    @property
    def disagreeing(self) -> list[ShownPart]:
        """Parts with a verdict against their label: missed ones first, then by number of errors."""
        wrong = [part for part in self.parts if part.wrong]
        return sorted(wrong, key=lambda part: (not part.is_defective, -part.wrong))


def study(
    inspector: Inspector,
    plan: Plan,
    *,
    engine: str = "onnxruntime",
    confidence: float = 0.95,
    seed: int = 0,
    report: Callable[[], object] = lambda: None,
) -> tuple[AcceptanceStudy, dict[str, bytes]]:
    """Shows every part as often as planned, in another random order each time.

    Args:
        engine: name of the inspector's engine, for the record.
        seed: seed of the random order.
        report: called after each showing.

    Returns:
        the study, and a JPEG of the first wrong showing of each part that has one, by part.

    Raises:
        CameraError: an image cannot be read, was used in training, or shows two parts.
        ConfigError: a confidence outside 0.5 to 1.
    """
    proportion(0, 1, confidence=confidence)  # refuses a wrong one before anything is shown
    hashes = image_hashes(plan.parts, inspector.bundle.trained_on())
    said: dict[str, list[Showing]] = {part.name: [] for part in plan.parts}
    pictures: dict[str, bytes] = {}
    order = np.random.default_rng(seed)
    window = inspector.bundle.manifest.preprocessing.window
    for turn in range(plan.repeats):
        for number in order.permutation(len(plan.parts)):
            part = plan.parts[int(number)]
            path = part.shots[turn % len(part.shots)]
            frame = read_frame(path, window)
            inspection = inspector.inspect(frame)
            showing = _showing(inspection, hashes[path])
            said[part.name].append(showing)
            if showing.is_rejected != (part.label != GOOD) and part.name not in pictures:
                pictures[part.name] = small_outline(frame, inspection, _PICTURE_SIDE)
            report()
    shown = tuple(
        ShownPart(name=part.name, label=part.label, showings=tuple(said[part.name]))
        for part in plan.parts
    )
    found = agreement(
        [part.is_defective for part in shown],
        [[showing.is_rejected for showing in part.showings] for part in shown],
        confidence=confidence,
    )
    return _record(inspector, plan, shown, found, engine=engine, confidence=confidence), pictures


def _record(
    inspector: Inspector,
    plan: Plan,
    shown: tuple[ShownPart, ...],
    found: Agreement,
    *,
    engine: str,
    confidence: float,
) -> AcceptanceStudy:
    manifest, calibration = inspector.bundle.manifest, inspector.calibration
    return AcceptanceStudy(
        data_set=plan.data_set,
        data_sha256=digest_of_images({s.image_sha256 for part in shown for s in part.showings}),
        created_utc=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        linewarden_version=version("linewarden"),
        bundle=manifest.name,
        bundle_seal=manifest.seal,
        artefact=calibration.artefact,
        artefact_sha256=calibration.artefact_sha256,
        engine=engine,
        recipe=calibration.recipe,
        calibration_seal=calibration.seal,
        calibration_created_utc=calibration.created_utc,
        calibration_author=calibration.author,
        threshold=calibration.thresholds.reject,
        threshold_review=calibration.thresholds.review,
        confidence=confidence,
        repeats=plan.repeats,
        showings="shots" if plan.has_shots else "stored images",
        agreement=found,
        classification=classification(
            (part.label, DEFECTIVE if showing.is_rejected else GOOD)
            for part in shown
            for showing in part.showings
        ),
        remarks=tuple(_remarks(plan, shown, frozenset(calibration.scores))),
        parts=shown,
    ).sealed()


def _remarks(plan: Plan, shown: Sequence[ShownPart], calibrated_on: frozenset[str]) -> list[str]:
    remarks = list(plan.passed_over)
    if plan.repeats == 1:
        remarks.append(
            "each part was shown once, so there is no figure for repeatability: show each 3 times"
        )
    elif not plan.has_shots:
        remarks.append(
            "stored images were shown again, so repeatability covers the inference alone: take "
            "several shots of each part to cover camera, light and position"
        )
    known = [p.name for p in shown if any(s.image_sha256 in calibrated_on for s in p.showings)]
    if known:
        remarks.append(
            "the calibration used some of these parts, so the false alarm rate is not that of new "
            f"parts: {named(known)}"
        )
    mute = [p.name for p in shown if any(s.verdict is Verdict.NO_VERDICT for s in p.showings)]
    if mute:
        remarks.append(f"these parts got no verdict and count as rejected: {named(mute)}")
    return remarks


def _showing(inspection: Inspection, image_sha256: str) -> Showing:
    score = inspection.score if np.isfinite(inspection.score) else None
    return Showing(image_sha256=image_sha256, verdict=inspection.verdict, score=score)
