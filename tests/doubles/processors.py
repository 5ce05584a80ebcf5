"""A processor that a test chooses, and times that no machine changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from export.cpu.build import Runs, Times
from export.timing import Image
from inspection.engine.processor import Processor

PLAIN = Processor(model="Plain CPU", machine="x86_64", flags=("avx2", "avx512_vnni"))
WITH_BF16 = Processor(
    model="Plain CPU", machine="x86_64", flags=("avx2", "avx512_bf16", "avx512_vnni")
)


def use(monkeypatch: pytest.MonkeyPatch, processor: Processor) -> None:
    """Makes it the processor of this machine."""
    for module in ("inspection.bundle.chosen", "inspection.golden_run", "export.cpu.build"):
        monkeypatch.setattr(f"{module}.processor_here", lambda: processor)


class Stopwatch:
    """Gives each candidate a time.

    Args:
        times_ms: by words of the title of a candidate; the first match counts.
    """

    def __init__(self, times_ms: Mapping[str, float]) -> None:
        self._times_ms = times_ms

    def __call__(self, runs: Runs, images: Sequence[Image]) -> dict[str, Times]:
        """Implements `export.cpu.build.Stopwatch`."""
        return {title: self._of(title) for title in runs}

    def _of(self, title: str) -> Times:
        found = next(ms for words, ms in self._times_ms.items() if words in title)
        return Times(found, found)
