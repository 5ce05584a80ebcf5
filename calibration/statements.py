"""Describes a calibration as lines for a terminal."""

from __future__ import annotations

from collections import Counter

from calibration.calibrate import MAP_DECIDES, CalibrationResult
from calibration.drift import FEWEST_PARTS, has_views
from calibration.learnt import FEWEST_FOR_BOUND
from calibration.lots import LotLimit
from calibration.tolerance import ToleranceLimit
from inspection.drift.charts import MOVED
from inspection.errors import named
from inspection.names import printable

FEW = 20  # good parts up to which the average says something that the bound does not
NO_PROMISE = (
    "its false reject rate is not known, and nothing is promised; mirrored copies of the part set "
    "it; add good parts with linewarden teach --add"
)


def describe(result: CalibrationResult) -> list[str]:
    """Returns the promises of the calibration and their basis, a line each."""
    promised, lines = result.promised, []
    limit, reject = promised.reject_limit, result.calibration.thresholds.reject
    lines += left_out(result)
    if result.replaces_score:
        lines.append(f"note: {MAP_DECIDES}")
    lots = f" in {limit.lots} lots" if isinstance(limit, LotLimit) else ""
    if result.calibration.judged == "mirrored":
        lines.append(f"threshold {reject:.6g} from 1 good part: {NO_PROMISE}")
    elif result.calibration.judged is not None and isinstance(limit, ToleranceLimit):
        first, second = on_average(limit)
        lines += [f"threshold {reject:.6g} {first}", second]
    else:
        lines.append(
            f"threshold {reject:.6g} from {limit.parts} good parts{lots}: "
            f"false reject rate at most {limit.bound:.2%} with {limit.confidence:.0%} confidence"
        )
        lines += worth(result)
    if promised.tail is not None:
        lines.append(
            f"the threshold comes from a {promised.tail.label}, for {promised.tail.rate:.3g}; "
            f"goodness of fit p = {promised.tail.goodness_of_fit:.2f}"
        )
    elif not limit.is_met:
        lines.append(_shortage(result))
    if promised.review_limit is not None:
        lines.append(
            f"review above {promised.review_limit.threshold:.6g}: at most "
            f"{promised.review_limit.bound:.2%} of good parts are reviewed or rejected"
        )
    notices = (*uneven_notice(result), *outlier_notice(result), *order_notice(result))
    warnings = [f"warning: {line}" for line in notices]
    written = [f"written to {result.path}"] if result.calibration.seal else []
    return [*lines, *_masks(result), _drift(result), *warnings, *written]


def on_average(limit: ToleranceLimit) -> tuple[str, str]:
    """Explains the promise of parts that were each judged by a model of the others.

    It is a rate on average over sets of parts; see `calibration.learnt` for the bound of a set.
    """
    first = (
        f"from {limit.parts} good parts, each judged by a model of the others: false reject rate "
        f"at most {limit.average:.2%} on average over sets of as many good parts"
    )
    if limit.parts < FEWEST_FOR_BOUND:
        return first, f"no bound is known for this set: it takes {FEWEST_FOR_BOUND} good parts"
    return first, (
        f"for this set about {limit.bound:.2%} at most with {limit.confidence:.0%} confidence, an "
        "approximation: such scores are not quite independent"
    )


def worth(result: CalibrationResult) -> list[str]:
    """Explains both promises about rejected parts in a sentence, where the parts are few.

    Empty for more than `FEW` parts, for lots, and for images that the model has learnt.
    """
    limit = result.promised.reject_limit
    if isinstance(limit, LotLimit) or limit.parts > FEW or result.calibration.judged is not None:
        return []
    return [
        (
            f"on average over sets of good parts as small as this one at most {limit.average:.2%} "
            "are rejected, but a set may be an unlucky one: of 100 such sets "
            f"{100 * limit.confidence:.0f} keep below {limit.bound:.2%}"
        )
    ]


