"""Runs inside the peer's own venv: inference with anomalib as its users get it, one per request.

    python studies/peer/server.py BACKBONE FOLDER THREADS FRAME

It exports SuperSimpleNet with random weights into FOLDER, opens each of its inferencers, and writes
their names as one line of JSON. Then it answers each line with a name by the milliseconds from the
frame (FRAME, a .npy file) in memory to score and map. Nothing of Linewarden is in this venv.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nncf
import numpy as np
import openvino as ov
import timm
import torch
from anomalib.deploy import OpenVINOInferencer, TorchInferencer
from anomalib.models import Supersimplenet

CALIBRATION_IMAGES = 16


def main(backbone: str, folder: Path, threads: int, frame: Path) -> None:
    # Everything in the venv prints to standard output; the answers need one of their own.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    torch.set_num_threads(threads)
    image = np.load(frame)
    runs = inferencers(backbone, folder, threads, image.shape[:2])
    for run in runs.values():
        run(image)
    answers.write(json.dumps(list(runs)) + "\n")
    for line in sys.stdin:
        started = time.monotonic_ns()
        runs[line.strip()](image)
        answers.write(f"{(time.monotonic_ns() - started) / 1e6}\n")


def inferencers(
    backbone: str, folder: Path, threads: int, size: tuple[int, int]
) -> dict[str, Callable[[np.ndarray], object]]:
    """Exports the model for frames of this height and width in each form, and opens them.

    The exported graph resizes frames to 256x256 itself.
    """
    # The weights do not change the speed, and nothing is downloaded for them.
    create = timm.create_model
    timm.create_model = lambda *args, **more: create(*args, **{**more, "pretrained": False})
    os.environ["TRUST_REMOTE_CODE"] = "1"  # of its TorchInferencer, which unpickles our own file
    torch.manual_seed(0)
    model = Supersimplenet(backbone=backbone).eval()
    # Statistics of a fitted model: NaN would stand in the exported graph, which OpenVINO refuses.
    for name, value in model.post_processor.named_buffers():
        value.fill_(0.0 if name.endswith("min") else 1.0 if name.endswith("max") else 0.5)
    as_torch = model.to_torch(folder)
    as_openvino = model.to_openvino(folder, input_size=size)
    options = {"INFERENCE_NUM_THREADS": threads}
    return {
        "peer, torch": TorchInferencer(path=as_torch, device="cpu").predict,
        "peer, OpenVINO": opened(as_openvino, options).predict,
        "peer, INT8 by NNCF": opened(
            quantised(as_openvino, folder / "int8.xml", size), options
        ).predict,
    }


def opened(path: Path, options: dict[str, int]) -> OpenVINOInferencer:
    return OpenVINOInferencer(path=path, device="CPU", config=options)


def quantised(path: Path, target: Path, size: tuple[int, int]) -> Path:
    """Quantises as `CompressionType.INT8_PTQ` does, on noise: ranges do not change the speed."""
    random = np.random.default_rng(0)
    images = random.random((CALIBRATION_IMAGES, 1, 3, *size), dtype=np.float32)
    ov.save_model(nncf.quantize(ov.Core().read_model(path), nncf.Dataset(list(images))), target)
    return target


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
