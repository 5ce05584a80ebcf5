"""`linewarden bundle`, from the machine that signs to the line that runs."""

import json
import shutil
import threading
from pathlib import Path

import pytest

from inspection.bundle import Bundle, open_bundle
from inspection.trust.keys import KEYS_VARIABLE
from inspection.verdict import Thresholds
from linewarden.command_line import main

golden_bundle = pytest.importorskip("tests.doubles.golden_bundle", reason="needs the package onnx")


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    built: Bundle = golden_bundle.build(tmp_path / "bundle")
    return built


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Returns the empty key folder of this machine."""
    folder = tmp_path / "keys"
    folder.mkdir(mode=0o755)
    monkeypatch.setenv(KEYS_VARIABLE, str(folder))
    return folder


def bundle_command(*words: object, store: Path | None = None) -> int:
    at = [] if store is None else ["--store", str(store)]
    return main(["bundle", *map(str, words), *at])


def versions(store: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    capsys.readouterr()
    assert bundle_command("list", "--json", store=store) == 0
    found: list[dict[str, object]] = json.loads(capsys.readouterr().out)
    return found


def calibrated_anew(bundle: Bundle, threshold: float) -> Path:
    active = bundle.calibration("default", "model.onnx")
    bundle.add_calibration(active.model_copy(update={"thresholds": Thresholds(threshold, 0.5)}))
    return bundle.folder


def test_a_line_runs_the_active_version_and_goes_back(
    bundle: Bundle, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    packed = shutil.make_archive(str(tmp_path / "tiny"), "zip", bundle.folder)
    assert bundle_command("install", packed, store=store) == 0
    first = str(versions(store, capsys)[0]["version"])
    assert bundle_command("activate", "tiny", first, store=store) == 0
    assert bundle_command("install", calibrated_anew(bundle, 0.9), store=store) == 0
    (second,) = (v["version"] for v in versions(store, capsys) if v["version"] != first)
    parts = tmp_path / "parts"
    parts.mkdir()
    shutil.copy(bundle.folder / "golden/grey-200.png", parts)
    config = tmp_path / "line.yaml"
    config.write_text(
        f"bundle: {store}/tiny/active\n"
        "camera: {kind: replay, path: parts}\n"
        "deadline_ms: 30000\n"
        "outputs: [{kind: jsonlines, path: parts.jsonl}]\n"
    )
    verdicts = []
    for words in ([], ["activate", "tiny", second], ["rollback", "tiny"]):
        if words:
            assert bundle_command(*words, store=store) == 0
        assert main(["run", "--config", str(config)]) == 0
        verdicts.append(json.loads((tmp_path / "parts.jsonl").read_text().splitlines()[-1]))
    assert [record["verdict"] for record in verdicts] == ["REJECT", "PASS", "REJECT"]
    assert "active again; restart its lines to run it" in capsys.readouterr().out
    assert bundle_command("rollback", "tiny", store=store) == 4
    assert bundle_command("remove", "tiny", second, store=store) == 0
    assert [v["version"] for v in versions(store, capsys)] == [first]


def test_a_version_whose_golden_frames_differ_here_is_not_activated(
    bundle: Bundle, store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bundle_command("install", bundle.folder, store=store) == 0
    version = versions(store, capsys)[0]["version"]
    monkeypatch.setattr("inspection.golden.Allowance.covers", lambda *_: False)
    assert bundle_command("activate", "tiny", version, store=store) == 6
    assert "onnxruntime gives other results than the checkpoint with model.onnx: grey-40, " in (
        capsys.readouterr().err
    )
    assert versions(store, capsys)[0]["is_active"] is False


def test_from_the_key_to_the_device(
    bundle: Bundle, store: Path, keys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    private = tmp_path / "away.pem"
    assert bundle_command("keygen", private) == 0
    assert bundle_command("keygen", private) == 3
    shutil.copy(private.with_suffix(".pub"), keys)
    assert bundle_command("install", bundle.folder, store=store) == 4
    assert "is not signed, and this machine trusts" in capsys.readouterr().err
    assert bundle_command("sign", bundle.folder, "--key", private) == 0
    assert "recipes in it: default" in capsys.readouterr().out
    assert bundle_command("verify", bundle.folder) == 0
    assert "signature: right, by " in capsys.readouterr().out
    assert bundle_command("install", bundle.folder, store=store) == 0
    version = versions(store, capsys)[0]
    assert version["key_id"]
    assert bundle_command("activate", "tiny", version["version"], store=store) == 0
    active = store / "tiny/active"
    good = tmp_path / "good"
    good.mkdir()
    shutil.copy(bundle.folder / "golden/grey-40.png", good)
    assert main(["calibrate", str(active), "--good", str(good)]) == 3
    assert bundle_command("device-key") == 0
    assert main(["calibrate", str(active), "--good", str(good)]) == 0
    assert main(["calibrations", "list", str(active)]) == 0
    assert main(["verify", str(active)]) == 0
    assert "with its device key" in capsys.readouterr().out


def test_an_older_signature_is_installed_only_when_somebody_says_so(
    bundle: Bundle, store: Path, keys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    private = tmp_path / "away.pem"
    assert bundle_command("keygen", private) == 0
    sign = ("sign", bundle.folder, "--key", private, "--serial")
    assert bundle_command(*sign, 6) == 0
    older = shutil.make_archive(str(tmp_path / "older"), "zip", bundle.folder)
    assert bundle_command("sign", calibrated_anew(bundle, 0.9), *sign[2:], 7) == 0
    assert "with the serial 7; recipes in it: default" in capsys.readouterr().out
    assert bundle_command(*sign, 7) == 3
    assert "the serial must be 8 or more" in capsys.readouterr().err
    shutil.copy(private.with_suffix(".pub"), keys)
    assert bundle_command("verify", bundle.folder) == 0
    assert ", serial 7\n" in capsys.readouterr().out
    assert bundle_command("install", bundle.folder, store=store) == 0
    assert bundle_command("install", older, store=store) == 4
    assert "with the serial 6, and this machine has had tiny with 7" in capsys.readouterr().err
    assert bundle_command("install", older, "--allow-older", store=store) == 0
    assert sorted(str(v["serial"]) for v in versions(store, capsys)) == ["6", "7"]
    assert bundle_command("list", store=store) == 0
    assert ", serial 7\n" in capsys.readouterr().out


def test_a_bundle_is_verified_with_a_key_that_is_given(
    bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("ours", "theirs"):
        assert bundle_command("keygen", tmp_path / f"{name}.pem") == 0
    assert bundle_command("sign", bundle.folder, "--key", tmp_path / "ours.pem") == 0
    assert bundle_command("verify", bundle.folder) == 0
    assert "signature: not checked, no key is trusted" in capsys.readouterr().out
    assert bundle_command("verify", bundle.folder, "--trust", tmp_path / "ours.pub") == 0
    assert bundle_command("verify", bundle.folder, "--trust", tmp_path / "theirs.pub") == 4
    assert bundle_command("verify", bundle.folder, "--trust", tmp_path / "none.pub") == 3
    assert bundle_command("sign", bundle.folder, "--key", tmp_path / "ours.pub") == 3


def test_an_encrypted_key_asks_for_its_passphrase(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(["secret", "secret", "secret", "wrong", "one", "other"])
    monkeypatch.setattr("getpass.getpass", lambda _: next(answers))
    private = tmp_path / "owner.pem"
    assert bundle_command("keygen", private, "--passphrase") == 0
    assert bundle_command("sign", bundle.folder, "--key", private) == 0
    assert bundle_command("sign", bundle.folder, "--key", private) == 3
    assert bundle_command("keygen", tmp_path / "other.pem", "--passphrase") == 3
    assert not (tmp_path / "other.pem").exists()


def test_nothing_is_adopted_without_a_key(bundle: Bundle, keys: Path) -> None:
    assert list(keys.iterdir()) == []
    assert bundle_command("adopt", bundle.folder) == 3


def test_a_damaged_version_is_listed(
    bundle: Bundle, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bundle_command("install", bundle.folder, store=store) == 0
    version = versions(store, capsys)[0]
    (Path(str(version["folder"])) / "signature").write_text("no")
    assert versions(store, capsys)[0]["key_id"] == "unreadable"
    assert bundle_command("list", "tiny", store=store) == 0
    assert "recipes: default; signature unreadable" in capsys.readouterr().out
    assert bundle_command("list", "other", store=store) == 4


def test_calibrations_at_the_same_time_are_all_kept(bundle: Bundle) -> None:
    calibration = bundle.calibration("default", "model.onnx")
    before = len(bundle.calibrations())

    def calibrate(number: int) -> None:
        added = calibration.model_copy(update={"thresholds": Thresholds(1.0 + number, 0.5)})
        open_bundle(bundle.folder).add_calibration(added)

    threads = [threading.Thread(target=calibrate, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = [bundle.read_calibration(bundle.folder / n, "") for n in bundle.calibrations()]
    assert len(kept) == before + 8
    assert len({each.previous_seal for each in kept}) == len(kept)
