"""Search for the nodes that must stay in FP32, by measurement."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Keeps = Callable[[frozenset[str]], bool]

SINGLES = 4


def largest_kept(nodes: Sequence[str], keeps: Keeps, singles: int = SINGLES) -> frozenset[str]:
    """Finds the nodes that can leave FP32 together.

    Bisection finds the first node, in topological order, that takes the result out of the budget.
    It stays in FP32, and the search goes on behind it. After `singles` such nodes the search takes
    the error to add up, and all nodes behind stay.

    Args:
        nodes: those that may leave, in topological order.
        keeps: True when the result keeps the budget with exactly these nodes gone. The search never
            asks about an empty set, and has asked about the returned set.

    Returns:
        the nodes that leave; empty when none can.
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
    """Counts the nodes that can leave from the front without `held`; not all of them can."""
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
    """Takes nodes back to FP32 one by one, the largest effect first, until the budget is kept.

    Args:
        nodes: those that may leave FP32, but not all together.
        keeps: as for `largest_kept`.
        effect: the effect of one node that leaves alone.

    Returns:
        the nodes that leave; empty when fewer than half of them could.
    """
    ranked = sorted(nodes, key=effect)
    while len(ranked) > (len(nodes) + 1) // 2:
        ranked.pop()
        if keeps(frozenset(ranked)):
            return frozenset(ranked)
    return frozenset()
