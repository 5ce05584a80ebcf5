"""Opens the engines of a bundle, ready for the first part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from inspection.bundle import Bundle, Chosen, chosen_here
from inspection.engine import Engine, GraphShape, TritonServer, engine_class
from inspection.engine.cpu_record import Margins
from inspection.engine.freed_memory import return_freed_memory
from inspection.engine.own_thread import OwnThreadEngine
from inspection.errors import EngineError


@dataclass(frozen=True)
class EarlyPass:
    """An open first stage of a cascade: it passes the parts that are clearly good.

    Attributes:
        margins: distance from a threshold from which it passes a part.
        sha256: identity of its artefact and precision, for records.
    """

    engine: Engine
    margins: Margins
    sha256: str


def open_engine(
    bundle: Bundle,
    *,
    engine: str | None = None,
    artefact: str | None = None,
    threads: int | None = None,
    server: TritonServer | None = None,
) -> Engine:
    """Opens the artefact of a verified bundle that decides; see `chosen_here`, `open_chosen`."""
    chosen = chosen_here(bundle, engine, artefact)
    return open_chosen(bundle, chosen, threads=threads, server=server)


def open_chosen(
    bundle: Bundle,
    chosen: Chosen,
    *,
    threads: int | None = None,
    server: TritonServer | None = None,
) -> Engine:
    """Opens an artefact of a verified bundle and runs it once, so that the first part is not slow.

    Any thread may call the engine, and any thread may close it; see `OwnThreadEngine`.

    Args:
        server: for the engine `triton` alone.
    """
    graph = bundle.manifest.graph
    shape = GraphShape(graph.height, graph.width)
    factory = engine_class(chosen.engine, chosen.compute, server)

    def open_trimmed() -> Engine:
        engine = factory(bundle.file(chosen.artefact), shape, threads=threads)
        return_freed_memory()  # before the first run, which takes memory of other sizes
        return engine

    opened = OwnThreadEngine(open_trimmed)
    try:
        run_empty(opened, shape)
    except EngineError:
        opened.close()  # on its thread: memory of the device is freed on no other
        raise
    return opened


def open_early(bundle: Bundle, chosen: Chosen, *, threads: int | None = None) -> EarlyPass | None:
    """Opens the first stage of a choice, like `open_chosen`; None where it has none."""
    first = chosen.first
    if first is None:
        return None
    stage = Chosen(first.engine, first.artefact, first.compute)
    return EarlyPass(open_chosen(bundle, stage, threads=threads), first.margins, first.identity)


def run_empty(engine: Engine, shape: GraphShape) -> None:
    """Runs an engine on an empty image; raises EngineError when it fails."""
    engine.infer(np.zeros((shape.batch, shape.height, shape.width, 3), dtype=np.uint8))
