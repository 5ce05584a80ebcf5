"""A time of day that a test sets for one service: no container may set the clock of its host.

A library is loaded in front of the C library and adds a number of seconds to its time of day. So
Python, SQLite and all else in the process see the step, and the clocks that only count stay true.
The kernel goes on with its own time: the moments at which files were changed are not shifted.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

_SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile long long *shift;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("CLOCK_SHIFT");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *page = mmap(NULL, sizeof *shift, PROT_READ, MAP_SHARED, file, 0);
    if (page != MAP_FAILED) shift = page;
    close(file);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*genuine)(clockid_t, struct timespec *);
    if (!genuine) genuine = dlsym(RTLD_NEXT, "clock_gettime");
    int failed = genuine(clock, now);
    if (!failed && shift && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += *shift;
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    static int (*genuine)(struct timeval *, void *);
    if (!genuine) genuine = dlsym(RTLD_NEXT, "gettimeofday");
    int failed = genuine(now, zone);
    if (!failed && shift) now->tv_sec += *shift;
    return failed;
}

time_t time(time_t *into) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (into) *into = now.tv_sec;
    return now.tv_sec;
}
"""


def build(library: Path) -> None:
    """Compiles the library; needs a C compiler and a C library no newer than that of the target."""
    command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), "-xc", "-", "-ldl"]
    subprocess.run(command, input=_SOURCE, text=True, check=True)


def shift(path: Path, days: float) -> None:
    """Sets the time of day of the processes with `CLOCK_SHIFT` on this file, at once.

    Args:
        days: from the time of day of the host.
    """
    content = round(days * 86_400).to_bytes(8, "little", signed=True)
    # In place: the processes have the file mapped.
    with path.open("r+b" if path.exists() else "wb") as stream:
        stream.write(content)
