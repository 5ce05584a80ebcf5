"""Tests that a machine with keys accepts only signed bundles and its own records."""

import shutil
from pathlib import Path

import pytest

from inspection.bundle import Bundle, open_bundle
from inspection.bundle.manifest import MANIFEST
from inspection.errors import BundleError, ConfigError
from inspection.files import write_text
from inspection.trust.ed25519 import PrivateKey, new_key_pair, read_private_key
from inspection.trust.keys import Keys, configured_keys
from inspection.trust.sealed import Vouched
from inspection.trust.signature import SIGNATURE, sign
from inspection.verdict import Thresholds
from tests.doubles.keys import own_key, trusted_key

MEND = "calibrate again"


@pytest.fixture
def owner(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> PrivateKey:
    """Signs the bundle, makes this machine trust the key, and returns it."""
    key = trusted_key(monkeypatch, tmp_path / "keys")
    sign(tiny_bundle.folder, MANIFEST, tiny_bundle.calibrations(), key)
    return key


def stranger(tmp_path: Path) -> PrivateKey:
    new_key_pair(tmp_path / "stranger.pem")
    return read_private_key(tmp_path / "stranger.pem")


def edited(bundle: Bundle, **values: object) -> None:
    """Activates another calibration, with a valid seal."""
    path = bundle.calibration_path("default")
    forged = bundle.calibration("default", "model.onnx").model_copy(update={**values, "mac": ""})
    write_text(path, forged.sealed().model_dump_json())


@pytest.mark.usefixtures("owner")
def test_a_signed_bundle_runs_with_its_calibration(tiny_bundle: Bundle) -> None:
    bundle = open_bundle(tiny_bundle.folder)
    assert bundle.calibration("default", "model.onnx").thresholds.reject == 0.5


def test_without_trusted_keys_any_bundle_runs(tiny_bundle: Bundle, tmp_path: Path) -> None:
    sign(tiny_bundle.folder, MANIFEST, [], stranger(tmp_path))
    assert open_bundle(tiny_bundle.folder, Keys()).recipes() == {"default": "model.onnx"}


def test_an_unsigned_bundle_is_refused(tiny_bundle: Bundle, owner: PrivateKey) -> None:
    (tiny_bundle.folder / SIGNATURE).unlink()
    with pytest.raises(
        BundleError, match=rf"is not signed, and this machine trusts {owner.public.id} .*bundle sig"
    ):
        open_bundle(tiny_bundle.folder)


def test_a_bundle_of_a_stranger_is_refused(
    tiny_bundle: Bundle, owner: PrivateKey, tmp_path: Path
) -> None:
    key = stranger(tmp_path)
    sign(tiny_bundle.folder, MANIFEST, tiny_bundle.calibrations(), key)
    expected = f"is signed by the key {key.public.id}, and this machine trusts {owner.public.id}"
    with pytest.raises(BundleError, match=expected):
        open_bundle(tiny_bundle.folder)


def test_a_stranger_cannot_take_the_id_of_the_owner(
    tiny_bundle: Bundle, owner: PrivateKey, tmp_path: Path
) -> None:
    forged = sign(tiny_bundle.folder, MANIFEST, tiny_bundle.calibrations(), stranger(tmp_path))
    statement = forged.statement.model_copy(update={"key_id": owner.public.id})
    path = tiny_bundle.folder / SIGNATURE
    path.write_text(forged.model_copy(update={"statement": statement}).model_dump_json())
    with pytest.raises(BundleError, match=f"its signature does not fit the key {owner.public.id}"):
        open_bundle(tiny_bundle.folder)


@pytest.mark.usefixtures("owner")
def test_every_changed_character_of_a_signature_is_found(tiny_bundle: Bundle) -> None:
    path = tiny_bundle.folder / SIGNATURE
    content = path.read_bytes()
    for position in range(0, len(content), 7):
        changed = bytearray(content)
        changed[position] ^= 1
        path.write_bytes(changed)
        with pytest.raises(BundleError):
            open_bundle(tiny_bundle.folder)
    path.write_bytes(content)
    open_bundle(tiny_bundle.folder)


@pytest.mark.usefixtures("owner")
def test_a_manifest_that_was_sealed_again_is_refused(tiny_bundle: Bundle) -> None:
    forged = tiny_bundle.manifest.model_copy(update={"name": "other"}).sealed()
    (tiny_bundle.folder / MANIFEST).write_text(forged.model_dump_json())
    with pytest.raises(BundleError, match=r"its manifest is not the one that the key .* signed"):
        open_bundle(tiny_bundle.folder)


@pytest.mark.usefixtures("owner")
def test_thresholds_that_nobody_signed_are_refused(tiny_bundle: Bundle) -> None:
    edited(tiny_bundle, thresholds=Thresholds(99.0, 0.5))
    with pytest.raises(BundleError, match="neither this machine's key nor a trusted signature"):
        open_bundle(tiny_bundle.folder).calibration("default", "model.onnx")


@pytest.mark.usefixtures("owner")
def test_a_machine_that_could_not_vouch_for_a_calibration_makes_none(tiny_bundle: Bundle) -> None:
    bundle = open_bundle(tiny_bundle.folder)
    with pytest.raises(ConfigError, match="linewarden bundle device-key"):
        bundle.add_calibration(bundle.calibration("default", "model.onnx"))
    assert bundle.calibration("default", "model.onnx").thresholds.reject == 0.5


@pytest.mark.usefixtures("owner")
def test_calibrations_made_here_and_signed_ones_live_side_by_side(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own_key(monkeypatch, tmp_path / "keys")
    bundle = open_bundle(tiny_bundle.folder)
    signed = bundle.calibration("default", "model.onnx")
    bundle.add_calibration(signed.model_copy(update={"thresholds": Thresholds(0.25, 0.5)}))
    bundle = open_bundle(tiny_bundle.folder)
    assert bundle.calibration("default", "model.onnx").thresholds.reject == 0.25
    assert len(bundle.calibrations()) == 2
    for name in bundle.calibrations():
        bundle.read_calibration(bundle.folder / name, MEND)


def test_a_machine_with_its_own_key_takes_only_its_own_calibrations(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own_key(monkeypatch, tmp_path / "keys")
    bundle = open_bundle(tiny_bundle.folder)
    with pytest.raises(BundleError, match="covers this calibration"):
        bundle.calibration("default", "model.onnx")
    unkeyed = tiny_bundle.calibration("default", "model.onnx")
    bundle.add_calibration(unkeyed)
    bundle.calibration("default", "model.onnx")
    edited(bundle, thresholds=Thresholds(99.0, 0.5))
    with pytest.raises(BundleError, match="covers this calibration"):
        bundle.calibration("default", "model.onnx")


def test_the_key_of_another_machine_does_not_count(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own_key(monkeypatch, tmp_path / "keys")
    there = open_bundle(tiny_bundle.folder)
    there.add_calibration(tiny_bundle.calibration("default", "model.onnx"))
    own_key(monkeypatch, tmp_path / "other")
    assert configured_keys().device != there.keys.device
    with pytest.raises(BundleError, match="covers this calibration"):
        open_bundle(tiny_bundle.folder).calibration("default", "model.onnx")


def test_the_calibration_of_another_recipe_is_refused(tiny_bundle: Bundle) -> None:
    shutil.copy(tiny_bundle.calibration_path("default"), tiny_bundle.calibration_path("7"))
    with pytest.raises(BundleError, match="is the calibration of recipe 'default' and was renamed"):
        tiny_bundle.calibration("7", "model.onnx")


class _One(Vouched):
    number: int


class _Other(_One):
    pass


def test_a_record_does_not_pass_for_one_of_another_kind() -> None:
    key = b"k" * 32
    one = _One(number=1).vouched(key)
    assert one.is_vouched(key)
    assert not one.is_vouched(b"l" * 32)
    assert not _Other.model_validate(one.model_dump()).is_vouched(key)