def left_out(result: CalibrationResult) -> list[str]:
    """Counts the images that were left out, by reason; empty when there are none."""
    reasons = {
        "the model was trained on": result.fitted,
        "repeat another": result.repeated,
    }
    lines = [f"left out {len(of)} images that {why}" for why, of in reasons.items() if of]
    if of_parts := result.fitted_parts.values():
        lines.append(
            f"left out {sum(map(len, of_parts))} images of {len(of_parts)} parts that the model "
            "was trained on in other images"
        )
    without = list(result.calibration.without.values())
    return [*lines, *([f"left out by hand: {named(without)}"] if without else [])]


def outlier_notice(result: CalibrationResult) -> list[str]:
    """Names the images that stand out, and the threshold without them; empty without any."""
    found = result.outliers
    if not found.spreads:
        return []
    scores, reject = result.calibration.scores, result.calibration.thresholds.reject
    images = [
        f"{printable(found.paths[image].name)} ({scores[image]:.6g})" for image in found.spreads
    ]
    lower = "" if found.threshold is None else f"; without: {found.threshold:.6g}"
    notice = (
        f"{len(images)} of {len(scores)} good images stand out and count all the same: "
        f"{named(images)}; with them the threshold is {reject:.6g}{lower}; look at them, and leave "
        "out those that are not good with --without FILE"
    )
    return [notice]


def uneven_notice(result: CalibrationResult) -> list[str]:
    """Warns of parts with fewer images than others; empty when all have as many."""
    counts = Counter(result.calibration.parts.values()).values()
    if not counts or min(counts) == max(counts):
        return []
    notice = (
        f"parts have {min(counts)} to {max(counts)} images: a part scores as its highest image, so "
        "that one with fewer images than the line takes scores too low; bring all of its images, "
        "or none"
    )
    return [notice]


def order_notice(result: CalibrationResult) -> list[str]:
    """Warns of images that are alike in the order of their files; empty when they are not."""
    if not result.in_order:
        return []
    alike = ", ".join(
        dict.fromkeys(name if name == "score" else MOVED[name] for name in result.in_order)
    )
    notice = (
        f"neighbouring files are more alike than independent parts ({alike}): the promise may not "
        "hold for parts of other days and lots; calibrate with parts of several days or lots, or "
        "name the lots with --lot-name"
    )
    return [notice]


def _shortage(result: CalibrationResult) -> str:
    limit, missing = result.promised.reject_limit, result.promised.parts_missing
    if missing is None:
        return f"the target of {limit.target:.2%} needs more lots, or lots that are more alike"
    needed = f"the target of {limit.target:.2%} needs {limit.parts + missing} good parts"
    if result.calibration.judged:  # no other calibration can count the learnt ones
        return f"{needed} that the model has not learnt: bring them to linewarden calibrate"
    return f"{needed}: add {missing} and calibrate again"


def _drift(result: CalibrationResult) -> str:
    drift = result.calibration.drift
    if drift is None and has_views(result.calibration.parts.values()):
        return (
            "drift: not watched; a part has several images, and a line is watched view by view: "
            "calibrate a recipe for each view with its images"
        )
    if drift is None:
        return f"drift: not watched; it takes {FEWEST_PARTS} images of good parts"
    parts = f"{drift.run_length:g} good parts"
    return f"drift: watched against these images, one false alarm in {parts}"


def _masks(result: CalibrationResult) -> list[str]:
    """Returns pixel threshold and smallest area of each zone, with the promise for all masks."""
    bound, zones = result.promised.mask_rate_bound, result.calibration.zone_thresholds
    promise = "" if bound is None or bound == 1 else f": at most {bound:.2%} of good parts show one"
    if not zones:
        (pixel,) = result.promised.pixels
        area = f"regions of {pixel.minimum_area_px} px or more"
        return [f"mask: map above {pixel.pixel:.6g}, {area}{promise}"]
    lines = [
        f"zone {name}: threshold {zone.reject:.6g}"
        + (f", review above {zone.review:.6g}" if zone.review is not None else "")
        + f"; mask above {zone.pixel:.6g}, regions of {zone.minimum_area_px} px or more"
        for name, zone in zones.items()
    ]
    return [*lines, f"masks of all zones{promise}"] if promise else lines
