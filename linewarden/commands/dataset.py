"""Show the content of a data set, convert it to another layout, or make one from records.

DATA is a folder in one of these layouts, which its files tell:
  mvtec      train/good, test/good, test/<defect>, ground_truth/<defect>; or
             folders of several categories with these
  plain      images of good parts, with test/good and test/<defect> if there are any
  uniad      train.json and test.json with one JSON object on each line; or one list
  ganomaly   train/0.normal, test/0.normal, test/1.abnormal
  visa       split_csv/1cls.csv; or the folder of one object beside it
  ksdd2      train/<id>.png with <id>_GT.png, the same in test

Masks may have any image format; the mask of test/crack/7.png is ground_truth/crack/7_mask.png
or 7.png, or a folder 7 of several masks. Every value but 0 is a defect; in JPEG and lossy
WebP, which blur borders, half the scale or more. Images that no layout reads, masks that
fit no image and defects without a mask are warnings.

Prefer PNG: it has checksums, so that every damage is found. JPEG, LZW and PackBits TIFFs
are refused for the damage that their decoders can see, which is not a single wrong byte;
BMP, WebP and uncompressed TIFFs only when they are cut off.

`show` reads every file and counts images by split, category and defect, sizes,
channels, masks, and files with the same content.

`convert` writes the data set to the new folder OUT. It refuses content that the layout
cannot hold, and lists the details that the layout loses. Masks become PNG files of 0 and
255. OUT appears when it is complete; after a kill, give the command again.

`from-records` copies the frames of labelled parts from the records of a line
(`linewarden records label`) to the new folder OUT: with --to mvtec to train/good and
test/<defect>, with the masks that people painted in ground_truth; with --to plain only
the good ones, for calibrate --more-good. Undecided and disputed parts are left out.
OUT/origin.jsonl has the record of each image.

`promise` tells the false reject rate that a number of good parts can promise, by `teach` and by
`calibrate`, with parts that the model has not learnt. For `teach` up to 20 parts all judge the
threshold; of more, half are held out to judge it, then 20, then a fifth. So 21 to 38 promise less
than 20, and 39 or more do not.

examples:
  linewarden dataset show parts/flange
  linewarden dataset promise 12 100 500
  linewarden dataset convert parts/flange flange-uniad --to uniad
  linewarden dataset convert KolektorSDD2 parts/surface --to mvtec --link
  linewarden dataset from-records records/flange flange-2 --to mvtec --passes
  linewarden dataset from-records records/flange false-rejects --to plain --verdict REJECT
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import get_args

from edge.store.data_set import Layout, gather
from edge.store.reader import RecordReader
from edge.store.station_records import IMAGES_NAME
from inspection.errors import listed
from linewarden.options import add_rate_argument, whole_number
from linewarden.promises import CONFIDENCE, Promise, calibrated, taught
from linewarden.record_source import add_filter_arguments, filter_from_arguments, find_records
from linewarden.text_table import aligned
from linewarden.warning import warn
from training.data.layout import convert, find_layout
from training.data.layouts import LAYOUTS, WRITABLE
from training.data.summary import Summary, summarise

_PARTS_MAX = 100_000
_CHANNELS = {1: "grey", 3: "colour"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    show = actions.add_parser("show", help="count images, masks, sizes and duplicates")
    show.add_argument("data", type=Path, metavar="DATA", help="data set")
    to = actions.add_parser("convert", help="write the data set in another layout")
    to.add_argument("data", type=Path, metavar="DATA", help="data set to read")
    to.add_argument("out", type=Path, metavar="OUT", help="new folder to write")
    to.add_argument("--to", required=True, choices=WRITABLE, help="layout of OUT")
    to.add_argument(
        "--link",
        action="store_true",
        help="hard links instead of copies: they take no space, and an image that is changed in "
        "place changes in DATA and in OUT",
    )
    gathering = actions.add_parser("from-records", help="make a data set from labelled records")
    gathering.add_argument(
        "records", type=Path, metavar="RECORDS", help="folder, or YAML of a line"
    )
    gathering.add_argument("out", type=Path, metavar="OUT", help="new folder to write")
    gathering.add_argument("--to", required=True, choices=get_args(Layout), help="layout of OUT")
    gathering.add_argument(
        "--passes", action="store_true", help="count a PASS without a label as good"
    )
    gathering.add_argument("--view", metavar="NAME", help="view of a line with several cameras")
    add_filter_arguments(gathering)
    promise = actions.add_parser("promise", help="false reject rates that good parts can promise")
    promise.add_argument("parts", nargs="+", type=_parts, metavar="PARTS", help="good parts")
    add_rate_argument(promise)
    promise.add_argument("--json", action="store_true", help="one JSON object per number")


def run(args: argparse.Namespace) -> int:
    """Shows, converts or makes a data set, or tells the promises of good parts."""
    if args.action == "promise":
        _promise(args)
        return 0
    if args.action == "from-records":
        _from_records(args)
        return 0
    layout = find_layout(args.data)
    data_set = LAYOUTS[layout].read(args.data)
    for doubt in data_set.doubts:
        warn(doubt)
    if args.action == "show":
        print(f"{args.data}: {data_set.name}, layout {layout}")
        print("\n".join(_report(summarise(data_set))))
        return 0
    losses = convert(data_set, args.to, args.out, link=args.link)
    for loss in losses:
        warn(f"not kept in layout {args.to}: {loss}")
    images = sum(map(len, data_set.splits.values()))
    print(f"{args.out}: {images} images, from layout {layout} to {args.to}")
    return 0


def _from_records(args: argparse.Namespace) -> None:
    folder = find_records(args.records).folder
    with RecordReader(folder) as reader:
        found = gather(
            reader.find(filter_from_arguments(args)),
            folder / IMAGES_NAME,
            args.out,
            layout=args.to,
            take_passes=args.passes,
            view=args.view,
        )
    for problem in found.damaged:
        warn(f"left out: {problem}")
    if found.missing:
        warn(f"{found.missing} parts no longer have a frame")
    counts = ", ".join(f"{count} {label}" for label, count in found.images.items())
    print(f"{args.out}: {counts}")


def _parts(text: str) -> int:
    return whole_number(text, 0, _PARTS_MAX)


def _promise(args: argparse.Namespace) -> None:
    rate = args.false_reject_rate
    found = [(parts, taught(parts, rate), calibrated(parts, rate)) for parts in args.parts]
    if args.json:
        for parts, *both in found:
            by_teach, by_calibrate = (asdict(one) if one else None for one in both)
            print(json.dumps({"parts": parts, "taught": by_teach, "calibrated": by_calibrate}))
        return
    rows = [("parts", "taught: at most", "on average", "calibrated: at most", "on average")]
    rows += [(str(parts), *_rates(teach), *_rates(more)) for parts, teach, more in found]
    print("\n".join(aligned(rows, numbers_from=0)))
    print(f"good parts that are rejected, with {CONFIDENCE:.0%} confidence")


def _rates(promise: Promise | None) -> tuple[str, str]:
    if promise is None:
        return "none", "none"
    about = "about " if promise.is_approximate else ""
    bound = "none" if promise.bound == 1 else f"{about}{promise.bound:.2%}"
    return bound, f"{promise.average:.2%}"


def _report(summary: Summary) -> list[str]:
    lines = _table(summary)
    sizes = [f"{height}x{width}: {n} images" for (height, width), n in summary.sizes.most_common()]
    lines.append(listed(f"sizes (height x width): {len(sizes)}", sizes))
    lines += [f"{_CHANNELS[count]}: {n} images" for count, n in summary.channels.most_common()]
    lines += [f"defects with {what}: {n}" for what, n in summary.undrawn.items()]
    same = [_named(paths) for paths in summary.duplicates]
    lines.append(listed(f"pictures in several files: {len(same)}", same))
    if summary.leaks:
        title = f"warning: {len(summary.leaks)} of them are in both splits, or good and defective:"
        lines.append(listed(title, [_named(paths) for paths in summary.leaks]))
    return lines


def _table(summary: Summary) -> list[str]:
    rows = [("split", "category", "defect", "images", "masks")]
    rows += [
        (*kind, str(count), str(summary.masks[kind])) for kind, count in summary.images.items()
    ]
    return ["  " + line for line in aligned(rows, numbers_from=3)]


def _named(paths: Sequence[Path]) -> str:
    return " = ".join(map(str, paths))
