"""Tests that a machine reads only keys that no other user could have written."""

import re
import sys
from pathlib import Path

import pytest

from inspection.errors import ConfigError
from inspection.trust.ed25519 import new_key_pair, read_private_key
from inspection.trust.keys import Keys, configured_keys, new_device_key
from tests.doubles.keys import give_away, own_key, trusted_key


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "keys"


def test_a_machine_without_keys_says_what_is_not_authenticated(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("LINEWARDEN_KEYS", raising=False)
    assert configured_keys(tmp_path / "none") == Keys()
    assert Keys().describe() == (
        "runs any bundle, because it trusts no key; accepts calibrations and engines with a seal "
        "alone, because it has no device key"
    )


def test_a_folder_that_is_named_and_missing_is_no_machine_without_keys(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setenv("LINEWARDEN_KEYS", str(folder))
    with pytest.raises(ConfigError, match=rf"^LINEWARDEN_KEYS={folder}: no such folder$"):
        configured_keys()


def test_both_kinds_are_read(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    private = trusted_key(monkeypatch, folder)
    own = own_key(monkeypatch, folder)
    keys = configured_keys()
    assert set(keys.trusted) == {private.public.id}
    assert keys.device == bytes.fromhex(own.read_text())
    assert own.read_text() not in repr(keys)
    assert keys.describe() == (
        f"runs bundles signed by {private.public.id}; authenticates its calibrations and engines "
        "with its device key"
    )


def test_a_key_of_the_machine_is_never_replaced(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    path = own_key(monkeypatch, folder)
    assert path.stat().st_mode & 0o777 == 0o600
    before = path.read_text()
    with pytest.raises(ConfigError, match="exists; under a new key, this machine would"):
        new_device_key()
    assert path.read_text() == before


def test_a_service_has_its_key_as_a_credential(
    monkeypatch: pytest.MonkeyPatch, folder: Path, tmp_path: Path
) -> None:
    own_key(monkeypatch, folder)
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    assert configured_keys().device == bytes.fromhex((folder / "device.key").read_text())
    (credentials / "device.key").write_text("ab" * 32)
    (credentials / "device.key").chmod(0o440)  # systemd shows its access list as the group mode
    assert configured_keys().device == bytes.fromhex("ab" * 32)


@pytest.mark.parametrize(
    ("mode", "message"), [(0o604, "others may read it (mode 604)"), (0o620, "(mode 620)")]
)
def test_a_secret_that_others_have_is_none(
    mode: int, message: str, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    own_key(monkeypatch, folder).chmod(mode)
    with pytest.raises(ConfigError, match=re.escape(message)):
        configured_keys()


@pytest.mark.parametrize("what", [".", "owner.pub"])
def test_a_trusted_key_that_others_could_have_put_there_is_refused(
    what: str, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    trusted_key(monkeypatch, folder)
    (folder / what).chmod(0o777)
    with pytest.raises(ConfigError, match=r"others may change it \(mode 777\): chmod go-w"):
        configured_keys()


def test_the_key_of_another_user_is_refused(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    trusted_key(monkeypatch, folder)
    give_away(monkeypatch, folder / "owner.pub")
    with pytest.raises(ConfigError, match=r"belongs to another user, who could change it"):
        configured_keys()


@pytest.mark.parametrize("content", ["", "abc", "g" * 64, "ab" * 31, "\xff"])
def test_what_is_no_secret_is_refused(
    content: str, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    own_key(monkeypatch, folder).write_bytes(content.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"device\.key: "):
        configured_keys()


@pytest.mark.parametrize("content", [b"", b"-----BEGIN PUBLIC KEY-----\nAAAA\n", b"\xff\x00"])
def test_what_is_no_public_key_is_refused(
    content: bytes, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    trusted_key(monkeypatch, folder)
    (folder / "owner.pub").write_bytes(content)
    with pytest.raises(ConfigError, match=r"owner\.pub: is not a public key in PEM"):
        configured_keys()


def test_trusted_keys_need_a_package_and_it_is_named(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    trusted_key(monkeypatch, folder)
    monkeypatch.delitem(sys.modules, "inspection.trust.ed25519")
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(ConfigError, match=r"pip install 'linewarden\[signing\]'"):
        configured_keys()


def test_a_private_key_may_have_a_passphrase(tmp_path: Path) -> None:
    path = tmp_path / "owner.pem"
    public = new_key_pair(path, "correct")
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_private_key(path, "correct").public.id == public.id
    for wrong in ("wrong", None):
        with pytest.raises(ConfigError, match="is not a readable private key"):
            read_private_key(path, wrong)
    with pytest.raises(ConfigError, match="exists and will not be replaced"):
        new_key_pair(path)
    with pytest.raises(ConfigError, match=r"the folder .*/absent does not exist: make it"):
        new_key_pair(tmp_path / "absent" / "owner.pem")
