"""The rate of warnings of `linewarden calibrate` about the order of images, true and false."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from calibration.order import LEVEL, ordered_channels
from inspection.drift.charts import MOVED
from studies.calibration_trials.measured import Measured

COUNTS = (20, 30, 50, 100)
TRIALS = 2000

METHOD = f"""\
## The warning about the order of the images

`linewarden calibrate` warns when figures of neighbouring files are more alike than those of
independent parts (`calibration/order.py`), at a level of {LEVEL:.0%}. "At random" are n images in
random order, {TRIALS} times: the false alarms. "In a row" are n images in the order of their files,
from every start; kolektorsdd is in the order of its commutators. A warning means that the images do
not show independent parts. It does not mean that the promise of such a set fails.

"""


def order_table(measured: Sequence[Measured]) -> str:
    """Returns the chapter of the page."""
    lines = ["| data set | n | warned at random | warned in a row |", "|---|---|---|---|"]
    random = np.random.default_rng(0)
    for one in measured:
        for count in COUNTS:
            total = len(one.parts)
            drawn = (random.choice(total, count, replace=False) for _ in range(TRIALS))
            in_a_row = (np.arange(start, start + count) for start in range(total - count + 1))
            shares = [_warned(one, places) for places in (drawn, in_a_row)]
            lines.append(f"| {one.data_set} | {count} | {shares[0]:.1%} | {shares[1]:.0%} |")
    return METHOD + "\n".join(lines) + "\n\n"


def _warned(measured: Measured, divisions: Iterable[npt.NDArray[np.intp]]) -> float:
    """Returns the share of sets with a warning, each in the order of its places."""
    ordered = np.argsort([part.name for part in measured.parts])
    figures = {name: measured.column(name, "as it is")[ordered] for name in MOVED}
    found = []
    for places in divisions:
        files = [Path(f"{number}.png") for number in range(len(places))]
        taken = {name: values[places].tolist() for name, values in figures.items()}
        found.append(bool(ordered_channels(files, taken)))
    return float(np.mean(found))
