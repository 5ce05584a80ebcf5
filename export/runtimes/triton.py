"""A model repository for NVIDIA Triton: the ONNX file, and every TensorRT plan of the bundle.

::

    README.md, linewarden.json, golden/     the client's files of `export.runtimes.base`
    models/                                 tritonserver --model-repository
        <bundle>_onnx/config.pbtxt, 1/model.onnx, 1/model.py with the Python backend
        <bundle>_<device>_<precision>/config.pbtxt, 1/model.plan

Triton takes every folder of the repository for a model: all other files lie beside the repository.
Fields: triton-inference-server/common, protobuf/model_config.proto.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from export.runtimes.base import README, Options, Served, preprocessing_text, write_client_record
from inspection.bundle import Bundle
from inspection.engine.sidecar import PLAN, Sidecar, read_sidecar, runtime_of
from inspection.engine.triton import HASH_PARAMETER, model_name, onnx_model_name
from inspection.files import write_text

REPOSITORY = "models"
_VERSION = "1"
_PYTHON_MODEL = Path(__file__).with_name("triton_model.py")

_README = """\
# {name} on Triton

    tritonserver --model-repository=models

{models}

A line of Linewarden can use such a model (`kind: triton` below `engine`). It compares the hash in
`config.pbtxt` with its bundle: serve this folder as it is.

Send one image per request: the graphs have a fixed batch of one. Several lines share a model by
more instances (`instance_group` in its `config.pbtxt`), or by several models side by side.

A plan runs only on the TensorRT version and the kind of GPU that it was built with: take the Triton
container with the same TensorRT. Triton does not read the sidecar. Load a new version under a new
name and switch the clients over: reloading in place leaks memory (server issue 4528).

{preprocessing}"""


@dataclass(frozen=True)
class _Model:
    """One folder of the repository.

    Attributes:
        source: the served file of the bundle.
        file: its name in the version folder.
        settings: lines of config.pbtxt for this backend.
        description: text for the README.
    """

    name: str
    source: str
    file: str
    backend: str
    settings: str
    description: str


def write_triton(bundle: Bundle, folder: Path, options: Options) -> list[str]:
    """Writes a Triton model repository; implements `Writer`."""
    models = [_onnx(bundle, options), *_plans(bundle)]
    for model in models:
        target = folder / REPOSITORY / model.name
        (target / _VERSION).mkdir(parents=True)
        shutil.copyfile(bundle.file(model.source), target / _VERSION / model.file)
        if model.backend == "python":
            shutil.copyfile(_PYTHON_MODEL, target / _VERSION / "model.py")
        write_text(target / "config.pbtxt", _config(bundle, model))
    served = [Served(model.name, model.source, "triton") for model in models]
    left_out = write_client_record(bundle, folder, served)
    descriptions = [f"- `{model.name}`: {model.description}" for model in models]
    readme = _README.format(
        name=bundle.manifest.name,
        models="\n".join(descriptions),
        preprocessing=preprocessing_text(bundle),
    )
    write_text(folder / README, readme)
    return [*(f"{REPOSITORY}/{model.name}: {model.description}" for model in models), *left_out]


def _onnx(bundle: Bundle, options: Options) -> _Model:
    on_gpu = options.device == "gpu"
    where = "GPU, without TF32" if on_gpu else "CPU"
    settings = _ONNX_ON_GPU if on_gpu else _ONNX_ON_CPU
    if options.backend == "python":
        settings, where = _PYTHON_ON_CPU, "CPU, in the Python backend"
    return _Model(
        name=onnx_model_name(bundle.manifest.name),
        source=options.artefact,
        file="model.onnx",
        backend=options.backend,
        settings=settings,
        description=f"{options.artefact} on ONNX Runtime, {where}",
    )


def _plans(bundle: Bundle) -> Iterator[_Model]:
    for source in bundle.plans():
        if runtime_of(source) != "tensorrt":
            continue  # Triton has no backend for TensorRT for RTX
        sidecar = read_sidecar(bundle.file(source), bundle.keys)
        device = sidecar.platform.folder
        yield _Model(
            name=model_name(f"{bundle.manifest.name}_{device}_{sidecar.precision}"),
            source=source,
            file=PLAN,
            backend="tensorrt",
            settings=_plan_settings(sidecar),
            description=(
                f"{source}, only with TensorRT {sidecar.platform.tensorrt} on "
                f"{sidecar.platform.device}"
            ),
        )


# One thread pool per instance; 0 takes all cores, like the daemon's engine.
_ONNX_ON_CPU = """\
instance_group [ { count: 1 kind: KIND_CPU } ]
parameters { key: "intra_op_thread_count" value { string_value: "0" } }
parameters { key: "execution_mode" value { string_value: "0" } }
"""
_PYTHON_ON_CPU = """\
instance_group [ { count: 1 kind: KIND_CPU } ]
parameters { key: "threads" value { string_value: "0" } }
"""
# By default ONNX Runtime rounds FP32 convolutions to TF32 on a GPU.
_ONNX_ON_GPU = """\
instance_group [ { count: 1 kind: KIND_GPU } ]
optimization {
  execution_accelerators {
    gpu_execution_accelerator [
      { name: "cuda" parameters { key: "use_tf32" value: "0" } }
    ]
  }
}
"""


def _plan_settings(sidecar: Sidecar) -> str:
    """Returns the settings that `linewarden build` found fastest: with or without a CUDA graph."""
    graphs = "true" if sidecar.launch == "graph" else "false"
    return (
        "instance_group [ { count: 1 kind: KIND_GPU } ]\n"
        "optimization {\n"
        f"  cuda {{ graphs: {graphs} }}\n"
        "  input_pinned_memory { enable: true }\n"
        "  output_pinned_memory { enable: true }\n"
        "}\n"
    )


def _config(bundle: Bundle, model: _Model) -> str:
    graph = bundle.manifest.graph
    started = "model.py" if model.backend == "python" else model.file
    image = f"[ 1, {graph.height}, {graph.width}, 3 ]"
    anomaly_map = f"[ 1, {graph.height}, {graph.width} ]"
    return f"""\
name: {json.dumps(model.name)}
backend: "{model.backend}"
default_model_filename: "{started}"
# The batch of one is part of the graph's shapes; Triton adds no axis.
max_batch_size: 0
input [ {{ name: "input" data_type: TYPE_UINT8 dims: {image} }} ]
output [
  {{ name: "pred_score" data_type: TYPE_FP32 dims: [ 1 ] }},
  {{ name: "anomaly_map" data_type: TYPE_FP32 dims: {anomaly_map} }}
]
version_policy {{ specific {{ versions: [ {_VERSION} ] }} }}
# A line that leaves inference to the server compares it with its bundle (engine: triton).
parameters {{ key: "{HASH_PARAMETER}" value {{ string_value: "{bundle.sha256(model.source)}" }} }}
{model.settings}# The model is ready only after this, so that the first part is not slow.
model_warmup [
  {{
    name: "zeros"
    batch_size: 1
    count: 3
    inputs {{
      key: "input"
      value {{ data_type: TYPE_UINT8 dims: {image} zero_data: true }}
    }}
  }}
]
"""
