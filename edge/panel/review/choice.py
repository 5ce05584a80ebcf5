"""The choice of parts on the page Review, as it is in the query of its address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, tzinfo
from urllib.parse import urlencode

from edge.panel.fields import number_of
from edge.panel.refusals import Refused
from edge.store.reader import Filter, Place
from edge.store.rows import moment_from_text, text_from_moment
from inspection.verdict import Verdict

UNSURE = "unsure"
ALL = "all"
WITHOUT_LABEL = "-"
WITH_LABEL = "+"

_TO_LOOK_AT = (Verdict.REJECT, Verdict.REVIEW, Verdict.NO_VERDICT)
_TEXT_MAX = 200


@dataclass(frozen=True)
class Choice:
    """A choice, as texts of a form; an empty one leaves all.

    Attributes:
        verdict: one of them, "unsure" for all but PASS, or "all".
        since, until: local times of the line, as 2026-11-29T16:00.
        number: of the recipe, where recipes have numbers.
        label: one of them, "-" for parts without any, "+" for parts with some.
    """

    verdict: str = UNSURE
    since: str = ""
    until: str = ""
    recipe: str = ""
    number: str = ""
    label: str = ""
    min_score: str = ""
    max_score: str = ""

    @classmethod
    def of(cls, values: Mapping[str, str]) -> Choice:
        """Returns the choice in the fields of a query or a form."""
        return cls(
            **{
                one.name: str(values.get(one.name) or one.default)[:_TEXT_MAX].strip()
                for one in fields(cls)
            }
        )

    def path(self, base: str, **more: str) -> str:
        """Returns an address with this choice in its query, and more fields in front of it."""
        chosen = {name: text for name, text in vars(self).items() if (name, text) != _USUAL}
        query = urlencode({name: text for name, text in (more | chosen).items() if text})
        return f"{base}?{query}" if query else base

    def filter(self, zone: tzinfo | None) -> Filter:
        """Returns the filter of the records.

        Args:
            zone: time zone of the line; None for that of the device.

        Raises:
            Refused: a field is wrong.
        """
        labelled = {WITHOUT_LABEL: False, WITH_LABEL: True}.get(self.label)
        return Filter(
            since=self.moment("since", zone),
            until=self.moment("until", zone),
            verdicts=self._verdicts(),
            recipe=self.recipe or None,
            recipe_numbers=(number_of(self.number, "number"),) if self.number else (),
            min_score=self._number("min_score"),
            max_score=self._number("max_score"),
            label=None if labelled is not None else self.label or None,
            is_labelled=labelled,
        )

    def _verdicts(self) -> tuple[Verdict, ...]:
        if self.verdict in (UNSURE, ALL):
            return _TO_LOOK_AT if self.verdict == UNSURE else ()
        try:
            return (Verdict(self.verdict),)
        except ValueError as error:
            raise Refused(400, "problem.field", name="verdict") from error

    def moment(self, name: str, zone: tzinfo | None) -> datetime | None:
        """Returns the moment of the field "since" or "until"; None for an empty one.

        Raises:
            Refused: it is none.
        """
        text = getattr(self, name)
        try:
            moment = datetime.fromisoformat(text) if text else None
            # A moment without a zone is of the device, as `astimezone` takes it.
            return moment and (moment.replace(tzinfo=zone) if zone else moment).astimezone()
        except (ValueError, OverflowError, OSError) as error:
            raise Refused(400, "problem.field", name=name) from error

    def _number(self, name: str) -> float | None:
        text = getattr(self, name)
        try:
            return float(text) if text else None
        except ValueError as error:
            raise Refused(400, "problem.field", name=name) from error


_USUAL = ("verdict", UNSURE)


def text_from_place(place: Place) -> str:
    """Returns the place of a record as a field of a query."""
    return f"{text_from_moment(place.triggered_utc)}_{place.number}"


def place_from_text(text: str) -> Place | None:
    """Returns the place that `text_from_place` wrote; None for an empty text.

    Raises:
        Refused: it is another text.
    """
    moment, _, number = text.partition("_")
    if not text:
        return None
    try:
        return Place(moment_from_text(moment), number_of(number, "before"))
    except ValueError as error:
        raise Refused(400, "problem.field", name="before") from error
