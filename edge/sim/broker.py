"""An MQTT broker on loopback: mosquitto, with a subscriber to all topics."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.line.handshake import Bits
from edge.sim.base import (
    LOOPBACK,
    History,
    Machine,
    Seen,
    View,
    bits_by_name,
    last_verdict,
    reached_at,
)
from inspection.config.plugins import Sdk, require
from inspection.errors import LineError
from inspection.verdict import Verdict

if TYPE_CHECKING:
    from paho.mqtt import client as paho
    from paho.mqtt import enums
else:
    paho, enums = Sdk("paho.mqtt.client"), Sdk("paho.mqtt.enums")

_START_S = 10.0
_STATES = {"ready": Bits.READY, "busy": Bits.BUSY, "fault": Bits.FAULT}
_BITS = {
    Verdict.PASS: Bits.PASS,
    Verdict.REVIEW: Bits.REJECT | Bits.REVIEW,
    Verdict.REJECT: Bits.REJECT,
    Verdict.NO_VERDICT: Bits.NO_VERDICT,
}


class Broker(Machine):
    """Starts mosquitto on a port; `subscribe` follows all topics.

    Args:
        folder: holds the configuration of mosquitto.
        settings: lines of that configuration, behind the listener.
        topic: of the line whose state and heartbeat the view shows.

    Attributes:
        topics: last message of each topic.
        verdicts: the last messages of topics that end in /verdict, repeated ones too.

    Raises:
        LineError: mosquitto is not installed, or does not start.
    """

    def __init__(
        self,
        port: int,
        folder: Path,
        settings: str = "allow_anonymous true\n",
        *,
        host: str = LOOPBACK,
        topic: str = "",
    ) -> None:
        super().__init__()
        require(
            "the simulated broker", "paho.mqtt.client", "pip install 'linewarden[mqtt]'", LineError
        )
        program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
        if program is None:
            raise LineError("the simulated broker needs mosquitto: apt install mosquitto")
        self.port = port
        self.topics: dict[str, str] = {}
        self.verdicts: History[dict[str, Any]] = History()
        self._host, self._topic = host, topic
        self._client: paho.Client | None = None
        file = folder / "mosquitto.conf"
        file.write_text(f"listener {port} {host}\n{settings}")
        self._command = [program, "-c", str(file)]
        self.start()

    def start(self) -> None:
        """Starts mosquitto, also after a kill.

        Raises:
            LineError: it does not listen: the port is taken, or a setting is wrong.
        """
        self._process = subprocess.Popen(  # noqa: S603 - a program that the user installed
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        until_s = time.monotonic() + _START_S
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > until_s:
                self._process.kill()
                said = self._process.communicate()[1].decode(errors="replace").strip()
                raise LineError(
                    f"the simulated broker does not start on {self._host}:{self.port}: {said}; "
                    "give another port"
                )
            time.sleep(0.01)

    def subscribe(self) -> None:
        """Follows all topics; after a restart of the broker too."""
        self._end_client()
        client = paho.Client(enums.CallbackAPIVersion.VERSION2)
        client.on_message = self._on_message
        client.connect(reached_at(self._host), self.port)
        client.subscribe("#", qos=1)
        client.loop_start()
        self._client = client

    def publish(self, topic: str, payload: str) -> None:
        """Publishes a message with QoS 1, as a PLC behind the broker does."""
        if self._client is None:
            raise LineError("the simulated broker has no client; call subscribe first")
        self._client.publish(topic, payload, qos=1)

    def view(self) -> View:
        """Implements `Machine.view`."""
        beats = self.topics.get(f"{self._topic}/heartbeat", "0")
        state = self.topics.get(f"{self._topic}/state", "")
        bits = _STATES.get(state, Bits(0)) | Bits.HEARTBEAT * (int(beats) % 2)
        if self.verdicts:
            bits |= _BITS[Verdict(self.verdicts[-1]["verdict"])]
        words = {"state": state or "-", "topics": len(self.topics), **last_verdict(self.seen)}
        return View(f"MQTT broker {self._host}:{self.port}", bits_by_name(Bits(bits)), words)

    def hang(self) -> None:
        """Implements `Machine.hang`."""
        self._process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        """Implements `Machine.wake`."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Ends mosquitto at once."""
        self._process.kill()
        self._process.communicate()

    def close(self) -> None:
        """Implements `Machine.close`."""
        super().close()
        self._end_client()
        self.kill()

    def _end_client(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.disconnect()
            client.loop_stop()

    def _listens(self) -> bool:
        try:
            socket.create_connection((reached_at(self._host), self.port), 0.1).close()
        except OSError:
            return False
        return True

    def _on_message(
        self, _client: paho.Client, _userdata: object, message: paho.MQTTMessage
    ) -> None:
        self.topics[message.topic] = message.payload.decode(errors="replace")
        if not message.topic.endswith("/verdict"):
            return
        verdict = json.loads(message.payload)
        self.verdicts.append(verdict)
        kind = Verdict(verdict["verdict"])
        is_reject = kind in (Verdict.REJECT, Verdict.REVIEW)
        self.take_once(Seen(verdict["trigger_id"], kind is Verdict.PASS, is_reject))
