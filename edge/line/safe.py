"""Brings outputs to their safe state while no pipeline runs: after a crash, before a restart."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence

from edge.line.outputs_config import OutputConfig, output_from_config, untracked
from inspection.errors import LineError

_PAUSE_S = 2.0


def make_safe(configs: Sequence[OutputConfig], *, within_s: float = 0.0) -> None:
    """Opens each output and closes it, which is the safe state; see `LineOutput`.

    Opens no gate: parts on their way stay in its register for the next process.

    Args:
        within_s: time in which further attempts begin; 0 for one attempt.

    Raises:
        LineError: the last attempt did not reach some outputs, which the message names. All others
            are safe.
    """
    end = time.monotonic() + within_s
    while failures := _failures(configs):
        if time.monotonic() + _PAUSE_S > end:
            raise LineError(f"not in the safe state: {'; '.join(failures)}")
        time.sleep(_PAUSE_S)


def _failures(configs: Sequence[OutputConfig]) -> list[str]:
    failures = []
    for config in configs:
        try:
            output = output_from_config(untracked(config))
            with contextlib.closing(output):
                output.open()
        except LineError as error:
            failures.append(str(error))
    return failures
