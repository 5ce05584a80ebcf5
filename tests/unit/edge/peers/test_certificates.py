"""A certificate and a key that do not go together are refused where a line is about to run."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from edge.line.opcua import NAMESPACE
from edge.peers import certificates
from edge.peers.certificates import opcua_flaws, tls_flaws
from edge.station.config import LineConfig
from inspection.config.loading import load_config
from inspection.errors import ConfigError
from tests.doubles.certificates import certificate

OPCUA = """\
bundle: b
camera: {kind: replay, path: parts}
outputs:
  - kind: opcua
    host: 127.0.0.1
    security:
      certificate_file: CERTIFICATE
      key_file: KEY
"""
MQTT = """\
bundle: b
camera: {kind: replay, path: parts}
outputs:
  - kind: mqtt
    host: broker
    client_id: a
    topic: hall/line
    tls:
      certificate_file: CERTIFICATE
      key_file: KEY
"""


def load(folder: Path, text: str, pair: tuple[Path, Path], *, files: bool = True) -> LineConfig:
    path = folder / "line.yaml"
    path.write_text(text.replace("CERTIFICATE", str(pair[0])).replace("KEY", str(pair[1])))
    return load_config(path, LineConfig, files=files)


def refusal(folder: Path, text: str, pair: tuple[Path, Path]) -> str:
    with pytest.raises(ConfigError) as caught:
        load(folder, text, pair)
    assert caught.value.exit_code == 3
    return str(caught.value).replace(f"{folder}/", "")


@pytest.mark.parametrize(("text", "line"), [(OPCUA, 7), (MQTT, 9)])
class TestEveryPair:
    """The same faults are found wherever a configuration has a certificate and a key."""

    def test_that_goes_together(self, tmp_path: Path, text: str, line: int) -> None:
        assert load(tmp_path, text, certificate(tmp_path, "own", NAMESPACE))

    def test_a_key_of_another_certificate(self, tmp_path: Path, text: str, line: int) -> None:
        own, _ = certificate(tmp_path, "own", NAMESPACE)
        _, key = certificate(tmp_path, "other", NAMESPACE)
        section = "outputs.0.security" if text is OPCUA else "outputs.0.tls"
        assert refusal(tmp_path, text, (own, key)) == (
            f"line.yaml:{line + 1}: {section}.key_file: is not the key of "
            f"{section}.certificate_file (line.yaml:{line}); give the two that were made together"
        )

    def test_that_has_expired(self, tmp_path: Path, text: str, line: int) -> None:
        pair = certificate(tmp_path, "own", NAMESPACE, ends=timedelta(days=-2))
        found = refusal(tmp_path, text, pair)
        assert found.startswith(f"line.yaml:{line}: outputs.0.")
        assert "certificate_file: has expired on" in found
        assert "renew the certificate, or set the clock" in found

    def test_that_is_not_there(self, tmp_path: Path, text: str, line: int) -> None:
        own, key = certificate(tmp_path, "own", NAMESPACE)
        found = refusal(tmp_path, text, (tmp_path / "no.pem", key))
        assert found.endswith("certificate_file: no.pem: cannot be read: No such file or directory")
        found = refusal(tmp_path, text, (own, tmp_path / "no.pem"))
        assert found.endswith("key_file: no.pem: cannot be read: No such file or directory")

    def test_that_is_something_else(self, tmp_path: Path, text: str, line: int) -> None:
        own, key = certificate(tmp_path, "own", NAMESPACE)
        text_file = tmp_path / "text.pem"
        text_file.write_text("nothing\n")
        found = refusal(tmp_path, text, (text_file, key))
        assert found.endswith("certificate_file: text.pem: is not what it should be, in PEM")
        found = refusal(tmp_path, text, (own, text_file))
        assert found.endswith("key_file: text.pem: is not what it should be, in PEM")

    def test_a_key_with_a_passphrase(self, tmp_path: Path, text: str, line: int) -> None:
        own, key = certificate(tmp_path, "own", NAMESPACE)
        lock(key)
        found = refusal(tmp_path, text, (own, key))
        assert "key_file: own-key.pem: has a passphrase; write it without one" in found

    def test_is_not_read_where_no_line_is_about_to_run(
        self, tmp_path: Path, text: str, line: int
    ) -> None:
        """The records can be listed, and the outputs made safe, after the certificate expired."""
        pair = certificate(tmp_path, "own", "urn:other", ends=timedelta(days=-2))
        assert load(tmp_path, text, pair, files=False)
        assert load(tmp_path, text, (tmp_path / "no", tmp_path / "no"), files=False)


def lock(key_file: Path) -> None:
    key = serialization.load_pem_private_key(key_file.read_bytes(), None)
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )


def test_an_application_uri_of_another_server(tmp_path: Path) -> None:
    assert refusal(tmp_path, OPCUA, certificate(tmp_path, "own", "urn:other")) == (
        "line.yaml:7: outputs.0.security.certificate_file: has the application URI urn:other, and "
        "the server urn:linewarden:line: make one with subjectAltName=URI:urn:linewarden:line"
    )


def test_files_in_der(tmp_path: Path) -> None:
    """asyncua goes by the name: a file that does not end in .pem is DER."""
    own, key = certificate(tmp_path, "own", NAMESPACE)
    there = x509.load_pem_x509_certificate(own.read_bytes())
    (tmp_path / "own.der").write_bytes(there.public_bytes(serialization.Encoding.DER))
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    (tmp_path / "key.der").write_bytes(
        private.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    assert load(tmp_path, OPCUA, (tmp_path / "own.der", tmp_path / "key.der"))
    (tmp_path / "own.crt").write_bytes(own.read_bytes())
    found = refusal(tmp_path, OPCUA, (tmp_path / "own.crt", key))
    assert found.endswith("own.crt: is not what it should be, in DER; PEM ends in .pem")


def test_tls_with_the_key_in_the_file_of_the_certificate(tmp_path: Path) -> None:
    own, key = certificate(tmp_path, "own")
    _, other = certificate(tmp_path, "other")
    both = tmp_path / "both.pem"
    both.write_bytes(own.read_bytes() + key.read_bytes())
    assert list(tls_flaws(own, both, None)) == []
    both.write_bytes(own.read_bytes() + other.read_bytes())
    (flaw,) = tls_flaws(None, both, None)
    assert flaw.what == "holds the key of another certificate; give 'key_file'"


def test_tls_with_authorities_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing\n")
    for path, why in ((tmp_path / "ca.pem", "is not what it"), (tmp_path / "no", "No such file")):
        (flaw,) = tls_flaws(path, None, None)
        assert flaw.keys == ("ca_file",)
        assert why in flaw.what


@pytest.mark.parametrize("files", [True, False])
def test_a_key_without_a_certificate(tmp_path: Path, files: bool) -> None:
    text = MQTT.replace("      certificate_file: CERTIFICATE\n", "")
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, certificate(tmp_path, "own"), files=files)
    assert str(caught.value).endswith(
        f"tls.key_file: needs outputs.0.tls.certificate_file ({tmp_path}/line.yaml:8, not given)"
    )


@pytest.mark.parametrize(
    "flaws",
    [
        lambda pair, now: list(opcua_flaws(pair[0], pair[1], "urn:test", now)),
        lambda pair, now: list(tls_flaws(None, pair[0], pair[1], now)),
    ],
)
def test_a_clock_behind_is_no_reason(
    tmp_path: Path, flaws: Callable[[tuple[Path, Path], datetime], list[object]]
) -> None:
    pair = certificate(tmp_path, "own")
    assert flaws(pair, datetime(1970, 1, 1, tzinfo=timezone.utc)) == []
    assert len(flaws(pair, datetime(2170, 1, 1, tzinfo=timezone.utc))) == 1


def test_without_cryptography_tls_is_checked_but_for_the_expiry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, key = certificate(tmp_path, "own", ends=timedelta(days=-2))
    _, other = certificate(tmp_path, "other")
    monkeypatch.setattr(certificates, "find_spec", lambda _name: None)
    assert list(tls_flaws(None, own, key)) == []
    assert len(list(tls_flaws(None, own, other))) == 1
    assert list(opcua_flaws(own, other, "urn:test")) == []
