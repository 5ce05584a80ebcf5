"""The record of a comparison of candidates, kept in the run and in the bundle."""

from __future__ import annotations

from typing import Any

from inspection.config.loading import StrictModel


class Tried(StrictModel):
    """One candidate with its figures; they are None for one that was not tried.

    Attributes:
        form: name in `training.candidates.FORMS`, or of a trained model.
        image_size: (height, width) of the input.
        image_auroc: of good images against those with a drawn defect.
        found: share of the drawn defects above the threshold that the good images give.
        lead: merit before that of the default.
        lead_std: standard deviation of the lead, by resampling the images.
        features_ms: time of the backbone for one image, on this machine.
        seconds: time of fitting and judging.
        remark: "default", "chosen", or the reason why it was not tried.
    """

    form: str
    backbone: str
    image_size: tuple[int, int]
    image_auroc: float | None = None
    found: float | None = None
    lead: float = 0.0
    lead_std: float = 0.0
    features_ms: float | None = None
    seconds: float = 0.0
    remark: str = ""


class Evidence(StrictModel):
    """A comparison of candidates.

    Attributes:
        judged: good images that a model without them judged.
        drawn: defects drawn on these.
        tried: the candidates, the default first.
        reason: the sentence that says why the chosen one is chosen.
    """

    judged: int
    drawn: int
    seconds: float
    tried: tuple[Tried, ...]
    reason: str

    def lines(self) -> list[str]:
        """Returns the comparison as a table for the user."""
        rows: list[tuple[str, ...]] = [
            ("model", "backbone", "input", "AUROC", "found", "lead", "ms", "")
        ]
        rows += [_row(one) for one in self.tried]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        table = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        head = (
            f"compared on {self.judged} good images, each by a model without it, and {self.drawn} "
            f"defects drawn on them; {self.seconds:.0f} s"
        )
        return [head, *(f"  {line}" for line in table), *self._shortage(), self.reason]

    def _shortage(self) -> list[str]:
        """Says how to give the others time, when some were not tried."""
        late = sum(one.image_auroc is None for one in self.tried)
        if not late:
            return []
        advice = "give more with --minutes, or name fewer with --models"
        return [f"no time was left for {late} of {len(self.tried)} models: {advice}"]

    def summary(self) -> dict[str, Any]:
        """Returns the record for the manifest of a bundle."""
        return self.model_dump(mode="json")


def _row(one: Tried) -> tuple[str, ...]:
    def figure(value: float | None, digits: int) -> str:
        return "-" if value is None else f"{value:.{digits}f}"

    return (
        one.form,
        one.backbone.partition(".")[0],
        f"{one.image_size[0]}x{one.image_size[1]}",
        figure(one.image_auroc, 3),
        "-" if one.found is None else f"{one.found:.0%}",
        f"{one.lead:+.3f} ± {one.lead_std:.3f}" if one.lead_std else "-",
        figure(one.features_ms, 0),
        one.remark,
    )
