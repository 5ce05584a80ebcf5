"""A part is rejected by its worst view, so that the promises of the views add up."""

from __future__ import annotations

from edge.recipe.promise import described_promise
from inspection.bundle.calibration_file import Calibration
from inspection.verdict import Thresholds


def calibration(recipe: str, rate: float, parts: tuple[str, ...] = ()) -> Calibration:
    return Calibration(
        recipe=recipe,
        created_utc="2026-01-01T00:00:00+00:00",
        artefact="model.onnx",
        artefact_sha256="0" * 64,
        false_reject_rate_target=rate,
        confidence=0.95,
        false_reject_rate_bound=rate,
        thresholds=Thresholds(0.5, 0.5),
        scores={},
        parts={f"{number:064x}": part for number, part in enumerate(parts)},
    ).sealed()


def test_rates_and_doubts_of_the_views_add_up() -> None:
    views = {"top": calibration("a", 0.01), "side": calibration("b", 0.02)}
    assert described_promise(views) == (
        "at most 3.00% of good parts rejected by 2 views together (top 1.00%, side 2.00%), "
        "with 90% confidence"
    )


def test_it_is_approximate_where_models_of_the_others_judged_the_images() -> None:
    few = calibration("b", 0.02).model_copy(update={"judged": "without_itself"})
    told = described_promise({"top": calibration("a", 0.01), "side": few})
    assert told is not None
    assert told.endswith("with about 90% confidence")


def test_one_view_promises_what_its_calibration_does() -> None:
    assert described_promise({"top": calibration("a", 0.01)}) is None


def test_a_calibration_of_images_counts_for_each_of_its_views() -> None:
    one = calibration("a", 0.6, ("1", "2"))
    assert described_promise({"top": one, "side": one}) == (
        "at most 100.00% of good parts rejected by 2 views together (top 60.00%, side 60.00%), "
        "with 95% confidence"
    )


def test_a_calibration_of_parts_with_several_images_promises_for_their_worst() -> None:
    one = calibration("a", 0.01, ("1", "1", "2", "2"))
    assert described_promise({"top": one, "side": one}) is None
    other = {"top": one, "side": one, "bottom": calibration("b", 0.01)}
    assert described_promise(other) == (
        "at most 2.00% of good parts rejected by 2 views together (top 1.00%, bottom 1.00%), "
        "with 90% confidence"
    )
