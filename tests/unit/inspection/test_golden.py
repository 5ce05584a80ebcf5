"""Tests that a damaged golden frame is an error with its name, and that no pickle is loaded."""

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from inspection.bundle import Bundle
from inspection.errors import BundleError
from inspection.golden import golden_frames, write_golden

golden_bundle = pytest.importorskip("tests.doubles.golden_bundle", reason="needs the package onnx")
MAP = np.zeros((32, 32), np.float32)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    built: Bundle = golden_bundle.build(tmp_path / "bundle")
    return built


def saved(**arrays: object) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


def one_array(content: object) -> bytes:
    stream = io.BytesIO()
    np.save(stream, content)  # type: ignore[arg-type]
    return stream.getvalue()


def with_member(name: str, content: bytes) -> bytes:
    stream = io.BytesIO(saved(score=np.float32(1)))
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return stream.getvalue()


class Evil:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return pytest.fail, ("a pickle was loaded",)


def huge() -> bytes:
    """Returns an array whose header asks for 4 TB."""
    stream = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": (1 << 40,)}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "File is not a zip file"),
        (b"PK\x03\x04 and no more", "File is not a zip file"),
        (one_array(MAP), "File is not a zip file"),
        (pickle.dumps(Evil()), "File is not a zip file"),
        (saved(score=np.float32(1)), "no item named 'map.npy' in the archive"),
        (saved(map=MAP), "no item named 'score.npy' in the archive"),
        (
            saved(score=np.float32(1), map=np.array([Evil()])),
            "map is no float32 array of shape (32, 32)",
        ),
        (
            saved(score=np.float32(1), map=MAP.astype(np.float64)),
            "map is no float32 array of shape (32, 32)",
        ),
        (saved(score=np.float32(1), map=MAP[:8]), "map is no float32 array of shape (32, 32)"),
        (saved(score=MAP, map=MAP), "score is no float32 array of shape ()"),
        (saved(score=np.float32("nan"), map=MAP), "score is not finite"),
        (saved(score=np.float32(1), map=np.full_like(MAP, np.inf)), "map is not finite"),
        (with_member("map.npy", huge()), "map is no float32 array of shape (32, 32)"),
        (with_member("map.npy", b"\x93NUMPY\x03\x00"), "map is no float32 array of shape (32, 32)"),
        (with_member("map.npy", b"\x93NUMPY\x01\x00\x09\x00{'a': [[["), "map is no float32 array"),
        (with_member("map.npy", bytes(30 << 20)), "map is no float32 array"),
    ],
)
def test_what_is_no_score_and_map_is_named(bundle: Bundle, content: bytes, reason: str) -> None:
    path = bundle.folder / bundle.manifest.golden[0].expected
    path.write_bytes(content)
    with pytest.raises(BundleError) as refused:
        golden_frames(bundle)
    assert str(refused.value).startswith(f"{path}: is not the score and map of a golden frame (")
    assert reason in str(refused.value)


def test_every_cut_and_changed_byte_is_an_error_or_the_same_frame(bundle: Bundle) -> None:
    path = bundle.folder / bundle.manifest.golden[0].expected
    content = path.read_bytes()
    before = golden_frames(bundle)[0]
    steps = max(len(content) // 150, 1)
    for position in range(0, len(content), steps):
        changed = bytearray(content)
        changed[position] ^= 0xFF
        for damaged in (content[:position], bytes(changed)):
            path.write_bytes(damaged)
            try:
                after = golden_frames(bundle)[0]
            except BundleError:
                continue
            assert (after.score, after.map.tobytes()) == (before.score, before.map.tobytes())


def test_names_of_images_become_names_of_files(tmp_path: Path) -> None:
    name = "0-teil\x1b[2Kü/" + "x" * 300
    golden = write_golden(tmp_path, name, b"png", 1.0, MAP)
    assert golden.name == name
    assert golden.frame == "golden/0-teil__2K__" + "x" * 88 + ".png"
    assert (tmp_path / golden.frame).read_bytes() == b"png"
