"""Tests that a store does not go back to an older signature unless somebody says so."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from inspection.bundle import Bundle, open_bundle
from inspection.bundle.installed import BundleStore
from inspection.bundle.manifest import MANIFEST
from inspection.bundle.serials import HIGHEST
from inspection.errors import BundleError, ConfigError
from inspection.trust.ed25519 import PrivateKey
from inspection.trust.keys import Keys
from inspection.trust.signature import SIGNATURE, Signature, Statement, read_signature, sign
from inspection.verdict import Thresholds
from tests.doubles.keys import own_key, trusted_key

Make = Callable[..., Path]


@pytest.fixture
def owner(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> PrivateKey:
    """Makes this machine trust a key, after the bundle was made without one."""
    return trusted_key(monkeypatch, tmp_path / "keys")


@pytest.fixture
def store(owner: PrivateKey, tmp_path: Path) -> BundleStore:
    return BundleStore(tmp_path / "store")


@pytest.fixture
def signed(owner: PrivateKey, tiny_bundle: Bundle, tmp_path: Path) -> Make:
    """Makes a copy of the bundle with another threshold, signed with a serial."""

    def make(serial: int | None, threshold: float = 0.5) -> Path:
        folder = tmp_path / f"signed-{serial}-{threshold}"
        shutil.copytree(tiny_bundle.folder, folder)
        bundle = open_bundle(folder, Keys())
        calibration = bundle.calibration("default", "model.onnx")
        bundle.add_calibration(
            calibration.model_copy(update={"thresholds": Thresholds(threshold, 0.5)})
        )
        sign(folder, MANIFEST, bundle.calibrations(), owner, serial=serial)
        return folder

    return make


def of_an_older_release(folder: Path, key: PrivateKey, signed_utc: str) -> Path:
    """Signs a bundle as releases without serials did."""
    found = read_signature(folder)
    assert found is not None
    content = found.statement.model_dump(exclude={"serial"})
    statement = Statement(**{**content, "signed_utc": signed_utc})
    signature = Signature(statement=statement, signature=key.sign(statement.content()).hex())
    record = signature.model_dump(mode="json")
    del record["statement"]["serial"]
    (folder / SIGNATURE).write_text(json.dumps(record))
    return folder


def test_an_older_bundle_is_refused_with_both_serials(store: BundleStore, signed: Make) -> None:
    newest = store.install(signed(7))
    older = signed(6, 0.9)
    with pytest.raises(BundleError) as refused:
        store.install(older)
    assert str(refused.value) == (
        f"{older}: was signed with the serial 6, and this machine has had tiny with 7: take the "
        "newest bundle, or --allow-older to go back on purpose"
    )
    assert [v.version for v in store.versions("tiny")] == [newest.version]
    store.install(older, allow_older=True)
    assert len(store.versions("tiny")) == 2
    with pytest.raises(
        BundleError, match=r"with the serial 5, and this machine has had tiny with 7"
    ):
        store.install(signed(5, 0.8))
    store.install(signed(8, 0.7))


def test_calibrations_of_an_older_signature_are_refused_too(
    store: BundleStore, signed: Make
) -> None:
    """The manifest is the same: only the calibrations differ."""
    loose, tight = signed(1, 0.9), signed(2, 0.4)
    assert (loose / MANIFEST).read_bytes() == (tight / MANIFEST).read_bytes()
    store.install(tight)
    with pytest.raises(BundleError, match="was signed with the serial 1"):
        store.install(loose)


def test_a_bundle_that_is_installed_may_be_installed_again(
    store: BundleStore, signed: Make
) -> None:
    old, new = signed(1), signed(2, 0.9)
    first = store.install(old)
    store.install(new)
    assert store.install(old) == first


def test_a_removed_version_does_not_make_older_ones_new(store: BundleStore, signed: Make) -> None:
    store.remove(store.install(signed(7)))
    with pytest.raises(BundleError, match="serial 6, and this machine has had tiny with 7"):
        store.install(signed(6))


def test_a_store_of_an_older_release_knows_its_versions(
    store: BundleStore, signed: Make, owner: PrivateKey
) -> None:
    store.install(of_an_older_release(signed(7), owner, "2026-06-01T10:00:00+00:00"))
    (store.folder / "tiny" / HIGHEST).unlink()
    replayed = of_an_older_release(signed(6, 0.9), owner, "2026-05-01T10:00:00+00:00")
    with pytest.raises(
        BundleError, match=r"the serial 20260501100000, .* has had tiny with 20260601100000"
    ):
        store.install(replayed)
    store.install(signed(None, 0.8))  # the time of now


def test_the_serial_is_part_of_what_is_signed(store: BundleStore, signed: Make) -> None:
    folder = signed(3)
    record = json.loads((folder / SIGNATURE).read_text())
    for serial in (4, None):
        record["statement"]["serial"] = serial
        (folder / SIGNATURE).write_text(json.dumps(record))
        with pytest.raises(BundleError, match="its signature does not fit the key"):
            store.install(folder)


def test_a_damaged_memory_is_told_and_written_anew(store: BundleStore, signed: Make) -> None:
    store.install(signed(7))
    path = store.folder / "tiny" / HIGHEST
    path.write_text(path.read_text().replace("7", "1", 1))
    with pytest.raises(
        BundleError, match=r"serial\.json: .*: install the newest version with --allow-older, whi"
    ):
        store.install(signed(8))
    store.install(signed(9, 0.9), allow_older=True)
    with pytest.raises(BundleError, match="has had tiny with 9"):
        store.install(signed(6, 0.8))


def test_a_machine_without_trusted_keys_compares_nothing(
    signed: Make, tmp_path: Path, tiny_bundle: Bundle
) -> None:
    store = BundleStore(tmp_path / "store", Keys())
    store.install(signed(7))
    store.install(signed(6, 0.9))
    store.install(tiny_bundle.folder)
    assert len(store.versions("tiny")) == 3
    assert not (store.folder / "tiny" / HIGHEST).exists()


def test_rolling_back_and_activating_need_no_flag(store: BundleStore, signed: Make) -> None:
    old, new = store.install(signed(1)), store.install(signed(2, 0.9))
    for version in (old, new):
        store.activate(version, lambda _: None)
    assert store.roll_back("tiny", lambda _: None) == store.find("tiny", old.version)
    store.activate(new, lambda _: None)


def test_each_signature_has_a_higher_serial(owner: PrivateKey, tiny_bundle: Bundle) -> None:
    def serial(given: int | None = None) -> int:
        statement = sign(tiny_bundle.folder, MANIFEST, [], owner, serial=given).statement
        assert statement.serial is not None
        return statement.serial

    first = serial()
    assert 2026_01_01_00_00_00 <= first < 2200_01_01_00_00_00
    assert serial() > first  # also within one second
    ahead = serial(2300_01_01_00_00_00)
    assert serial() == ahead + 1  # the clock is behind
    for wrong in (ahead, 0, 10**18):
        with pytest.raises(
            ConfigError, match=rf"the serial must be {ahead + 2} or more .* {wrong};"
        ):
            serial(wrong)


def test_a_signed_calibration_of_the_history_does_not_become_active(
    store: BundleStore, signed: Make, owner: PrivateKey
) -> None:
    folder = signed(1, 0.9)
    (history,) = (folder / "calibration/history/default").iterdir()
    shutil.copy(history, folder / "calibration/default.json")
    with pytest.raises(BundleError, match="neither this machine's key nor a trusted signature"):
        open_bundle(folder).calibration("default", "model.onnx")


def test_a_signed_calibration_that_is_replaced_here_goes_to_the_history(
    signed: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = signed(1, 0.9)
    own_key(monkeypatch, tmp_path / "keys")
    bundle = open_bundle(folder)
    bundle.add_calibration(bundle.calibration("default", "model.onnx"))
    for name in bundle.calibrations():
        bundle.read_calibration(bundle.folder / name, "")
    assert len(bundle.calibrations()) == 3
