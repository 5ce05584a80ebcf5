"""Finding what has to stay in FP32, by measurement."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Keeps = Callable[[frozenset[str]], bool]

SINGLES = 4


def largest_kept(nodes: Sequence[str], keeps: Keeps, singles: int = SINGLES) -> frozenset[str]:
    """The nodes that can leave FP32 together.

    Bisection finds the first node, in topological order, with which the result is no longer kept.
    It stays in FP32 and the search goes on behind it; after `singles` such nodes the error is taken
    to add up, and all that follows stays.

    Args:
        nodes: those that may leave, in topological order.
        keeps: whether the result is kept when exactly these nodes leave. It is never asked about
            none, and its answer to the returned set was yes.

    Returns:
        what leaves; empty when nothing can.
    """
    held: set[str] = set()
    while True:
        if keeps(frozenset(nodes) - held):
            return frozenset(nodes) - held
        good = _longest_prefix(nodes, held, keeps)
        if len(held) == singles or good + 1 >= len(nodes):
            return frozenset(nodes[:good]) - held
        held.add(nodes[good])
        if held.issuperset(nodes):
            return frozenset()


def _longest_prefix(nodes: Sequence[str], held: set[str], keeps: Keeps) -> int:
    """How many nodes can leave from the front, those of `held` excepted; all of them cannot."""
    good, bad = 0, len(nodes)
    while bad - good > 1:
        middle = (good + bad) // 2
        leaving = frozenset(nodes[:middle]) - held
        if not leaving or keeps(leaving):
            good = middle
        else:
            bad = middle
    return good


def ranked_fall_back(
    nodes: Sequence[str], keeps: Keeps, effect: Callable[[str], float]
) -> frozenset[str]:
    """Return nodes to FP32 one by one, those of the largest effect first, until it is kept.

    Args:
        nodes: those that may leave FP32, but not all together.
        keeps: see `largest_kept`.
        effect: how much one node does when it leaves alone.

    Returns:
        what leaves; empty when less than half of the nodes could.
    """
    ranked = sorted(nodes, key=effect)
    while len(ranked) > (len(nodes) + 1) // 2:
        ranked.pop()
        if keeps(frozenset(ranked)):
            return frozenset(ranked)
    return frozenset()
