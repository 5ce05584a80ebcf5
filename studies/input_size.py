"""Larger inputs, and tiles of them, beside the size that `linewarden teach` takes by itself.

::

    python -m studies.input_size --data DATA... --work FOLDER --out PAGE

Models in closed form learn all good images, and score the test images. Beside real data sets it
draws one with scratches of three pixels on large frames. Each data set has a file in FOLDER, and
one that is there is not measured again. LINEWARDEN_WEIGHTS names weights.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime
import torch

from export.graph import build_graph, save_graph
from export.study_report import markdown_table
from inspection.config.loading import StrictModel
from inspection.files import write_text
from inspection.images import read_image
from inspection.names import printable
from inspection.preprocess import Preprocessing, preprocess
from linewarden.parser import Parser
from studies.large_frames.tiles import Size, Tiling
from studies.large_frames.tiny_defects import write_tiny_defects
from studies.pages.sections import write_page
from training.candidates import FORMS, configured
from training.checkpoint import build_model
from training.data.data_set import DataSet
from training.data.layout import read_data_set
from training.data.masks import read_mask
from training.data.survey import SurveyedSample, survey
from training.first_look import frames_of
from training.input_size import AREA, proportional, typical_size
from training.inspected import truth_at_map_size
from training.metrics import aupro, auroc
from training.models.base import ClosedFormModel
from training.weights_source import Source, sources_at_hand

STUDIED = ("memory", "subspace")  # of FORMS
TIMES = (1, 4, 9)  # areas of the input, in multiples of the usual one
_OVERLAP = 32  # px
_JUDGED = 384 * 384  # px of the maps that figures are of, the same for all inputs
_ROUNDS = 9
_TINY = "tiny-scratches"
_MEGA = 1e6


class Row(StrictModel):
    """A model at one input size, whole or in tiles.

    Attributes:
        tiles: their number; 1 for the whole input.
        learn_s: seconds to extract the features of all good images, and to learn them.
        ms: median time of the graph for an image, on one thread.
        peak_mb: memory of the graph's session while it runs, above that of the process before.
        in_turn_mb: the same, with one tile after the other.
    """

    data_set: str
    form: str
    size: Size
    tiles: int
    image_auroc: float
    aupro: float
    learn_s: float
    ms: float
    peak_mb: float
    in_turn_mb: float


class Rows(StrictModel):
    """The measurements of one data set."""

    rows: tuple[Row, ...]


class _Fitted(NamedTuple):
    """A model of a tiling's tiles, and what it scored."""

    form: str
    tiling: Tiling
    model: ClosedFormModel
    image_auroc: float
    aupro: float
    learn_s: float


