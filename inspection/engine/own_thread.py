"""An engine on a thread of its own, so that the next one can be opened while this one inspects.

An engine belongs to one thread, which opens, runs and closes it: a CUDA context is bound to that
thread, and pycuda frees on no other. The thread of the pipeline inspects meanwhile and has no time
to open another one; so each engine that comes or goes while the line runs has its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from inspection.engine.base import Engine, Prediction
from inspection.errors import EngineError


class OwnThreadEngine:
    """Runs another engine; see `Engine`. It may be called from any thread, and closed from another.

    Args:
        open_engine: is called on the thread of the engine; what it raises is raised here.
    """

    def __init__(self, open_engine: Callable[[], Engine]) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine")
        try:
            self._engine = self._thread.submit(open_engine).result()
        except BaseException:
            self._thread.shutdown(wait=False)
            raise

    def infer(self, batch: npt.NDArray[np.uint8]) -> Prediction:
        """See `Engine.infer`.

        Raises:
            EngineError: also when it was closed.
        """
        try:
            work: Future[Prediction] = self._thread.submit(self._engine.infer, batch)
        except RuntimeError as error:
            raise EngineError("the engine was closed") from error
        return work.result()

    def close(self) -> None:
        """Release the device once what was asked of the engine is done; see `Engine.close`."""
        with contextlib.suppress(RuntimeError):  # it is closed already
            work = self._thread.submit(self._engine.close)
            self._thread.shutdown(wait=False)
            work.result()
