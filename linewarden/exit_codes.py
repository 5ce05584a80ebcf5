"""The exit codes of all commands.

A test compares docs/reference/exit-codes.md and `inspection.errors` with them.
"""

from __future__ import annotations

import signal

REJECTED = 10
UNACCEPTABLE = 11
NOT_READY = 12

EXIT_CODES = {
    0: "done",
    1: "disk or memory is short, a package is missing, or an unexpected error",
    2: "wrong usage",
    3: "configuration",
    4: "bundle, checkpoint or calibration",
    5: "camera, image or data set",
    6: "inference engine",
    7: "output to the line",
    8: "GPU lost: start the process again",
    9: "records of a line",
    REJECTED: "an image was rejected (inspect --fail-on-reject)",
    UNACCEPTABLE: "an acceptance study was graded unacceptable",
    NOT_READY: "the line is not ready to run (line check)",
    128 + signal.SIGHUP: "stopped by SIGHUP: the terminal was closed",
    128 + signal.SIGINT: "stopped by SIGINT: Ctrl-C",
    128 + signal.SIGPIPE: "the reader of the output has ended",
    128 + signal.SIGTERM: "stopped by SIGTERM",
}


def epilog() -> str:
    """Returns the table at the end of each help."""
    lines = [f"  {code:<4} {meaning}" for code, meaning in EXIT_CODES.items()]
    return "\n".join(["exit codes:", *lines, ""])
