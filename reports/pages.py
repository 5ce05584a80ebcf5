"""Writes HTML pages made of sections, each page one file with its style and pictures. Needs jinja2.

A page needs no network and no script, and prints well. The template escapes every text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jinja2 import Environment, PackageLoader, StrictUndefined

from inspection.files import write_text
from reports.charts import Chart

Grade = Literal["", "acceptable", "marginal", "unacceptable"]


@dataclass(frozen=True)
class FigureRow:
    """A figure: its value and the basis of it, with limits and a grade where it has them."""

    name: str
    value: str
    basis: str
    limits: str = ""
    grade: Grade = ""


@dataclass(frozen=True)
class Picture:
    """A picture as a data URL, with its title."""

    title: str
    url: str


@dataclass(frozen=True)
class Card:
    """One part with its pictures.

    Attributes:
        verdict: name of the verdict, which colours the card; empty for a plain card.
        caption: score and threshold behind the verdict.
        mistake: kind of wrong verdict; empty for a right one.
        lines: further text, a line each.
        columns: number of pictures side by side.
    """

    name: str
    pictures: tuple[Picture, ...]
    verdict: str = ""
    caption: str = ""
    mistake: str = ""
    lines: tuple[str, ...] = ()
    columns: int = 2


@dataclass(frozen=True)
class Text:
    """Paragraphs below a heading."""

    heading: str
    paragraphs: Sequence[str]


@dataclass(frozen=True)
class Statement:
    """The result of the page in one sentence with its grade, and a note on it."""

    sentence: str
    grade: Grade
    note: str


@dataclass(frozen=True)
class Notices:
    """Warnings to read first; an empty list shows nothing."""

    lines: Sequence[str]


@dataclass(frozen=True)
class Highlights:
    """The most important figures in large print."""

    rows: Sequence[FigureRow]


@dataclass(frozen=True)
class Figures:
    """All figures as a table; limits and grades only where a figure has them."""

    rows: Sequence[FigureRow]
    note: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of text below a heading; a table without rows shows nothing.

    Attributes:
        columns: headings of the columns; none for a table of names and values.
        kind: `origin` for hashes and other long words, `long` for a table over several pages.
        intro: a paragraph above the table.
        note: a paragraph below it.
        folded: pictures that open on a click.
    """

    heading: str
    rows: Sequence[Sequence[str]]
    columns: Sequence[str] = ()
    kind: Literal["", "origin", "long"] = ""
    intro: str = ""
    note: str = ""
    folded: Sequence[Picture] = ()


@dataclass(frozen=True)
class Plot:
    """A picture or a chart over the whole width; its title is for screen readers only."""

    heading: str
    drawing: Picture | Chart
    note: str = ""


@dataclass(frozen=True)
class Cards:
    """Parts with their pictures.

    Attributes:
        scale: colours of the anomaly maps with their values; None without a common scale.
        kind: `narrow` for cards of one picture, `wide` for cards of several.
    """

    heading: str
    note: str
    cards: Sequence[Card]
    scale: Picture | None = None
    kind: Literal["narrow", "wide"] = "narrow"


@dataclass(frozen=True)
class Signature:
    """Space to sign the printed page."""

    note: str


# Each has a macro of its name in sections.html.j2.
Section = Text | Statement | Notices | Highlights | Figures | Table | Plot | Cards | Signature


def write_page(path: Path, title: str, subtitle: str, sections: Sequence[Section]) -> None:
    """Writes a page atomically, and makes its folder."""
    environment = Environment(
        loader=PackageLoader("reports", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("page.html.j2").render(
        title=title,
        subtitle=subtitle,
        sections=[(type(section).__name__, section) for section in sections],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, page)
