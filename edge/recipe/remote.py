"""An engine on another machine: opened again after a loss, while parts get NO_VERDICT at once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from edge.peers.reconnect import Reconnector
from inspection.engine import Engine, Prediction
from inspection.errors import EngineError, LinewardenError

_log = logging.getLogger(__name__)


class ReconnectingEngine:
    """Runs a remote engine, and opens it again from a thread after every failure, of any kind.

    Meanwhile a part is not asked for: its error has the reason of the loss. So the frame of a part
    is sent once at most.

    Args:
        open_engine: opens the engine and runs its self-test. The constructor passes the error of
            the first time on; later ones are the reasons that parts get.
    """

    def __init__(self, open_engine: Callable[[], Engine]) -> None:
        self._open_engine = open_engine
        self._opened: Engine | None = None  # by the reconnector, and not yet in use
        self._engine: Engine | None = None
        # An error that ends the thread would cost every later part its verdict.
        self._reconnector = Reconnector(self._open, Exception)
        self._lock = threading.Lock()  # of `_engine`
        self._is_lost = threading.Event()
        self._stopping = threading.Event()
        self._reconnector.open()
        self._take_into_use()
        self._thread = threading.Thread(target=self._reopen, name="remote engine", daemon=True)
        self._thread.start()

    def infer(self, batch: npt.NDArray[np.uint8], deadline_ns: int | None = None) -> Prediction:
        """Runs a batch like `Engine.infer`; fails at once while the engine is lost."""
        engine = self._engine
        if self._stopping.is_set():
            raise EngineError("the engine was closed")
        if engine is None:
            raise EngineError(self._reconnector.lost or "the engine is being opened")
        try:
            return engine.infer(batch, deadline_ns)
        except EngineError as error:
            self._lose(engine, str(error))
            raise

    def close(self) -> None:
        """Ends the thread and the connection. Safe to call twice."""
        self._stopping.set()
        self._is_lost.set()
        self._thread.join()
        self._take_into_use()
        with self._lock:
            engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()

    def _lose(self, engine: Engine, why: str) -> None:
        with self._lock:
            if engine is not self._engine:
                return  # another part noticed it before
            self._engine = None
            # The thread waits: it calls the reconnector only while there is no engine.
            self._reconnector.lose(why)
        _log.warning("the engine is lost: %s", why)
        engine.close()
        self._is_lost.set()

    def _open(self) -> None:
        try:
            self._opened = self._open_engine()
        except LinewardenError:
            raise
        except Exception:
            _log.exception("the engine cannot be opened")
            raise

    def _take_into_use(self) -> None:
        """Gives an opened engine to the parts, now that the reconnector has noted it."""
        with self._lock:
            if self._opened is not None:
                self._engine, self._opened = self._opened, None

    def _reopen(self) -> None:
        while True:
            self._is_lost.wait()
            if self._stopping.is_set():
                return
            self._is_lost.clear()
            if self._reconnector.wait_until_open(self._stopping):
                self._take_into_use()
                _log.warning("the engine is back, and passed its self-test")
