"""Pages made of sections: each kind is drawn, escaped and complete in one file."""

from pathlib import Path
from typing import get_args

import numpy as np

from inspection.images import encode_jpeg, encode_png
from reports.charts import histogram
from reports.pages import (
    Card,
    Cards,
    FigureRow,
    Figures,
    Highlights,
    Notices,
    Picture,
    Plot,
    Section,
    Signature,
    Statement,
    Table,
    Text,
    write_page,
)
from reports.pictures import data_url
from tests.doubles.html_page import Page

HOSTILE = "<script>alert(1)</script>"
PICTURE = Picture(HOSTILE, data_url(encode_png(np.zeros((4, 4), np.uint8))))
ROW = FigureRow(HOSTILE, "1 %", "2 of 200")
SECTIONS: list[Section] = [
    Text(HOSTILE, [HOSTILE]),
    Statement(HOSTILE, "marginal", "note"),
    Notices([HOSTILE]),
    Highlights([ROW]),
    Figures([ROW, FigureRow("miss rate", "0 %", "of 50", "at most 2 %", "acceptable")], HOSTILE),
    Table(HOSTILE, [(HOSTILE, HOSTILE)], [HOSTILE, "b"], "long", HOSTILE, HOSTILE, [PICTURE]),
    Plot(HOSTILE, PICTURE, HOSTILE),
    Plot("scores", histogram([0.1, 0.2], [(HOSTILE, 0.3)])),
    Cards(HOSTILE, HOSTILE, [Card(HOSTILE, (PICTURE,), "REJECT", "2 > 1", HOSTILE)], PICTURE),
    Signature(HOSTILE),
]


def written(path: Path, sections: list[Section]) -> Page:
    write_page(path / "new" / "page.html", HOSTILE, HOSTILE, sections)
    return Page((path / "new" / "page.html").read_text())


def test_every_kind_of_section_is_drawn_and_escaped(tmp_path: Path) -> None:
    assert {type(section) for section in SECTIONS} == set(get_args(Section))
    page = written(tmp_path, SECTIONS)
    assert "script" not in page.tags
    assert page.tags.count("section") == len(SECTIONS)
    assert page.text.count(HOSTILE) > len(SECTIONS)
    assert all(link.startswith("data:image/png;base64,") for link in page.links)


def test_grid_lines_are_behind_the_bars_and_both_axes_have_names(tmp_path: Path) -> None:
    page = written(tmp_path, [Plot("scores", histogram([0.1, 0.2], []))])
    assert page.tags.index("line") < page.tags.index("rect")
    assert {"parts", "raw score"} <= set(page.text)


def test_nothing_to_show_takes_no_room(tmp_path: Path) -> None:
    page = written(tmp_path, [Notices([]), Table("empty", [], ["a"])])
    assert not {"section", "table"} & set(page.tags)


def test_grades_have_columns_only_where_there_are_some(tmp_path: Path) -> None:
    plain = written(tmp_path, [Figures([ROW])])
    assert "grade" not in plain.text
    graded = written(tmp_path, [Figures([FigureRow("a", "1", "b", "at most 2", "acceptable")])])
    at = graded.text.index("a")
    assert graded.text[at - 1 : at + 5] == ["grade", "a", "1", "b", "at most 2", "acceptable"]


def test_an_image_says_its_own_kind() -> None:
    image = np.zeros((4, 4), np.uint8)
    assert data_url(encode_jpeg(image)).startswith("data:image/jpeg;base64,/9j/")
    assert data_url(encode_png(image)).startswith("data:image/png;base64,iVBOR")
