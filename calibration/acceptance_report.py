"""Reports an acceptance study as one HTML page: to read, to print, to sign."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from calibration.acceptance import AcceptanceStudy, ShownPart
from calibration.agreement import (
    DISAGREEMENT,
    FALSE_ALARM_RATE,
    INEFFECTIVE,
    MISS_RATE,
    Agreement,
    Kappa,
)
from calibration.tolerance import parts_needed
from inspection.digits import comparable
from reports.classification import classification_tables
from reports.pages import (
    Card,
    Cards,
    FigureRow,
    Figures,
    Notices,
    Picture,
    Section,
    Signature,
    Statement,
    Table,
    write_page,
)
from reports.pictures import data_url
from reports.proportion import Proportion

SOURCE = (
    "AIAG, Measurement Systems Analysis, 4th edition 2010, chapter III section C (attribute "
    "measurement systems)"
)


def write_acceptance_report(
    path: Path, study: AcceptanceStudy, pictures: Mapping[str, bytes]
) -> None:
    """Writes the page atomically.

    Args:
        pictures: a JPEG of each disagreeing part, by name.
    """
    cards = [_card(study, part, pictures[part.name]) for part in study.disagreeing]
    sections: list[Section] = [
        Statement(statement(study), study.agreement.grade.value, proof(study.agreement)),
        Notices(study.remarks),
        Figures(
            figure_rows(study.agreement),
            f"Limits: {SOURCE}. Bounds (Clopper-Pearson) are one-sided, each at "
            f"{study.confidence:.0%} confidence. They count parts, since showings of one part are "
            "not independent. REVIEW and NO_VERDICT set a part aside and count as rejected.",
        ),
        *classification_tables(
            study.classification,
            "Counts showings, at the calibrated threshold: PASS predicts good, every other verdict "
            "defective.",
        ),
        Table("Origin", _origin(study), kind="origin"),
        Signature(
            f"Covers the figures above and the lists below: {len(study.parts)} parts, "
            f"{len(cards)} of them with a verdict against their label."
        ),
        Cards(
            "Verdicts against the label",
            "" if cards else "None: every verdict agrees with the label.",
            cards,
        ),
        Table(
            "All parts",
            [_row(study, part) for part in study.parts],
            ["part", "label", "verdicts", "scores", "wrong"],
            kind="long",
        ),
    ]
    write_page(
        path,
        f"Acceptance study of {study.bundle}, recipe {study.recipe}",
        f"Linewarden {study.linewarden_version} judged the parts of {study.data_set} on "
        f"{study.created_utc[:10]}.",
        sections,
    )


def statement(study: AcceptanceStudy) -> str:
    """Says the result of the study in one sentence."""
    found = study.agreement
    times = "once" if study.repeats == 1 else f"{study.repeats} times"
    return (
        f"{found.missed.total} defective and {found.false_alarms.total} good parts, each shown "
        f"{times}: the inspection is {found.grade.value}."
    )


def proof(found: Agreement) -> str:
    """Says if the number of parts proves the figures, and how many parts would."""
    if found.is_proven:
        return "The bounds are within the acceptable limits too: the number of parts is a proof."
    confidence = found.missed.confidence
    defective = parts_needed(MISS_RATE.acceptable, confidence)
    good = parts_needed(FALSE_ALARM_RATE.acceptable, confidence)
    return (
        "The grades rate the figures; not all bounds are within the acceptable limits. At "
        f"{confidence:.0%} confidence a proof takes at least {defective} defective parts without a "
        f"miss and {good} good parts without a false alarm."
    )


def figure_rows(found: Agreement) -> list[FigureRow]:
    """Returns all figures of the study, each with its basis."""
    grades = found.grades
    of_defective = f"of {found.missed.total * found.showings} showings"
    of_good = f"of {found.false_alarms.total * found.showings} showings"
    return [
        FigureRow(
            "Effectiveness",
            f"{found.effective.rate:.1%}",
            f"parts judged correctly every time: {_counts(found.effective)}",
            f"at least {1 - INEFFECTIVE.acceptable:.0%}, {1 - INEFFECTIVE.marginal:.0%}",
            grades["effectiveness"].value,
        ),
        FigureRow(
            "Miss rate",
            f"{found.miss_rate:.1%}",
            f"{of_defective}; defective parts ever missed: {_counts(found.missed)}",
            f"at most {MISS_RATE.acceptable:.0%}, {MISS_RATE.marginal:.0%}",
            grades["miss rate"].value,
        ),
        FigureRow(
            "False alarm rate",
            f"{found.false_alarm_rate:.1%}",
            f"{of_good}; good parts ever rejected: {_counts(found.false_alarms)}",
            f"at most {FALSE_ALARM_RATE.acceptable:.0%}, {FALSE_ALARM_RATE.marginal:.0%}",
            grades["false alarm rate"].value,
        ),
        FigureRow(
            "Kappa",
            _number(found.kappa),
            f"verdicts against labels (Cohen); {_interval(found.kappa, found.missed.confidence)}",
            f"at least {1 - DISAGREEMENT.acceptable:.2f}, {1 - DISAGREEMENT.marginal:.2f}",
            grades["kappa"].value,
        ),
        *_repeatability(found),
    ]


def _repeatability(found: Agreement) -> list[FigureRow]:
    if found.showings == 1:
        basis = "not known: each part was shown once"
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


def _origin(study: AcceptanceStudy) -> list[tuple[str, str]]:
    author = study.calibration_author
    calibrated = study.calibration_created_utc + (f" by {author}" if author else "")
    review = study.threshold_review
    band = "" if review is None else f", review from {review:.6g} on"
    return [
        ("bundle", f"{study.bundle}, seal {study.bundle_seal}"),
        ("artefact", f"{study.artefact} by {study.engine}, SHA-256 {study.artefact_sha256}"),
        ("calibration", f"recipe {study.recipe} of {calibrated}, seal {study.calibration_seal}"),
        ("threshold", f"{study.threshold:.6g}{band}"),
        (
            "parts",
            f"{study.data_set}, {study.showings}, SHA-256 over the images {study.data_sha256}",
        ),
        ("studied", f"{study.created_utc}, Linewarden {study.linewarden_version}"),
        ("record", f"the JSON file beside this page, seal {study.seal}"),
    ]


def _card(study: AcceptanceStudy, part: ShownPart, picture: bytes) -> Card:
    *_, threshold = _texts(study, part)
    lines = (
        f"label {part.label}: {_verdicts(part)}",
        f"score {_scores(study, part)}; threshold {threshold}",
    )
    return Card(
        part.name, (Picture("first wrong showing", data_url(picture)),), lines=lines, columns=1
    )


def _row(study: AcceptanceStudy, part: ShownPart) -> tuple[str, ...]:
    wrong = f"{part.wrong} of {study.repeats}" if part.wrong else ""
    return part.name, part.label, _verdicts(part), _scores(study, part), wrong


def _verdicts(part: ShownPart) -> str:
    return ", ".join(showing.verdict.value for showing in part.showings)


def _scores(study: AcceptanceStudy, part: ShownPart) -> str:
    texts = iter(_texts(study, part))
    return ", ".join("none" if one.score is None else next(texts) for one in part.showings)


def _texts(study: AcceptanceStudy, part: ShownPart) -> tuple[str, ...]:
    """Returns the scores of a part, and last the threshold."""
    scores = [showing.score for showing in part.showings if showing.score is not None]
    return comparable(*scores, study.threshold)
