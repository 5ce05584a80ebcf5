"""A check that OpenVINO runs a bundle's ONNX file as it is, and OpenVINO's format for servers.

The daemon needs no conversion: `inspection.engine.openvino` takes the ONNX file from the bundle.
"""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

import openvino as ov

from export.runtimes.base import README, Options, Served, preprocessing_text, write_client_record
from inspection.bundle import Bundle
from inspection.engine import GraphShape
from inspection.engine.openvino import OpenVinoEngine, read_graph
from inspection.errors import EngineError
from inspection.files import write_text
from inspection.golden import allowance, golden_frames, golden_results

IR = "model.xml"

_README = """\
# {name} on OpenVINO

`{graph}` gave the golden scores of the checkpoint through OpenVINO {version}. The line
needs no conversion: `linewarden run` takes `engine: openvino` and the bundle itself.

Compile it with `INFERENCE_PRECISION_HINT=f32`. OpenVINO's default computes in bfloat16 or float16
on processors that have them, and the thresholds were not measured in those.

{preprocessing}"""


def write_openvino(bundle: Bundle, folder: Path, options: Options) -> list[str]:
    """Checks the golden frames and writes the files for a server; implements `Writer`."""
    source = bundle.file(options.artefact)
    said = [_check(bundle, options.artefact, source)]
    name = options.artefact
    if options.ir:
        name = IR
        # Its default rounds the weights to float16.
        ov.save_model(read_graph(source), folder / IR, compress_to_fp16=False)
        said.append(_check(bundle, options.artefact, folder / IR))
    else:
        shutil.copyfile(source, folder / name)
    readme = _README.format(
        name=bundle.manifest.name,
        graph=name,
        version=ov.__version__,
        preprocessing=preprocessing_text(bundle),
    )
    write_text(folder / README, readme)
    return said + write_client_record(bundle, folder, [Served(name, options.artefact, "openvino")])


def _check(bundle: Bundle, artefact: str, graph: Path) -> str:
    """Returns the outcome for the user; raises EngineError when a golden frame differs."""
    size = bundle.manifest.graph
    with closing(OpenVinoEngine(graph, GraphShape(size.height, size.width))) as engine:
        results = list(golden_results(bundle, engine, golden_frames(bundle)))
    allowed = allowance(bundle, artefact)
    wrong = [result.frame.name for result in results if not allowed.covers(result)]
    flips = [result for result in results if result.flipped]
    if wrong:
        raise EngineError(
            f"{graph}: OpenVINO {ov.__version__} gives other results than the checkpoint on "
            f"{', '.join(wrong)}, {len(flips)} of them another verdict: serve it with another "
            "runtime. Nothing was written"
        )
    worst = max((result.difference.relative for result in results), default=0.0)
    return (
        f"{graph.name}: {len(results)} golden frames agree through OpenVINO {ov.__version__}, "
        f"within {worst:.1e} of the checkpoint, no verdict flips"
    )
