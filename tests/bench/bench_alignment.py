"""Measures the time to find a mark, with and without rotation and search area.

python tests/bench/bench_alignment.py
"""

from __future__ import annotations

import time

import cv2
import numpy as np

from inspection.layout.alignment import AlignmentSettings, MarkFinder, alignment_to
from inspection.preprocess import Crop

_ROUNDS = 40
_SETTINGS = {
    "whole frame": {},
    "search 60 px": {"search_px": 60},
    "search 60 px, rotation 5 deg": {"search_px": 60, "rotation_deg": 5},
    "whole frame, rotation 180 deg": {"rotation_deg": 180},
}


def frame_of(size: int, side: int) -> tuple[np.ndarray, Crop]:
    """Makes a textured frame with a mark in its middle."""
    noise = np.random.default_rng(1).normal(size=(size, size)).astype(np.float32)
    rough = cv2.GaussianBlur(noise, (0, 0), size / 60)
    frame = 110 + 20 * rough / rough.std()
    mark = Crop(left=size // 2, top=size // 3, height=side, width=side)
    foot = (mark.left + side // 5, mark.top + side // 5)
    elbow = (mark.left + side // 5, mark.top + 4 * side // 5)
    cv2.rectangle(frame, (mark.left, mark.top), (mark.left + side, mark.top + side), 200.0, -1)
    cv2.line(frame, foot, elbow, 30.0, side // 8)
    cv2.line(frame, elbow, (mark.left + 3 * side // 5, mark.top + 4 * side // 5), 30.0, side // 8)
    return np.clip(frame, 0, 255).astype(np.uint8), mark


def main() -> None:
    """Prints one line for each setting."""
    print("| frame | mark | settings | best ms | p50 ms |\n|---|---|---|---|---|")
    for size, side in ((1024, 128), (2048, 192)):
        frame, mark = frame_of(size, side)
        moved = np.roll(frame, (17, -23), axis=(0, 1))
        for name, settings in _SETTINGS.items():
            finder = MarkFinder(
                alignment_to(frame, mark, AlignmentSettings.model_validate(settings))
            )
            times = []
            for _ in range(_ROUNDS):
                started = time.perf_counter()
                pose = finder.find(moved)
                times.append(1e3 * (time.perf_counter() - started))
            error = max(abs(pose.right_px + 23), abs(pose.down_px - 17))
            if error > 0.1:
                raise SystemExit(f"{name}: wrong by {error:.2f} px")
            best, p50 = min(times), np.median(times)
            print(f"| {size}x{size} | {side} px | {name} | {best:.1f} | {p50:.1f} |")


if __name__ == "__main__":
    main()
