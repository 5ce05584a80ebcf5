"""Escapes of defective parts."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from calibration.escapes import defect_values, escape_rate
from inspection.bundle import Bundle
from inspection.engine import Prediction
from inspection.errors import ConfigError
from inspection.images import NameExpression


def test_a_part_escapes_that_exceeds_no_threshold() -> None:
    assert escape_rate([(1.0,), (2.0,), (3.0,)], [2.0], confidence=0.95).count == 2
    zones = [(1.0, 9.0), (1.0, 2.0), (3.0, 2.0)]
    assert escape_rate(zones, [2.0, 5.0], confidence=0.95).count == 1


class Overflowing:
    """A model whose score overflows on bright frames."""

    def infer(self, batch: np.ndarray, deadline_ns: int | None = None) -> Prediction:
        maps = batch[..., 0].astype(np.float32) / np.float32(255)
        scores = maps.max(axis=(1, 2))
        return Prediction(np.where(scores > 0.9, np.inf, scores).astype(np.float32), maps)

    def close(self) -> None:
        pass


def test_a_defect_without_a_verdict_does_not_escape(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("calibration.escapes.open_engine", lambda *_, **__: Overflowing())
    paths = [tmp_path / f"{level}.png" for level in (20, 60, 255)]
    for path in paths:
        cv2.imwrite(str(path), np.full((32, 32), int(path.stem), np.uint8))
    active = tiny_bundle.calibration("default", "model.onnx")
    values = defect_values(tiny_bundle, active, paths, engine=None)
    assert [value for (value,) in values[:2]] == pytest.approx([20 / 255, 60 / 255])
    found = escape_rate(values, [0.5], confidence=0.95)
    assert (found.count, found.total) == (2, 3)
    assert defect_values(tiny_bundle, active, paths[2:], engine=None) == values[2:]


def test_images_of_one_defective_part_count_once(tiny_bundle: Bundle, tmp_path: Path) -> None:
    paths = [tmp_path / kind / f"{name}.png" for kind in "ab" for name in ("1_20", "1_200", "2_30")]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        image = np.full((32, 32), 5, np.uint8)
        image[3, 4] = int(path.stem.partition("_")[2]) + (path.parent.name == "b")
        cv2.imwrite(str(path), image)
    active = tiny_bundle.calibration("default", "model.onnx")
    part_of = NameExpression("--part-name", "^(.*)_")
    values = defect_values(tiny_bundle, active, paths, engine=None, part_of=part_of)
    assert [round(255 * value) for (value,) in values] == [200, 30, 201, 31]
    with pytest.raises(ConfigError, match=r"--part-name x: does not match the name of .*1_20.png"):
        defect_values(
            tiny_bundle, active, paths, engine=None, part_of=NameExpression("--part-name", "x")
        )
    with pytest.raises(ConfigError, match=r"--part-name \(: is not a regular expression"):
        NameExpression("--part-name", "(")
