"""What it is worth to hold good images out, where they could also be judged in turn.

::

    python -m studies.hold_out DATA... [--draws 5]

Each draw takes so many good images. Memory learns some of them, and the others set the threshold:
30 % of all, or one half and at most 20. Subspace learns all, and each is judged by a model of the
others. The table has the means over the draws: good images above the threshold among those that
were not drawn, and defective images that pass.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from linewarden.parser import Parser
from studies.few_images import KeptFeatures, threshold
from training.hold_out import JUDGES
from training.weights_source import named_source

COUNTS = (21, 30, 40, 60)
OTHERS, DEFECTIVE = 40, 60  # images that judge a draw, at most


class Rates(NamedTuple):
    """The false reject rate and the escape rate of a threshold."""

    false_reject: float
    escape: float


def held_out(kept: KeptFeatures, order: list[int], count: int, judges: int) -> Rates:
    """Learns all but the first `judges` of the first `count` images, which set the threshold."""
    kept.learn(order[judges:count])
    limit = max(kept.score(number) for number in order[:judges])
    return _rates(kept, order[count:], limit)


def in_turn(kept: KeptFeatures, order: list[int], count: int) -> Rates:
    """Learns the first `count` images, each of which is judged by a model of the others."""
    limit = threshold(kept, order[:count])
    kept.learn(order[:count])
    return _rates(kept, order[count:], limit)


def _rates(kept: KeptFeatures, others: list[int], limit: float) -> Rates:
    good = [kept.score(number) > limit for number in others[:OTHERS]]
    return Rates(
        float(np.mean(good)), float(np.mean([kept.score(one) <= limit for one in kept.defective]))
    )


def rows(folder: Path, draws: int) -> Iterator[str]:
    """Yields the rows of a data set."""
    source = named_source("package", ("tf_efficientnet_lite0.in1k",))
    memory = KeptFeatures(folder, source, "memory", DEFECTIVE)
    subspace = KeptFeatures(folder, source, "subspace", DEFECTIVE)
    orders = [
        np.random.default_rng(draw).permutation(len(memory.good)).tolist() for draw in range(draws)
    ]
    for count in (count for count in COUNTS if count + 5 <= len(memory.good)):
        third, half = math.ceil(0.3 * count), min(JUDGES, math.ceil(count / 2))
        for name, found in (
            (f"memory, {third} held out", [held_out(memory, one, count, third) for one in orders]),
            (f"memory, {half} held out", [held_out(memory, one, count, half) for one in orders]),
            ("subspace, each in turn", [in_turn(subspace, one, count) for one in orders]),
        ):
            false_reject, escape = np.mean(found, axis=0)
            yield f"| {folder.name} | {count} | {name} | {false_reject:.1%} | {escape:.1%} |"


def main() -> None:
    parser = Parser(
        prog="python -m studies.hold_out",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("data", nargs="+", type=Path, metavar="DATA", help="data sets")
    parser.add_argument("--draws", type=int, default=5, help="default: %(default)s")
    args = parser.parse_args()
    print("| data | good images | model | good ones rejected | defective ones passed |")
    print("|---|---|---|---|---|")
    for folder in args.data:
        for row in rows(folder, args.draws):
            print(row, flush=True)


if __name__ == "__main__":
    main()
