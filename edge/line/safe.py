"""Brings outputs to their safe state while no pipeline runs: after a crash, before a restart."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from edge.line import OutputConfig, output_from_config
from inspection.errors import LineError


def make_safe(configs: Iterable[OutputConfig]) -> None:
    """Opens and closes each output, which leaves it in the safe state of `LineOutput`.

    Raises:
        LineError: some outputs could not be reached, and the message names each; the others are
            safe.
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
