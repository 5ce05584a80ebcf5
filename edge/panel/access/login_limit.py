"""Slows down people who guess passwords.

After some wrong passwords for an account from one address, that address waits before the next
attempt at that account. Nobody elsewhere waits, so wrong passwords from one machine do not shut a
person out at another: an account is never locked.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

_FREE = 5
_LONGEST_S = 60.0
_FORGOTTEN_S = 900.0
_MOST = 10_000  # pairs in memory; the oldest goes first
_ANY = ""  # stands for all accounts of an address
_FREE_ANY = 30


class LoginLimit:
    """Wrong passwords by address and account. Safe for threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()

    def attempt(self, address: str, name: str) -> float:
        """Counts an attempt as a wrong password until `succeeded` takes it back.

        It counts before the password is verified, so that many attempts at once are not free.

        Returns:
            How long this address has to wait instead, in seconds; 0 when it may try now.
        """
        with self._lock:
            keys = {(address, name): _FREE, (address, _ANY): _FREE_ANY}
            wait_s = max(self._wait_s(key, free) for key, free in keys.items())
            if not wait_s:
                for key in keys:
                    count, last_s = self._failures.pop(key, (0, 0.0))
                    is_old = self._clock() - last_s > _FORGOTTEN_S
                    self._failures[key] = (1 if is_old else count + 1, self._clock())
                while len(self._failures) > _MOST:
                    self._failures.popitem(last=False)
            return wait_s

    def succeeded(self, address: str, name: str) -> None:
        """Forgets the wrong passwords of a person who has the right one."""
        with self._lock:
            self._failures.pop((address, name), None)
            count, last_s = self._failures.get((address, _ANY), (0, 0.0))
            if count:
                self._failures[address, _ANY] = (count - 1, last_s)

    def _wait_s(self, key: tuple[str, str], free: int) -> float:
        count, last_s = self._failures.get(key, (0, 0.0))
        if count < free:
            return 0.0
        pause_s = min(2.0 ** (count - free + 1), _LONGEST_S)
        return float(max(0.0, last_s + pause_s - self._clock()))
