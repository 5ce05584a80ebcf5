"""Commission a camera: find it, show its settings, focus it, save images of good parts.

  list   list the cameras of each installed family, with the line for the configuration
  show   show the settings of one camera by their names (SFNC for GenICam cameras)
  grab   save frames as lossless PNG into a folder, for 'linewarden teach' and 'train'
  live   print figures for focus and exposure, frame by frame, until Ctrl-C

Take the camera of a line (--config), or a camera without a line (--kind, with --set for
its settings). This command triggers a camera whose trigger source is Software.

Figures of 'live': sharpness is the variance of the Laplacian; compare it on one scene only,
higher is sharper. The mean is 0 to 255. Saturated and black are the shares of pixels at 255
and at 0 (a colour pixel counts when one channel does): keep both near zero.

examples:
  linewarden camera list
  linewarden camera show --config configs/line/pylon.yaml
  linewarden camera live --kind pylon --set settings.exposure_us=5000
  linewarden camera grab --config configs/line/gige.yaml --count 100 --out parts/flange/train/good

files:
  FOLDER/PREFIX_20261121T081500_000042.png   time of the first frame in UTC, number of the frame
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from edge.camera import CAMERAS, Camera, CameraConfig, camera_from_config
from edge.camera.commissioning import Measured, frames, measured
from edge.camera.isolated import IsolatedCamera
from edge.part.frame import Frame
from edge.station.config import LineConfig
from inspection.config.loading import StrictModel, load_config
from inspection.errors import CameraError, ConfigError, FrameError
from inspection.files import write_bytes
from inspection.images import encode_png

_RATE_OVER = 30  # frames


class _OneCamera(StrictModel):
    camera: CameraConfig


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument(
        "action", choices=("list", "show", "grab", "live"), help="list, show, grab or live"
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="YAML file of a line")
    parser.add_argument("--view", help="view of a line with several cameras")
    parser.add_argument("--kind", choices=sorted(CAMERAS), help="family of the camera")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting: camera.settings.gain_db=2 with --config, settings.gain_db=2 with --kind",
    )
    parser.add_argument("--count", type=int, help="frames (grab: 10, live: until Ctrl-C)")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="grab: folder for the images")
    parser.add_argument("--prefix", default="part", help="grab: start of the file names")
    parser.add_argument("--interval-s", type=float, default=0.0, help="grab: time between images")
    parser.add_argument(
        "--timeout-s", type=float, default=5.0, help="longest wait for a frame (%(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="list, show, live: JSON lines")


def run(args: argparse.Namespace) -> int:
    """Does the action."""
    if args.action == "list":
        return _list(args)
    config = _config(args)
    if args.action == "grab" and args.out is None:
        raise ConfigError("linewarden camera grab needs --out FOLDER")
    actions = {"show": _show, "grab": _grab, "live": _live}
    with _opened(config) as camera:
        return actions[args.action](args, camera, frames(camera, config, args.timeout_s, _complain))


def _camera_of(line: LineConfig, view: str | None) -> CameraConfig:
    views = line.all_views
    if view is None and len(views) == 1:
        return next(iter(views.values())).camera
    if view is None or view not in views:
        raise ConfigError(f"--view should be one of the line's views: {', '.join(views)}")
    return views[view].camera


def _config(args: argparse.Namespace) -> CameraConfig:
    if (args.config is None) == (args.kind is None):
        raise ConfigError(f"linewarden camera {args.action} needs --config or --kind")
    if args.config is not None:
        return _camera_of(load_config(args.config, LineConfig, args.set), args.view)
    settings = [f"camera.kind={args.kind}", *(f"camera.{setting}" for setting in args.set)]
    return load_config(Path(os.devnull), _OneCamera, settings).camera


@contextmanager
def _opened(config: CameraConfig) -> Iterator[Camera]:
    camera = camera_from_config(config)
    try:
        camera.open()
        yield camera
    finally:
        camera.close()


def _complain(error: FrameError) -> None:
    print(f"linewarden: {error}", file=sys.stderr)


def _list(args: argparse.Namespace) -> int:
    for kind in (args.kind,) if args.kind else CAMERAS:
        try:
            found = CAMERAS[kind].discover()
        except CameraError as error:
            print(f"{kind}: {error}", file=sys.stderr)
            continue
        if found is None:
            if args.kind:
                print(
                    f"{kind}: cannot be searched for; name it in the configuration", file=sys.stderr
                )
            continue
        for camera in found:
            line = f"{kind:<11} {camera.identity}  {camera.model}\n{'':<11} {camera.setting}"
            print(json.dumps(camera._asdict()) if args.json else line)
        if not found:
            print(f"{kind}: no camera", file=sys.stderr)
    return 0


def _show(args: argparse.Namespace, camera: Camera, frames: Iterator[Frame]) -> int:
    shown: dict[str, object] = {}
    if isinstance(camera, IsolatedCamera):
        shown |= camera.describe()
    else:
        frame = next(frames)
        shown |= {"source": frame.source, "shape": frame.image.shape}
    if args.json:
        print(json.dumps(shown))
        return 0
    for name, value in shown.items():
        print(f"{name:<28} {value}")
    return 0


def _grab(args: argparse.Namespace, _camera: Camera, frames: Iterator[Frame]) -> int:
    folder: Path = args.out
    start = f"{args.prefix}_{datetime.now(timezone.utc):%Y%m%dT%H%M%S}"
    saved = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for frame in frames:
            path = folder / f"{start}_{saved:06d}.png"
            write_bytes(path, encode_png(frame.image, frame.window))
            saved += 1
            print(path)
            if saved == (args.count or 10):
                break
            time.sleep(args.interval_s)
    except OSError as error:
        raise ConfigError(f"--out {folder}: cannot be written ({error.strerror})") from error
    print(f"{saved} images in {folder}", file=sys.stderr)
    return 0


def _live(args: argparse.Namespace, _camera: Camera, frames: Iterator[Frame]) -> int:
    times: deque[int] = deque(maxlen=_RATE_OVER)
    best = 0.0
    end = "\r" if sys.stdout.isatty() and not args.json else "\n"
    try:
        for number, frame in enumerate(frames, start=1):
            figures = measured(frame.image)
            best = max(best, figures.sharpness)
            times.append(frame.captured_ns)
            line = _json_line if args.json else _line
            print(line(figures, best, _rate_hz(times)), end=end, flush=True)
            if number == args.count:
                break
    except KeyboardInterrupt:  # the user ends it so
        pass
    print()
    return 0


def _rate_hz(times: deque[int]) -> float:
    passed_ns = times[-1] - times[0]
    return (len(times) - 1) / passed_ns * 1e9 if passed_ns else 0.0


def _line(figures: Measured, best: float, rate_hz: float) -> str:
    return (
        f"sharpness {figures.sharpness:9.1f} (best {best:9.1f})  mean {figures.mean:5.1f}"
        f"  saturated {figures.saturated:6.2%}  black {figures.black:6.2%}  {rate_hz:5.1f} Hz"
    )


def _json_line(figures: Measured, best: float, rate_hz: float) -> str:
    return json.dumps({**figures._asdict(), "best_sharpness": best, "frames_per_second": rate_hz})
