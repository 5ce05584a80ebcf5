"""TensorRT on a real device: the bodies that the double passes, and more."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from inspection.bundle import Bundle
from inspection.engine import GraphShape
from inspection.engine.sidecar import sidecar_path
from inspection.engine.tensorrt import TensorRtEngine
from inspection.errors import BundleError
from tests.doubles import engine_cases, golden_bundle
from tests.tiny_bundle import SIZE

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("tensorrt")]
SHAPE = GraphShape(SIZE, SIZE)


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return golden_bundle.build(tmp_path / "bundle")


def test_an_engine_is_built_runs_and_closes(bundle: Bundle) -> None:
    engine_cases.an_engine_is_built_runs_and_closes(bundle)


def test_every_way_to_run_gives_the_same(bundle: Bundle) -> None:
    engine_cases.every_way_to_run_gives_the_same(bundle, rounds=1000)


def test_a_changed_plan_and_a_missing_sidecar_are_refused(bundle: Bundle) -> None:
    plan = bundle.file(engine_cases.build(bundle).name)
    content = bytearray(plan.read_bytes())
    content[len(content) // 2] ^= 1
    plan.write_bytes(content)
    with pytest.raises(BundleError, match="is not what was built"):
        TensorRtEngine(plan, SHAPE)
    sidecar_path(plan).unlink()
    with pytest.raises(BundleError, match="cannot be read"):
        TensorRtEngine(plan, SHAPE)


def test_an_engine_opens_and_closes_many_times(bundle: Bundle) -> None:
    plan = bundle.file(engine_cases.build(bundle).name)
    frame = np.full((1, SIZE, SIZE, 3), 100, np.uint8)
    for _ in range(20):
        with closing(TensorRtEngine(plan, SHAPE)) as engine:
            assert engine.infer(frame).scores[0] == pytest.approx(100 / 255)
