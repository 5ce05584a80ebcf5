"""Tests that a damaged file of a bundle gives an error of ours or the verdict of the whole one."""

import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from inspection.bundle import Bundle, open_bundle
from inspection.bundle.calibration_file import Calibration
from inspection.bundle.installed import BundleStore
from inspection.bundle.manifest import MANIFEST, Manifest
from inspection.errors import BundleError, LinewardenError
from inspection.golden import golden_frames
from inspection.inspector import Inspector
from inspection.trust.ed25519 import new_key_pair, read_private_key
from inspection.trust.keys import Keys
from inspection.trust.sealed import Sealed
from inspection.trust.signature import sign
from inspection.verdict import Verdict

golden_bundle = pytest.importorskip("tests.doubles.golden_bundle", reason="needs the package onnx")
FRAME = np.full((32, 32), 200, np.uint8)
CALIBRATION = "calibration/default.json"
FILES = (
    MANIFEST,
    "model.onnx",
    "training.json",
    "golden/grey-40.png",
    "golden/grey-40.npz",
    "signature",
    CALIBRATION,
)
NONSENSE: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    10**30,
    1e30,
    "1" * 5000,
    float("nan"),
    "",
    "\x1b[2J\x00",
    "../../etc/passwd",
    "x" * 5000,
    [],
    [[[]]],
    {},
    {"\x00": 1},
)


class Signed:
    """A signed bundle, and the keys of a machine that trusts it."""

    def __init__(self, folder: Path) -> None:
        self.bundle: Bundle = golden_bundle.build(folder / "bundle")
        new_key_pair(folder / "owner.pem")
        key = read_private_key(folder / "owner.pem")
        sign(self.bundle.folder, MANIFEST, self.bundle.calibrations(), key, serial=1)
        self.keys = Keys({key.public.id: key.public})
        self.store = BundleStore(folder / "store", self.keys)


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Signed:
    return Signed(tmp_path_factory.mktemp("signed"))


@contextmanager
def replaced(path: Path, content: bytes) -> Iterator[None]:
    before = path.read_bytes()
    path.write_bytes(content)
    try:
        yield
    finally:
        path.write_bytes(before)


def verdict_of(folder: Path, keys: Keys) -> Verdict | None:
    """Returns the verdict on a bright frame; None for an error of ours."""
    try:
        bundle = open_bundle(folder, keys)
        bundle.recipes()
        bundle.trained_on()
        golden_frames(bundle)
        with Inspector.open(bundle, threads=1) as inspector:
            return inspector.inspect(FRAME).verdict
    except LinewardenError:
        return None


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """Flips bits, cuts the end off, puts bytes in the middle, or replaces all."""
    kind = draw(st.sampled_from(["flip", "cut", "insert", "replace"]))
    if kind == "replace":
        return draw(st.binary(max_size=300))
    position = draw(st.integers(0, len(content) - 1))
    if kind == "cut":
        return content[:position]
    if kind == "insert":
        return content[:position] + draw(st.binary(min_size=1, max_size=20)) + content[position:]
    flipped = content[position] ^ draw(st.integers(1, 255))
    return content[:position] + bytes([flipped]) + content[position + 1 :]


@pytest.mark.parametrize("has_keys", [False, True])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_an_error_or_changes_nothing(
    name: str, has_keys: bool, signed: Signed
) -> None:
    path = signed.bundle.folder / name
    keys = signed.keys if has_keys else Keys()
    assert verdict_of(signed.bundle.folder, keys) is Verdict.REJECT

    @settings(max_examples=25, deadline=None)
    @given(damaged(path.read_bytes()))
    def check(content: bytes) -> None:
        with replaced(path, content):
            assert verdict_of(signed.bundle.folder, keys) in {None, Verdict.REJECT}

    check()


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yields the way to each value in a JSON document, and to each object and list."""
    yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, (*path, key))


def changed(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    copy = document.copy()
    copy[path[0]] = changed(document[path[0]], path[1:], value)
    return copy


def sealed(model: type[Sealed], document: Any) -> bytes:
    """Returns a document as JSON, with a valid seal where the model takes its content."""
    content = json.dumps(document)
    try:
        return model.model_validate_json(content).sealed().model_dump_json().encode()
    except ValidationError:
        return content.encode()


@pytest.mark.parametrize(("name", "model"), [(MANIFEST, Manifest), (CALIBRATION, Calibration)])
def test_nonsense_under_a_valid_seal_ends_in_no_trace(
    name: str, model: type[Sealed], signed: Signed
) -> None:
    """Anybody can make a seal. A machine without keys runs the result or refuses it by name."""
    path = signed.bundle.folder / name
    document = json.loads(path.read_bytes())
    for way in leaves(document):
        for value in NONSENSE:
            with replaced(path, sealed(model, changed(document, way, value))):
                verdict_of(signed.bundle.folder, Keys())


def packed(bundle: Bundle, archive: Path) -> bytes:
    """Packs a bundle with its calibration, and returns the archive."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as writer:
        for name in sorted({*FILES, *bundle.manifest.files}):
            writer.write(bundle.folder / name, name)
    return archive.read_bytes()


@pytest.mark.parametrize("name", ["Calibration/default.json", "calibration/default.jso/"])
def test_a_damaged_name_in_an_archive_leaves_no_calibration_out(
    name: str, signed: Signed, tmp_path: Path
) -> None:
    source = tmp_path / "b.zip"
    before, _, after = packed(signed.bundle, source).rpartition(CALIBRATION.encode())
    source.write_bytes(before + name.encode() + after)
    store = BundleStore(tmp_path / "store", signed.keys)
    with pytest.raises(BundleError, match=r"and header .* differ.*: copy the bundle again"):
        store.install(source)
    assert store.versions("tiny") == []


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_damaged_archive_is_an_error_or_the_same_version(
    data: st.DataObject, signed: Signed, tmp_path_factory: pytest.TempPathFactory
) -> None:
    source = tmp_path_factory.mktemp("packed") / "b.zip"
    whole = packed(signed.bundle, source)
    version = signed.store.install(source)
    source.write_bytes(data.draw(damaged(whole)))
    with suppress(LinewardenError):
        assert signed.store.install(source) == version
    assert len(signed.store.versions("tiny")) == 1
