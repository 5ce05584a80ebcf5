"""The commands that calibrate again, compare and restore, on a bundle of known scores."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from inspection.bundle import Bundle
from linewarden.command_line import main
from linewarden.exit_codes import UNACCEPTABLE

FIRST = "20260101T000000Z"


def images(folder: Path, levels: list[int]) -> str:
    folder.mkdir(parents=True)
    for level in levels:
        image = np.full((32, 32), 5, np.uint8)
        image[3, 4] = level
        cv2.imwrite(str(folder / f"{level}.png"), image)
    return str(folder)


def said(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    capsys.readouterr()
    code = main([*map(str, words)])
    printed = capsys.readouterr()
    return code, printed.out if code in (0, UNACCEPTABLE) else printed.err


def test_calibrations_are_listed_compared_and_brought_back(
    tiny_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tiny_bundle.folder
    good, more = images(tmp_path / "good", [20, 60]), images(tmp_path / "more", [40, 102])
    calibrate = ["calibrate", folder, "--good", good, "--author", "anna"]
    assert said(capsys, *calibrate, "--reason", "new lamp")[0] == 0
    second = tiny_bundle.calibration("default", "model.onnx")
    code, text = said(
        capsys, *calibrate, "--reason", "false rejects", "--more-good", more,
        "--report", tmp_path / "page.html",
    )  # fmt: skip
    assert code == 0
    assert text.endswith(f"report: {tmp_path / 'page.html'}\n")
    assert "false rejects" in (tmp_path / "page.html").read_text()

    _, text = said(capsys, "calibrations", "list", folder)
    lines = [re.sub(r"\d{8}T\d{6}Z(-\d)?", "TIME", line) for line in text.splitlines()]
    assert [line.split() for line in lines] == [
        ["recipe", "default"],
        ["time", "threshold", "bound", "parts", "artefact", "author", "reason"],
        ["*", "TIME", "0.4", "52.71%", "4", "model.onnx", "anna", "false", "rejects"],
        ["TIME", "0.235294", "77.64%", "2", "model.onnx", "anna", "new", "lamp"],
        ["TIME", "0.5", "1.00%", "0", "model.onnx", "-", "-"],
    ]

    third = tiny_bundle.calibration("default", "model.onnx")
    _, text = said(capsys, "calibrations", "compare", folder, second.seal[:12])
    unseen = (
        "  of those it has not seen: 1 of 2 (50.00%), bounds 2.53% and 97.47% unless they were "
        "picked; the older promised at most 77.64%"
    )
    assert text.splitlines() == [
        f"older {second.moment} ({second.seal[:12]}), 2 good parts",
        f"newer {third.moment} ({third.seal[:12]}), 4 good parts",
        "good parts of the newer that the older has seen: 2",
        "threshold 0.235294 -> 0.4 (+0.165)",
        "pixel threshold 0.235294 -> 0.4 (+0.165)",
        "the older threshold rejects 1 of 4 (25.00%) of the newer's good parts",
        unseen,
        "the newer threshold rejects 0 of 2 (0.00%) of the older's",
    ]
    _, text = said(capsys, "calibrations", "compare", folder, second.seal, "--json")
    assert json.loads(text)["rejected_by_older"] == 1

    words = ["calibrations", "rollback", folder, second.seal, "--reason", "lamp repaired"]
    _, text = said(capsys, *words, "--author", "bert")
    assert text.splitlines()[1:] == [
        "threshold 0.235294",
        f"written to {folder / 'calibration/default.json'}",
    ]
    _, text = said(capsys, "calibrations", "show", folder)
    shown = json.loads(text)
    assert (shown["author"], shown["previous_seal"]) == ("bert", third.seal)
    assert shown["reason"].endswith(": lamp repaired")
    _, text = said(capsys, "calibrations", "list", folder, "--json")
    assert [one["active"] for one in json.loads(text)["default"]] == [True, False, False, False]


def test_the_slider_says_which_defects_would_pass(
    tiny_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tiny_bundle.folder
    said(capsys, "calibrate", folder, "--good", images(tmp_path / "good", [20, 60, 40, 102]))
    slider = ["calibrations", "sensitivity", folder, "--defects"]
    dents = [images(tmp_path / name, levels) for name, levels in (("a", [30, 80]), ("b", [200]))]
    code, text = said(capsys, *slider, *dents)
    assert code == 0
    head, *rows, _, legend = text.splitlines()
    assert head.split() == [
        *("position", "threshold", "expected", "bound"),
        *("escapes", "bound"),
    ]
    assert [(row.strip("* ").split()[1], *row.split()[-4:-1]) for row in rows] == [
        ("0.4", "2", "of", "3"),
        ("0.235294", "1", "of", "3"),
    ]
    assert rows[0].split()[-1] == "98.30%"  # Clopper and Pearson: 0.95 ** (1 / 3)
    assert legend.startswith("escapes: ")
    code, text = said(capsys, *slider, *dents, "--part-name", "^")
    rows = [row for row in text.splitlines() if " of " in row][:2]
    assert [row.split()[-4:-1] for row in rows] == [["1", "of", "2"], ["0", "of", "2"]]
    assert "escapes: defective parts that pass" in text
    _, text = said(capsys, *slider[:3], "--to", 0.4, "--reason", "fewer")
    assert text.splitlines()[-1] == (
        "note: the scores of the good parts give no threshold for 0.4; the recipe has the next "
        "below, of 0.000"
    )
    (tmp_path / "empty").mkdir()
    code, text = said(capsys, *slider, tmp_path / "empty")
    assert (code, "holds no image" in text) == (5, True)


def test_what_is_not_there_is_refused(
    tiny_bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tiny_bundle.folder
    assert said(capsys, "calibrations", "list", folder, "--recipe", "9") == (
        4,
        f"linewarden: {folder}: recipe '9' was never calibrated; calibrated recipes: default\n",
    )
    assert said(capsys, "calibrations", "show", folder, "20990101T000000Z") == (
        4,
        (
            f"linewarden: {folder}: recipe 'default' has no calibration '20990101T000000Z'; it has "
            f"{FIRST}: name one of these, or give the first 8 digits or more of its seal\n"
        ),
    )
    (folder / "calibration/default.json").unlink()
    assert said(capsys, "calibrations", "list", folder) == (
        4,
        f"linewarden: {folder}: has no calibration: linewarden calibrate {folder} --good FOLDER\n",
    )


def test_an_acceptance_study_writes_page_and_record(
    tiny_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images(tmp_path / "parts/test/good", [20, 60])
    images(tmp_path / "parts/test/dent", [200, 90])
    out = tmp_path / "out"
    code, text = said(
        capsys, "acceptance", tiny_bundle.folder, tmp_path / "parts", "--repeats", 2, "--out", out
    )
    assert code == UNACCEPTABLE
    lines = text.splitlines()
    assert lines[0] == (
        "2 defective and 2 good parts, each shown 2 times: the inspection is unacceptable."
    )
    assert "  dent/90.png: PASS PASS" in lines
    assert lines[-1] == f"report: {out / 'acceptance.html'}"
    record = json.loads((out / "acceptance.json").read_text())
    assert record["agreement"]["miss_rate"] == 0.5
    assert record["seal"] in (out / "acceptance.html").read_text()


def test_images_that_are_passed_over_are_a_warning(
    tiny_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = images(tmp_path / "good", [20, 60])
    images(tmp_path / "good/monday", [30, 40, 50])
    assert main(["calibrate", str(tiny_bundle.folder), "--good", good]) == 0
    told = f"warning: {good}: 3 images in subfolders are not read: monday/"
    assert told in capsys.readouterr().err.splitlines()
    words = ["calibrations", "sensitivity", str(tiny_bundle.folder), "--defects", good]
    assert main(words) == 0
    assert told in capsys.readouterr().err.splitlines()


def test_the_preview_is_what_more_good_parts_do(
    tiny_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, good = tiny_bundle.folder, images(tmp_path / "good", [20, 60, 40, 102])
    said(capsys, "calibrate", folder, "--good", good)
    preview = ["calibrations", "preview", folder, "--score", 200 / 255, 30 / 255]
    _, text = said(capsys, *preview, "--json")
    before, one, both = json.loads(text)["steps"]
    assert (before["threshold"], before["parts"]) == (pytest.approx(0.4), 4)
    assert (one["threshold"], one["parts"]) == (pytest.approx(200 / 255), 5)
    assert "5" in said(capsys, *preview)[1].splitlines()[3].split()
    more = images(tmp_path / "more", [200, 30])
    said(capsys, "calibrate", folder, "--good", good, "--more-good", more)
    calibrated = tiny_bundle.calibration("default", "model.onnx")
    assert calibrated.thresholds.reject == pytest.approx(both["threshold"])
    assert calibrated.false_reject_rate_bound == pytest.approx(both["bound"])


def test_no_preview_without_scores(tiny_bundle: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = said(capsys, "calibrations", "preview", tiny_bundle.folder)
    assert code == 3
    assert "it keeps no scores of good parts: calibrate with their images" in text
