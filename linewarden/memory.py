"""Recognises the ways in which Python and its libraries report a lack of memory."""

from __future__ import annotations

import errno

HINT = "this machine gives no more memory or threads: stop other programs, or raise the limits"

# C++, the dynamic linker, the C library, Python's threads, OpenCV.
_WORDS = (
    "bad_alloc",
    "failed to map segment",
    "cannot allocate memory",
    "can't start new thread",
    "insufficient memory",
)


def lacks_memory(error: BaseException | None) -> bool:
    """Returns True when an error, or one behind it, comes from a lack of memory or of threads."""
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        if isinstance(error, OSError) and error.errno == errno.ENOMEM:
            return True
        if any(word in str(error).lower() for word in _WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False