class _Case:
    """A data set with a backbone."""

    def __init__(self, data_set: DataSet, source: Source) -> None:
        self.name, self.source = data_set.name, source
        self.good, self.test = survey(data_set.good), survey(data_set.test)
        self.frames = frames_of([*self.good, *self.test])
        self.typical = typical_size(self.good)
        self.defective = np.array([not one.sample.is_good for one in self.test])
        judged = self._way(proportional(self.typical, _JUDGED))
        self.judged = (judged.height, judged.width)
        self.truths = np.stack([_truth(one, judged) for one in self.test])

    def rows(self, work: Path, times: Sequence[int]) -> Iterator[Row]:
        fitted: list[_Fitted] = []
        native = self.typical[0] * self.typical[1]
        for area in [AREA * n for n in times if n == 1 or AREA * n <= native]:
            size = proportional(self.typical, area)
            whole = Tiling(size, size, ((0, 0),))
            for tiling in (whole, Tiling.over(size, _OVERLAP)) if area > AREA else (whole,):
                sys.stderr.write(f"  {size[0]}x{size[1]}, {len(tiling.corners)} tiles\n")
                fitted += self._fitted(tiling)
        costs = _costs(fitted, work)
        for one, (ms, peak, in_turn) in zip(fitted, costs, strict=True):
            yield Row(
                data_set=self.name,
                form=one.form,
                size=one.tiling.whole,
                tiles=len(one.tiling.corners),
                image_auroc=one.image_auroc,
                aupro=one.aupro,
                learn_s=round(one.learn_s, 1),
                ms=round(ms, 1),
                peak_mb=round(peak, 1),
                in_turn_mb=round(in_turn, 1),
            )

    @torch.no_grad()
    def _fitted(self, tiling: Tiling) -> Iterator[_Fitted]:
        """Fits all forms on the same features, and scores the test images."""
        models = {form: self._model(form, tiling.tile) for form in STUDIED}
        extract = models[STUDIED[0]].extract
        way = self._way(tiling.whole)
        extracted_s, learn_s = 0.0, dict.fromkeys(STUDIED, 0.0)
        for sample in self.good:
            image = _image(sample, way)
            started = time.monotonic()
            features = extract(tiling.cut(image))
            extracted_s += time.monotonic() - started
            for form, model in models.items():
                started = time.monotonic()
                model.learn(features)
                learn_s[form] += time.monotonic() - started
        for form, model in models.items():
            started = time.monotonic()
            model.solve()
            learn_s[form] += time.monotonic() - started
        scores: dict[str, list[float]] = {form: [] for form in models}
        maps: dict[str, list[npt.NDArray[np.float32]]] = {form: [] for form in models}
        for sample in self.test:
            features = extract(tiling.cut(_image(sample, way)))
            for form, model in models.items():
                found = tiling.join(model.predict(features).maps.float())[0].numpy()
                scores[form].append(float(found.max()))
                maps[form].append(cv2.resize(found, self.judged[::-1]).astype(np.float32))
        for form, model in models.items():
            yield _Fitted(
                form,
                tiling,
                model,
                auroc(np.array(scores[form]), self.defective),
                float(aupro(np.stack(maps[form]), self.truths)),
                extracted_s + learn_s[form],
            )

    def _model(self, form: str, size: Size) -> ClosedFormModel:
        backbone = {"name": self.source.name, "weights": self.source.weights}
        config = configured(
            {
                "data": {"folder": printable(Path("/")), "image_size": size},
                "model": {**FORMS[form], "backbone": backbone},
                "fit": {},
            }
        )
        torch.manual_seed(config.fit.seed)
        model = build_model(config).eval()
        assert isinstance(model, ClosedFormModel)
        return model

    def _way(self, size: Size) -> Preprocessing:
        return Preprocessing(
            frame_height=self.frames.heights,
            frame_width=self.frames.widths,
            channels=1 if self.good[0].channels == 1 else 3,
            height=size[0],
            width=size[1],
        )


def _image(sample: SurveyedSample, way: Preprocessing) -> torch.Tensor:
    return torch.from_numpy(preprocess(read_image(sample.sample.path), way))[None]


def _truth(sample: SurveyedSample, way: Preprocessing) -> npt.NDArray[np.bool_]:
    if sample.sample.mask is None:
        return np.zeros((way.height, way.width), np.bool_)
    return truth_at_map_size(read_mask(sample.sample.mask, sample.size) > 0, way)


def _costs(fitted: Sequence[_Fitted], work: Path) -> list[tuple[float, float, float]]:
    """Measures the graphs: ms of an image, MB with all tiles as a batch, MB with one at a time.

    The joining of the maps is not counted. The graphs take turns, so that the load of the machine
    is the same for all.
    """
    graphs = [work / f"{number}.onnx" for number in range(len(fitted))]
    batches = [len(one.tiling.corners) for one in fitted]
    for one, path in zip(fitted, graphs, strict=True):
        save_graph(build_graph(one.model, dynamic_batch=True), path)
    taken: list[list[float]] = [[] for _ in fitted]
    sessions = [_session(path) for path in graphs]
    images = [
        np.zeros((batch, *one.tiling.tile, 3), np.uint8)
        for one, batch in zip(fitted, batches, strict=True)
    ]
    for _ in range(_ROUNDS):
        for times, session, image in zip(taken, sessions, images, strict=True):
            started = time.perf_counter()
            session.run(None, {"input": image})
            times.append(1000 * (time.perf_counter() - started))
    found = []
    for times, path, image in zip(taken, graphs, images, strict=True):
        peak_mb, in_turn_mb = (_peak_mb(path, (n, *image.shape[1:])) for n in (len(image), 1))
        found.append((median(times[1:]), peak_mb, in_turn_mb))
        path.unlink()
    return found


