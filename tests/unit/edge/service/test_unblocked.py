"""A reader that stops reading holds up no thread that writes."""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress

from edge.service.unblocked import UnblockedStream


def test_a_full_pipe_holds_up_nobody_and_what_is_left_out_is_counted() -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as pipe, os.fdopen(reader) as source:
        stream = UnblockedStream(pipe, waiting_max=10)
        began = time.monotonic()
        for _ in range(300):  # more than the pipe and the queue take together
            stream.write("x" * 1000 + "\n")
        assert time.monotonic() - began < 10
        while (line := source.readline()).startswith("x"):
            pass
        left_out = re.fullmatch(r"\(the reader was too slow: (\d+) lines are left out\)\n", line)
        assert left_out is not None
        assert 100 < int(left_out[1]) < 300
        stream.close()


def test_what_waits_is_written_at_the_end() -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as pipe:
        stream = UnblockedStream(pipe)
        for number in range(100):
            stream.write(f"{number}\n")
        stream.close()
        stream.close()
    with os.fdopen(reader) as source:
        assert source.read() == "".join(f"{number}\n" for number in range(100))


def test_a_reader_that_is_gone_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with suppress(BrokenPipeError), os.fdopen(writer, "w") as pipe:
        stream = UnblockedStream(pipe)
        stream.write("to nobody\n")
        stream.close()
