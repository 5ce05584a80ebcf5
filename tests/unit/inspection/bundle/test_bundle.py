"""Tests that a bundle detects every changed byte, and that thresholds stay with their artefact."""

import json
import re
import shutil
from pathlib import Path

import pytest

from inspection.bundle import Bundle, open_bundle
from inspection.errors import BundleError


def test_a_whole_bundle_opens(tiny_bundle: Bundle) -> None:
    assert open_bundle(tiny_bundle.folder).manifest == tiny_bundle.manifest


def test_one_changed_byte_is_found_in_any_file(tiny_bundle: Bundle) -> None:
    for name in tiny_bundle.manifest.files:
        path = tiny_bundle.folder / name
        content = path.read_bytes()
        for position in (0, len(content) // 2, len(content) - 1):
            changed = bytearray(content)
            changed[position] ^= 1
            path.write_bytes(changed)
            with pytest.raises(BundleError, match=rf"{re.escape(name)} is not what was exported"):
                open_bundle(tiny_bundle.folder)
        path.write_bytes(content)
    open_bundle(tiny_bundle.folder)


@pytest.mark.parametrize("file", ["manifest.json", "calibration/default.json"])
def test_an_edited_value_breaks_the_seal(tiny_bundle: Bundle, file: str) -> None:
    path = tiny_bundle.folder / file
    record = json.loads(path.read_text())
    key = "macs" if file == "manifest.json" else "threshold_score"
    record[key] += 1
    path.write_text(json.dumps(record))
    with pytest.raises(BundleError, match="was changed after it was written"):
        open_bundle(tiny_bundle.folder).calibration("default", "model.onnx")


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "is not a manifest of schema 1"), ("{}", "is not a manifest of schema 1")],
)
def test_a_damaged_manifest_is_refused(tiny_bundle: Bundle, content: str, message: str) -> None:
    (tiny_bundle.folder / "manifest.json").write_text(content)
    with pytest.raises(BundleError, match=message):
        open_bundle(tiny_bundle.folder)


@pytest.mark.parametrize("height", [0, 1 << 15, 10**30, "32 rows", None, float("nan")])
def test_a_size_that_no_memory_holds_is_refused(tiny_bundle: Bundle, height: object) -> None:
    path = tiny_bundle.folder / "manifest.json"
    record = json.loads(path.read_text())
    record["graph"]["height"] = height
    path.write_text(json.dumps(record))
    with pytest.raises(
        BundleError, match=r"manifest of schema 1 \(graph\.height: Input should be "
    ):
        open_bundle(tiny_bundle.folder)


def test_a_missing_file_is_named(tiny_bundle: Bundle) -> None:
    (tiny_bundle.folder / "model.onnx").unlink()
    with pytest.raises(BundleError, match=r"model\.onnx is missing"):
        open_bundle(tiny_bundle.folder)


def test_no_bundle_and_a_packed_one(tmp_path: Path, tiny_bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="no such bundle; make one with"):
        open_bundle(tmp_path / "nowhere")
    packed = shutil.make_archive(str(tmp_path / "packed"), "zip", tiny_bundle.folder)
    with pytest.raises(BundleError, match="is packed; install it first: linewarden bundle"):
        open_bundle(Path(packed))


def test_an_uncalibrated_recipe_is_refused_with_the_command(tiny_bundle: Bundle) -> None:
    with pytest.raises(BundleError, match=r"recipe '7' is not calibrated: linewarden calibrate"):
        tiny_bundle.calibration("7", "model.onnx")


def test_thresholds_of_another_artefact_are_refused(tiny_bundle: Bundle) -> None:
    stranger = tiny_bundle.calibration("default", "model.onnx").model_copy(
        update={"artefact_sha256": "f" * 64}
    )
    tiny_bundle.add_calibration(stranger)
    with pytest.raises(BundleError, match="thresholds hold for the artefact they were measured"):
        tiny_bundle.calibration("default", "model.onnx")


def test_a_name_that_leaves_the_bundle_is_refused(tiny_bundle: Bundle) -> None:
    files = {**tiny_bundle.manifest.files, "../outside": "0" * 64}
    evil = tiny_bundle.manifest.model_copy(update={"files": files}).sealed()
    (tiny_bundle.folder / "manifest.json").write_text(evil.model_dump_json())
    with pytest.raises(BundleError, match=r"'\.\./outside' leaves the bundle"):
        open_bundle(tiny_bundle.folder)
