"""The record of a comparison of candidates, kept in the run and in the bundle."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from inspection.config.loading import StrictModel


class Tried(StrictModel):
    """One candidate with its figures; they are None for one that was not tried.

    Attributes:
        form: name in `training.candidates.FORMS`.
        image_size: (height, width) of the input.
        image_auroc: of good images against those with a drawn defect.
        aupro: of their maps, up to a false positive rate of 0.3.
        by_kind: image AUROC of each kind of drawn defect.
        features_ms: time of the backbone for one image, on this machine.
        seconds: time of fitting and comparing, without the features that others share.
        remark: the reason why it was not tried, or "chosen".
    """

    form: str
    backbone: str
    image_size: tuple[int, int]
    image_auroc: float | None = None
    aupro: float | None = None
    by_kind: dict[str, float] = Field(default_factory=dict)
    features_ms: float | None = None
    seconds: float = 0.0
    remark: str = ""

    @property
    def is_tried(self) -> bool:
        """Returns whether there are figures."""
        return self.image_auroc is not None

    @property
    def merit(self) -> float:
        """Returns the figure that chooses: the mean of both; -1 without figures."""
        if self.image_auroc is None or self.aupro is None:
            return -1.0
        return (self.image_auroc + self.aupro) / 2


class Evidence(StrictModel):
    """A comparison of candidates.

    Attributes:
        fitted: good images that each candidate learnt.
        compared: good images that none of them learnt.
        drawn: drawn defects on these.
        tried: the candidates, in the order of the comparison.
    """

    fitted: int
    compared: int
    drawn: int
    seconds: float
    tried: tuple[Tried, ...]

    def lines(self) -> list[str]:
        """Returns the comparison as a table for the user."""
        rows: list[tuple[str, ...]] = [("model", "backbone", "input", "AUROC", "AUPRO", "ms", "")]
        rows += [_row(one) for one in self.tried]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        table = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        head = (
            f"compared on {self.compared} good images and {self.drawn} defects drawn on them, "
            f"after learning {self.fitted}; {self.seconds:.0f} s"
        )
        return [head, *(f"  {line}" for line in table)]

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
        figure(one.aupro, 3),
        figure(one.features_ms, 0),
        one.remark,
    )