def _session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _peak_mb(path: Path, shape: tuple[int, ...]) -> float:
    """Measures in a process of its own, whose peak nothing else has raised."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_run_for_peak, (path, shape))


def _run_for_peak(path: Path, shape: tuple[int, ...]) -> float:
    before = _highest_mb()
    _session(path).run(None, {"input": np.zeros(shape, np.uint8)})
    return _highest_mb() - before


def _highest_mb() -> float:
    """Reads the highest memory of this program; getrusage would count the parent's too."""
    status = Path("/proc/self/status").read_text()
    kilobytes = next(line.split()[1] for line in status.splitlines() if "VmHWM" in line)
    return 1024 * int(kilobytes) / _MEGA


_PAGE = """# Larger inputs and tiles

Made by `make input-size-study` on {date}, with the backbone {backbone}.

The first row of each table is the input that `linewarden teach` takes by itself. "Tiles" are about
256 x 256 px and overlap by {overlap} px or more; they run as one batch, and where maps overlap
each fades towards its edge. All good images are learnt. Image AUROC is of the map's maximum, AUPRO
of maps that are brought to one size. Learn: seconds for all good images, without reading them. ms:
of the graph, on one thread, the median of rounds in which the rows of a data set took turns,
without the joining of the tiles; the machine had other work. MB: memory of an ONNX Runtime session
that runs the graph once, above the process before; in turn: with one tile after the other. No
figure chooses anything here.

`tiny-scratches` is drawn: parts on frames of 1200 x 1600 px, with scratches of 3 px by 20 to 60 px,
30 grey levels brighter than the steel.

{tables}"""


def page(rows: Sequence[Row], backbone: str) -> str:
    """Writes the page."""
    heading = ["input", "tiles", "image AUROC", "AUPRO", "learn s", "ms", "MB", "MB in turn"]
    parts = []
    for data_set in dict.fromkeys(row.data_set for row in rows):
        for form in STUDIED:
            mine = [row for row in rows if (row.data_set, row.form) == (data_set, form)]
            table = markdown_table(heading, [_cells(row) for row in mine])
            parts.append(f"## {data_set}, {form}\n\n{table}")
    date = datetime.now(timezone.utc).date().isoformat()
    return _PAGE.format(date=date, backbone=backbone, overlap=_OVERLAP, tables="\n".join(parts))


def _cells(row: Row) -> list[str]:
    return [
        f"{row.size[0]}x{row.size[1]}",
        f"{row.tiles}" if row.tiles > 1 else "-",
        f"{row.image_auroc:.3f}",
        f"{row.aupro:.3f}",
        f"{row.learn_s:.0f}",
        f"{row.ms:.0f}",
        f"{row.peak_mb:.0f}",
        f"{row.in_turn_mb:.0f}" if row.tiles > 1 else "-",
    ]


def main() -> None:
    parser = Parser(
        prog="python -m studies.input_size",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", nargs="+", type=Path, required=True, metavar="DATA")
    parser.add_argument(
        "--times",
        nargs="+",
        type=int,
        default=TIMES,
        metavar="N",
        help="areas in multiples of 256 x 256 px, at most that of the frame (default: 1 4 9)",
    )
    parser.add_argument("--work", type=Path, required=True, metavar="FOLDER", help="measurements")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="Markdown to write")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    write_tiny_defects(args.work / _TINY)
    source = sources_at_hand("package")[0]
    rows: list[Row] = []
    for folder in [args.work / _TINY, *args.data]:
        kept = args.work / f"{folder.name}.json"
        if not kept.exists():
            sys.stderr.write(f"{folder.name}\n")
            case = _Case(read_data_set(folder), source)
            measured = Rows(rows=tuple(case.rows(args.work, args.times)))
            write_text(kept, measured.model_dump_json(indent=1) + "\n")
        rows += Rows.model_validate_json(kept.read_bytes()).rows
    write_page(args.out, page(rows, source.name))


if __name__ == "__main__":
    main()
