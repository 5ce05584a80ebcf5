"""A part under review: labels with roles and masks, the nearest good part, the threshold."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import numpy as np
import pytest

from edge.panel.services import Panel
from edge.part.record import InspectionRecord
from edge.store.database import changing
from edge.store.labels import Label, add_label, enter_label
from edge.store.painted import MASK_MAX_BYTES, read_painted
from inspection.images import encode_png
from inspection.images.reading import decode_image
from tests.doubles.panel import Browser, TalkingLine

Parts = list[InspectionRecord]
PART = "/lines/line/review/parts/test-000001"


def text_of(content: bytes) -> str:
    return base64.b64encode(content).decode()


def painted(side: int = 64) -> bytes:
    image = np.zeros((side, side), np.uint8)
    image[:8] = 255
    return encode_png(image)


def test_a_label_goes_to_the_line_with_its_author_and_reason(
    panel: Panel, parts: Parts, line: TalkingLine
) -> None:
    operator = Browser(panel).log_in("operator")
    form = {"decision": "defect", "defect": "dent", "frame": "0", "mask": text_of(painted())}
    answer = operator.post(f"{PART}/label?verdict=all", form)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/lines/line/review?verdict=all"
    (given,) = line.labelled
    assert (given.trigger_id, given.label, given.author, given.note) == (
        *("test-000001", "dent"),
        *("operator", "a test"),
    )
    assert given.frame == parts[0].images[0]
    assert read_painted(base64.b64decode(given.mask or "")).sum() == 8 * 64
    (entry,) = panel.audit.entries()
    assert (entry.change.action, entry.change.subject) == ("label", "test-000001: dent")
    assert entry.change.undo is not None
    assert operator.post(entry.change.undo.path, dict(entry.change.undo.form)).status_code == 303
    assert line.asked == ["withdraw test-000001 operator dent by operator"]


def test_an_older_label_is_not_taken_back_in_place_of_the_newest(
    panel: Panel, parts: Parts, line: TalkingLine, tmp_path: Path
) -> None:
    operator = Browser(panel).log_in("operator")
    for form in ({"decision": "good"}, {"decision": "defect", "defect": "dent"}):
        assert operator.post(f"{PART}/label", form).status_code == 303
    for given in line.labelled:
        add_label(tmp_path / "records", "test-000001", given.label, author="operator", note="")
    newest, oldest = (entry.change.undo for entry in panel.audit.entries())
    assert newest is not None
    assert oldest is not None
    answer = operator.post(oldest.path, dict(oldest.form))
    assert answer.status_code == 409
    assert "operator has labelled this part again since." in answer.text
    assert line.asked == []
    assert operator.post(newest.path, dict(newest.form)).status_code == 303


def test_a_label_leads_to_the_next_part_of_the_choice(
    panel: Panel, parts: Parts, line: TalkingLine
) -> None:
    operator = Browser(panel).log_in("operator")
    path = "/lines/line/review/parts/test-000003/label?verdict=PASS"
    answer = operator.post(path, {"decision": "undecided", "mask": "no mask is read"})
    assert answer.headers["location"] == ("/lines/line/review/parts/test-000002?verdict=PASS")
    assert [one.label for one in line.labelled] == ["undecided"]
    assert line.labelled[0].mask is None


WRONG = [
    ({"decision": "other"}, "The field decision is missing or wrong."),
    ({"decision": "defect", "defect": ""}, "Give the type of the defect"),
    ({"decision": "defect", "defect": "good"}, "Give the type of the defect"),
    ({"decision": "defect", "defect": "x" * 65}, "The field defect is missing or wrong."),
    ({"frame": "1"}, "The field frame is missing or wrong."),
    ({"frame": "../../x"}, "The field frame is missing or wrong."),
    ({"mask": "not base64"}, "The painted mask cannot be used"),
    ({"mask": text_of(b"GIF89a")}, "The painted mask cannot be used"),
    ({"mask": text_of(painted()[:-9])}, "The painted mask cannot be used"),
    ({"mask": text_of(encode_png(np.zeros((8, 8), np.uint8)))}, "nothing is painted"),
    ({"mask": "A" * MASK_MAX_BYTES * 3}, "is larger than"),
]


@pytest.mark.parametrize(("wrong", "why"), WRONG, ids=[why for _, why in WRONG])
def test_a_form_that_is_wrong_labels_nothing(
    panel: Panel, parts: Parts, line: TalkingLine, wrong: dict[str, str], why: str
) -> None:
    form = {"decision": "defect", "defect": "dent", "frame": "0", "mask": text_of(painted())}
    answer = Browser(panel).log_in("operator").post(f"{PART}/label", form | wrong)
    assert answer.status_code in {400, 413}
    assert why in answer.text
    assert line.labelled == []
    assert panel.audit.entries() == []


def test_a_line_that_does_not_run_takes_no_label_and_the_page_says_how(
    panel: Panel, parts: Parts
) -> None:
    operator = Browser(panel).log_in("operator")
    text = operator.get(PART).text
    assert "The line writes the labels, and does not answer." in text
    assert "linewarden records label" in text
    assert 'id="decide"' not in text
    assert operator.post(f"{PART}/label", {"decision": "good"}).status_code == 503
    (entry,) = panel.audit.entries()
    assert "no answer" in (entry.failure or "")


def test_a_viewer_looks_and_an_operator_labels(
    panel: Panel, parts: Parts, line: TalkingLine
) -> None:
    text = Browser(panel).log_in("viewer").get(PART).text
    assert "Operators label parts." in text
    assert 'id="decide"' not in text
    assert 'id="decide"' in Browser(panel).log_in("operator").get(PART).text


def test_people_who_disagree_are_named(
    panel: Panel, parts: Parts, tmp_path: Path, line: TalkingLine
) -> None:
    for author, label in (("operator", "dent"), ("bob", "good")):
        add_label(tmp_path / "records", "test-000001", label, author=author, note=f"<{author}>")
    text = Browser(panel).log_in("operator").get(PART).text
    assert 'id="disputed"' in text
    assert "&lt;bob&gt;" in text
    assert f'action="{PART}/withdraw"' in text
    assert "people disagree" in Browser(panel).log_in("viewer").get("/lines/line/review").text


def test_a_part_that_is_not_there(panel: Panel, parts: Parts) -> None:
    viewer = Browser(panel).log_in("viewer")
    for below in ("", "/nearest", "/threshold", "/masks/0?size=160"):
        assert viewer.get(f"/lines/line/review/parts/nobody{below}").status_code == 404


def test_the_nearest_good_part_looks_alike(panel: Panel, parts: Parts, tmp_path: Path) -> None:
    viewer = Browser(panel).log_in("viewer")
    text = viewer.get(f"{PART}/nearest").text
    assert "/parts/test-000002/images/0?size=1280" in text
    assert "passes compared: 2" in text
    # An escape is no example of a good part.
    add_label(tmp_path / "records", "test-000002", "dent", author="ann", note="")
    assert "/parts/test-000003/" in viewer.get(f"{PART}/nearest").text
    for path in (tmp_path / "records/images").rglob("*_PASS*"):
        path.unlink()
    assert "has no pass of this recipe" in viewer.get(f"{PART}/nearest").text
    no_frame = "/lines/line/review/parts/test-000004/nearest"
    assert "has no pass of this recipe" in viewer.get(no_frame).text


def test_the_mask_of_a_label_comes_at_a_size(panel: Panel, parts: Parts, tmp_path: Path) -> None:
    name = parts[0].images[0].replace("frame", "painted-00000000")
    (tmp_path / "records/images" / name).write_bytes(painted())
    (tmp_path / "secret.png").write_bytes(painted())
    moment = parts[0].triggered_utc
    for mask in (name, "../../secret.png", None):
        with changing(tmp_path / "records") as connection:
            label = Label("dent", "ann", "", moment, mask)
            enter_label(connection, "test-000001", label)
    viewer = Browser(panel).log_in("viewer")
    answer = viewer.get(f"{PART}/masks/0?size=160")
    assert answer.headers["content-type"] == "image/png"
    assert decode_image(answer.content, "a").shape == (64, 64)
    for below in ("masks/1?size=160", "masks/2?size=160", "masks/3?size=160"):
        assert viewer.get(f"{PART}/{below}").status_code == 404
    assert viewer.get(f"{PART}/masks/0?size=1").status_code == 400


def test_what_a_label_would_do_cannot_always_be_told(panel: Panel, parts: Parts) -> None:
    viewer = Browser(panel).log_in("viewer")
    text = viewer.get("/lines/line/review/parts/test-000004/threshold").text
    assert "The part has no score." in text
    answer = viewer.get(f"{PART}/threshold")  # the bundle of this line is not there
    assert answer.status_code == 200
    assert re.search(r"bundle.*", answer.text)
