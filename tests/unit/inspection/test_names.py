"""Names of files as text: reversible, on one line, valid UTF-8."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from inspection.errors import CameraError
from inspection.files import write_text
from inspection.images import list_images, read_image
from inspection.names import StoredPath, encodable, path_of, plain, printable

NAMES = {
    b"part 17.png": "part 17.png",
    "größe-部品.png".encode(): "größe-部品.png",
    b"\xff\xfe.png": r"\xff\xfe.png",
    b"a\nb\t\x1b[31m.png": r"a\nb\t\u001b[31m.png",
    rb"a\n\xff.png": r"a\\n\\xff.png",
    "\x85\u202e\U000e0001".encode(): r"\u0085\u202e\U000e0001",
    b"\xed\xb3\xbf.png": r"\xed\xb3\xbf.png",  # a surrogate in the manner of UTF-8
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_shown_on_one_line(name: bytes) -> None:
    assert printable(os.fsdecode(name)) == NAMES[name]
    assert os.fsencode(path_of(NAMES[name])) == name


FILE_NAMES = st.binary(min_size=1, max_size=12).filter(
    lambda name: not {0, ord("/")} & set(name) and name != b"."
)


@given(FILE_NAMES)
def test_every_name_comes_back(name: bytes) -> None:
    shown = printable(os.fsdecode(name))
    assert shown.isprintable()
    assert shown.encode().decode() == shown
    assert os.fsencode(path_of(shown)) == name


@given(st.lists(FILE_NAMES, min_size=2, max_size=2, unique=True))
def test_two_names_stay_two(names: list[bytes]) -> None:
    assert len({printable(os.fsdecode(name)) for name in names}) == 2


def test_other_backslashes_of_a_text_stay() -> None:
    assert path_of(r"a\b\xg0\u12") == Path(r"a\b\xg0\u12")


def test_a_stored_path_comes_back_through_json() -> None:
    adapter = TypeAdapter(StoredPath)
    for name in NAMES:
        path = Path("/data") / os.fsdecode(name)
        assert adapter.validate_json(adapter.dump_json(path)) == path


def test_an_error_and_a_text_file_take_a_raw_name(tmp_path: Path) -> None:
    raw = os.fsdecode(b"\xff.png")
    assert str(CameraError(f"{raw}: damaged")) == r"\xff.png: damaged"
    assert encodable(f"{raw}\n") == "\\xff.png\n"
    write_text(tmp_path / "page.html", f"<p>{raw}</p>")
    assert (tmp_path / "page.html").read_text() == r"<p>\xff.png</p>"
    json.loads(json.dumps(str(CameraError(raw)), ensure_ascii=False).encode())


def test_an_image_is_named_in_an_error(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff\n.png")).write_bytes(b"damaged")
    (path,) = list_images(tmp_path, print)
    with pytest.raises(CameraError) as error:
        read_image(path)
    assert rf"{tmp_path}/\xff\n.png: not an image" in str(error.value)


def test_a_plain_name_suits_every_system() -> None:
    assert plain(r"0-\xff/a b:c.png") == "0-_xff_a_b_c.png"
    assert len(plain("部" * 300)) == 100
