"""Messages to systemd, as sd_notify(3): one datagram each, and never a wait.

A service that waited until systemd reads would stop inspecting because of a busy machine. A message
for which there is no room is dropped instead; `Notifier.send` says so.
"""

from __future__ import annotations

import os
import socket


class Notifier:
    """Sends to the socket of the service manager; to nobody where there is none.

    Args:
        address: path of the socket; "@" at the beginning stands for the abstract namespace.
    """

    def __init__(self, address: str) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        self._socket = socket.socket(socket.AF_UNIX, kind) if address else None

    @classmethod
    def from_environment(cls) -> Notifier:
        """The notifier that NOTIFY_SOCKET names."""
        return cls(os.environ.get("NOTIFY_SOCKET", ""))

    def send(self, **variables: object) -> bool:
        """Send assignments such as READY=1; False when they were dropped."""
        if self._socket is None:
            return True
        lines = "\n".join(f"{name}={value}" for name, value in variables.items())
        try:
            self._socket.sendto(lines.encode(), self._address)
        except OSError:  # no room, or the manager is being replaced
            return False
        return True

    def loading(self, what: str, limit_s: float) -> None:
        """Say what the start is busy with, and how long it may take from now on."""
        self.send(STATUS=what, EXTEND_TIMEOUT_USEC=round(limit_s * 1e6))

    def close(self) -> None:
        """Release the socket."""
        if self._socket is not None:
            self._socket.close()
