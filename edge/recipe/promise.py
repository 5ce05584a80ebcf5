"""The false reject rate that a line promises for a part, which is rejected by its worst view."""

from __future__ import annotations

from collections.abc import Mapping

from inspection.bundle.calibration_file import Calibration


def described_promise(views: Mapping[str, Calibration]) -> str | None:
    """Returns the promise for a part that several views judge; None for one view.

    Each calibration promises for itself. A good part is rejected when any view rejects it, so that
    the rates add up (Bonferroni), and so do the probabilities that one of the promises is broken.
    """
    counted = _counted(views)
    if len(counted) < 2:
        return None
    rate = min(1.0, sum(c.false_reject_rate_bound for c in counted.values()))
    different = {c.seal: c for c in counted.values()}
    confidence = max(0.0, 1 - sum(1 - c.confidence for c in different.values()))
    # Where a model of the others judged the images, a bound is an approximation.
    about = "about " if any(c.judged is not None for c in counted.values()) else ""
    each = ", ".join(f"{name} {c.false_reject_rate_bound:.2%}" for name, c in counted.items())
    return (
        f"at most {rate:.2%} of good parts rejected by {len(counted)} views together ({each}), "
        f"with {about}{confidence:.0%} confidence"
    )


def _counted(views: Mapping[str, Calibration]) -> dict[str, Calibration]:
    """Leaves out views whose images were parts of others' in a calibration by parts.

    Such a calibration promises for the worst of the images of a part already.
    """
    counted: dict[str, Calibration] = {}
    for name, calibration in views.items():
        by_parts = len(set(calibration.parts.values())) < len(calibration.parts)
        if not (by_parts and any(calibration.seal == c.seal for c in counted.values())):
            counted[name] = calibration
    return counted
