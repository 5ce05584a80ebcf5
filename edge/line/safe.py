"""Bring outputs to their safe state while no pipeline runs: after a crash, before a restart."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from edge.line import OutputConfig, output_from_config
from inspection.errors import LineError


def make_safe(configs: Iterable[OutputConfig]) -> None:
    """Open each output and close it: that is the safe state; see `LineOutput`.

    Raises:
        LineError: some could not be told; the others were. The message names every one.
    """
    failures = []
    for config in configs:
        try:
            output = output_from_config(config)
            with contextlib.closing(output):
                output.open()
        except LineError as error:
            failures.append(str(error))
    if failures:
        raise LineError(f"not in the safe state: {'; '.join(failures)}")
