"""The report of an acceptance study as one HTML page: to read, to print, to sign."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from calibration.acceptance import AcceptanceStudy, ShownPart
from calibration.agreement import (
    DISAGREEMENT,
    FALSE_ALARM_RATE,
    INEFFECTIVE,
    MISS_RATE,
    Agreement,
    Grade,
    Kappa,
)
from calibration.escapes import Proportion
from calibration.pages import write_page
from calibration.pictures import jpeg_url
from calibration.tolerance import parts_needed

SOURCE = (
    "AIAG, Measurement Systems Analysis, 4th edition 2010, chapter III section C (attribute "
    "measurement systems)"
)


@dataclass(frozen=True)
class FigureRow:
    """A figure for people: value, what it rests on, its limits, and its grade if it has one."""

    name: str
    value: str
    basis: str
    limits: str = ""
    grade: Grade | None = None


@dataclass(frozen=True)
class Card:
    """A part whose verdict disagrees with its label; the picture is a data URL."""

    name: str
    label: str
    verdicts: str
    scores: str
    picture: str


def write_acceptance_report(
    path: Path, study: AcceptanceStudy, pictures: Mapping[str, bytes]
) -> None:
    """Write the page, atomically. Everything it shows is in the file.

    Args:
        path: the HTML file.
        study: what the page is about.
        pictures: a JPEG of each disagreeing part, by name.
    """
    write_page(
        path,
        "acceptance.html.j2",
        study=study,
        statement=statement(study),
        proof=proof(study.agreement),
        rows=figure_rows(study.agreement),
        source=SOURCE,
        cards=[_card(part, pictures[part.name]) for part in study.disagreeing],
        parts=[
            (part, _verdicts(part), _scores(part), f"{part.wrong} of {study.repeats}")
            for part in study.parts
        ],
    )


def statement(study: AcceptanceStudy) -> str:
    """The verdict of the study in one sentence."""
    found = study.agreement
    times = "once" if study.repeats == 1 else f"{study.repeats} times"
    return (
        f"{found.missed.total} defective and {found.false_alarms.total} good parts, each shown "
        f"{times}: the inspection is {found.grade.value}."
    )


def proof(found: Agreement) -> str:
    """Whether the number of parts proves the figures, and how many would."""
    if found.is_proven:
        return "The bounds are within the acceptable limits too: the number of parts proves it."
    confidence = found.missed.confidence
    defective = parts_needed(MISS_RATE.acceptable, confidence)
    good = parts_needed(FALSE_ALARM_RATE.acceptable, confidence)
    return (
        "The grades are those of the figures; the bounds are not all within the acceptable "
        f"limits. At {confidence:.0%} confidence a proof takes at least {defective} defective "
        f"parts without a miss and {good} good parts without a false alarm."
    )


def figure_rows(found: Agreement) -> list[FigureRow]:
    """All figures for people, each with what it rests on."""
    grades = found.grades
    of_defective = f"of {found.missed.total * found.showings} showings"
    of_good = f"of {found.false_alarms.total * found.showings} showings"
    return [
        FigureRow(
            "Effectiveness",
            f"{found.effective.rate:.1%}",
            f"parts judged rightly every time: {_counts(found.effective)}",
            f"at least {1 - INEFFECTIVE.acceptable:.0%}, {1 - INEFFECTIVE.marginal:.0%}",
            grades["effectiveness"],
        ),
        FigureRow(
            "Miss rate",
            f"{found.miss_rate:.1%}",
            f"{of_defective}; defective parts ever missed: {_counts(found.missed)}",
            f"at most {MISS_RATE.acceptable:.0%}, {MISS_RATE.marginal:.0%}",
            grades["miss rate"],
        ),
        FigureRow(
            "False alarm rate",
            f"{found.false_alarm_rate:.1%}",
            f"{of_good}; good parts ever rejected: {_counts(found.false_alarms)}",
            f"at most {FALSE_ALARM_RATE.acceptable:.0%}, {FALSE_ALARM_RATE.marginal:.0%}",
            grades["false alarm rate"],
        ),
        FigureRow(
            "Kappa",
            _number(found.kappa),
            f"verdicts against labels (Cohen); {_interval(found.kappa, found.missed.confidence)}",
            f"at least {1 - DISAGREEMENT.acceptable:.2f}, {1 - DISAGREEMENT.marginal:.2f}",
            grades["kappa"],
        ),
        *_repeatability(found),
    ]


def _repeatability(found: Agreement) -> list[FigureRow]:
    if found.showings == 1:
        basis = "each part was shown once, which says nothing about it"
        return [FigureRow("Repeatability", "-", basis)]
    interval = _interval(found.kappa_repeat, found.missed.confidence)
    return [
        FigureRow(
            "Repeatability",
            f"{found.repeated.rate:.1%}",
            f"parts with the same verdict every time: {_counts(found.repeated)}",
        ),
        FigureRow(
            "Kappa between showings",
            _number(found.kappa_repeat),
            f"agreement of the showings of a part (Fleiss); {interval}",
        ),
    ]


def _counts(share: Proportion) -> str:
    return f"{share.count} of {share.total}, bounds {share.lower:.1%} and {share.upper:.1%}"


def _number(kappa: Kappa) -> str:
    return "-" if kappa.value is None else f"{kappa.value:.3f}"


def _interval(kappa: Kappa, confidence: float) -> str:
    if kappa.lower is None or kappa.upper is None:
        return "not defined: all verdicts are the same"
    return f"{confidence:.0%} interval {kappa.lower:.3f} to {kappa.upper:.3f}"


def _card(part: ShownPart, picture: bytes) -> Card:
    return Card(part.name, part.label, _verdicts(part), _scores(part), jpeg_url(picture))


def _verdicts(part: ShownPart) -> str:
    return ", ".join(showing.verdict.value for showing in part.showings)


def _scores(part: ShownPart) -> str:
    scores = [showing.score for showing in part.showings]
    return ", ".join("none" if score is None else f"{score:.4g}" for score in scores)
