"""Follows the recipe requests of a peer, on a thread.

Each request counts once. One that comes while a recipe is being loaded waits, and a later one takes
its place.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from types import TracebackType

from edge.part.signal import HasSignals, Signal
from edge.peers.reconnect import Reconnector
from edge.recipe.request.base import Answer, Recipes, Request, RequestSource, State
from edge.recipe.request.config import RecipeRequestConfig
from inspection.errors import LineError

_JOIN_S = 10.0

_log = logging.getLogger(__name__)


class RecipeRequestThread:
    """Follows a source while it is entered; one that is lost is connected again.

    Args:
        name: of the source, for messages.
        source: used by this thread alone; it may be absent at the start.
        poll_ms: between two looks.
    """

    def __init__(self, name: str, source: RequestSource, recipes: Recipes, poll_ms: float) -> None:
        self._name = name
        self._source = source
        self._recipes = recipes
        self._poll_s = poll_ms / 1e3
        self._request: Request | None = None  # the last one that was handled
        self._refusal = ""
        self._connection = Reconnector(self._open, Exception)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recipe request", daemon=True)

    def __enter__(self) -> RecipeRequestThread:
        """Begin to follow."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Follow no more."""
        self._stopping.set()
        self._thread.join(_JOIN_S)

    def signals(self) -> Sequence[Signal]:
        """Returns the signals of the source, where it has some; from any thread."""
        return self._source.signals() if isinstance(self._source, HasSignals) else ()

    def _run(self) -> None:
        self._attempt(self._connection.open)
        while not self._stopping.wait(self._poll_s):
            self._attempt(self._follow)
        self._source.close()

    def _attempt(self, call: Callable[[], None]) -> None:
        """Calls the source; after an error of any kind, waits until it can be opened again."""
        try:
            call()
        except Exception as error:  # noqa: BLE001 - also of a defect: nobody else takes requests
            _log.warning(
                "no recipe can be requested: %s",
                str(error) or repr(error),
                exc_info=not isinstance(error, LineError),
            )
            if not self._connection.lost:
                self._connection.lose(str(error) or repr(error))
            if self._connection.wait_until_open(self._stopping):
                _log.warning("%s: recipes can be requested again", self._name)

    def _open(self) -> None:
        """Opens the source, which must take the first answer too."""
        self._source.open()
        self._follow()

    def _follow(self) -> None:
        """Look for a request, and answer."""
        if self._recipes.status.loading is None:
            request = self._source.take()
            if request is not None:
                self._request, self._refusal = request, self._refused(request)
        status = self._recipes.status
        failure = self._refusal or status.failure or ""
        state = State.FAILED if failure else State.IDLE
        if status.loading is not None:
            state = State.LOADING
        self._source.answer(Answer(status.active, state, self._request, failure))

    def _refused(self, request: Request) -> str:
        """Ask for a recipe; why it is refused, or nothing."""
        refusal = request.problem
        is_active = request.number == self._recipes.status.active
        if not refusal and request.number != 0 and not (request.was_there and is_active):
            try:
                self._recipes.request(request.number)
            except LineError as error:
                refusal = str(error)
        if refusal:
            _log.error("%s: %s", self._name, refusal)
        return refusal


def recipe_requests_from_config(
    config: RecipeRequestConfig, recipes: Recipes
) -> RecipeRequestThread:
    """Returns the thread that follows the requests of a peer, not yet entered.

    Raises:
        LineError: a package for it is not installed.
    """
    name = f"recipe request {config.kind} {config.host}:{config.port}"
    return RecipeRequestThread(name, config.driver(name), recipes, config.poll_ms)
