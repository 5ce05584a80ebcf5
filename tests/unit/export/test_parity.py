"""The frames that checkpoint and artefact are compared on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from export.parity import real_frames
from inspection.errors import BundleError
from inspection.files import sha256_of
from inspection.images import encode_png
from training.checkpoint import HeldOut


def test_images_of_the_training_are_refused_when_they_are_gone_or_have_changed(
    tmp_path: Path,
) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(2)]
    for path in paths:
        path.write_bytes(encode_png(np.full((4, 6, 3), 90, np.uint8)))
    files = [HeldOut(path=path, sha256=sha256_of(path)) for path in paths]
    assert [name for name, _ in real_frames(files, None)] == ["0", "1"]
    paths[1].write_bytes(encode_png(np.full((4, 6, 3), 91, np.uint8)))
    with pytest.raises(BundleError, match=r"1\.png: has changed since the training, which kept"):
        list(real_frames(files, None))
    paths[1].unlink()
    with pytest.raises(BundleError, match=r"1\.png: the training kept .*, and it is gone; export"):
        list(real_frames(files, None))
