"""Configuration of the records of a line: the section `records` of its file."""

from __future__ import annotations

from datetime import time, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator

from inspection.config.loading import ConfigPath, StrictModel
from inspection.verdict import Verdict

Days = Annotated[float, Field(gt=0, le=36_500)]


class ImagesConfig(StrictModel):
    """The images to keep, and for how long. Passes go first, then the others, oldest first.

    Attributes:
        keep: verdicts whose images are all kept.
        pass_sample: share of the other passes that is kept, chosen by the trigger's id.
        near_threshold: passes whose raw score is this close to the threshold are kept too.
        max_bytes: limit of all image files together.
        max_age_days: of the images of passes.
        reject_max_age_days: of all others.
        min_free_bytes: space that is left free on the disk, for the records among others.
    """

    keep: tuple[Verdict, ...] = (Verdict.REVIEW, Verdict.REJECT, Verdict.NO_VERDICT)
    pass_sample: Annotated[float, Field(ge=0, le=1)] = 0.0
    near_threshold: Annotated[float, Field(gt=0)] | None = None
    max_bytes: Annotated[int, Field(gt=0)]
    max_age_days: Days = 30.0
    reject_max_age_days: Days = 365.0
    min_free_bytes: Annotated[int, Field(ge=0)] = 1_000_000_000


class RecordsConfig(StrictModel):
    """Records of a line, in a folder with one writer at a time.

    Attributes:
        max_age_days: older rows are deleted. All ages are in service time, see
            `edge.store.service_time`.
        max_outbox: verdicts that may wait for each output of kind mqtt or webhook.
        images: leave out to keep none.
        shifts: name of each shift and when it begins; none: one shift from midnight.
        time_zone: of the shifts, as Europe/Berlin; None: the device's own.
    """

    folder: ConfigPath
    max_age_days: Days = 730.0
    max_outbox: Annotated[int, Field(gt=0)] = 100_000
    images: ImagesConfig | None = None
    shifts: dict[Annotated[str, Field(min_length=1)], time] = Field(default_factory=dict)
    time_zone: str | None = None

    @property
    def shortest_age(self) -> timedelta:
        """The time after which the first of all records and images expire."""
        images = self.images
        ages = () if images is None else (images.max_age_days, images.reject_max_age_days)
        return timedelta(days=min((self.max_age_days, *ages)))

    @field_validator("shifts")
    @classmethod
    def _distinct_starts(cls, shifts: dict[str, time]) -> dict[str, time]:
        if len(set(shifts.values())) < len(shifts):
            raise ValueError("two shifts begin at the same time")
        return shifts

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str | None) -> str | None:
        try:
            if name is not None:
                ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"no time zone {name!r}; such as Europe/Berlin") from error
        return name
