"""The built wheel, in a virtual environment with the packages of a device."""

import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest

from inspection.bundle import Bundle
from inspection.files import write_bytes
from inspection.images import encode_png

ROOT = Path(__file__).parents[2]


def run(*words: object, folder: Path) -> str:
    done = subprocess.run(
        [str(word) for word in words], check=True, capture_output=True, text=True, cwd=folder
    )
    return done.stdout


@pytest.mark.slow
def test_a_device_inspects_with_the_wheel_alone(tmp_path: Path, tiny_bundle: Bundle) -> None:
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    run(*pip, "wheel", "--no-deps", "--wheel-dir", "dist", ROOT, folder=tmp_path)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv/bin/python"
    run(python, "-m", "pip", "install", "--quiet", f"{wheel}[onnxruntime]", folder=tmp_path)
    write_bytes(tmp_path / "part.png", encode_png(np.full((32, 32), 200, np.uint8)))
    words = ("inspect", "--bundle", tiny_bundle.folder, "part.png")
    assert "REJECT" in run(tmp_path / "venv/bin/linewarden", *words, folder=tmp_path)
    (tmp_path / "image/srv").mkdir(parents=True)
    config = tmp_path / "image/srv/line.yaml"
    config.write_bytes((ROOT / "configs/line/replay.yaml").read_bytes())
    install = ("service", "install", "press3", "--config", config, "--root", "image", "--dry-run")
    shown = run(tmp_path / "venv/bin/linewarden", *install, folder=tmp_path)
    assert "new        /etc/systemd/system/linewarden@.service" in shown
    printed = run(tmp_path / "venv/bin/linewarden", "example", "replay", folder=tmp_path)
    assert printed == config.read_text()
    torch = subprocess.run([python, "-c", "import torch"], capture_output=True, check=False)
    assert torch.returncode != 0
