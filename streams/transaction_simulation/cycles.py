"""Cycles in a graph of steps: strongly connected components (Tarjan 1972, without recursion), and the shortest
cycle within one.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from streams.transaction_simulation.history import Item


class Edge(NamedTuple):
    """Why a transaction must come before another.

    Attributes:
        kind: "ww" overwrote, "wr" saw, "rw" was not seen by, "rt" had ended before the other began.
    """

    source: str
    target: str
    kind: str
    item: Item | None = None

    def __str__(self) -> str:
        match self.kind:
            case "ww":
                return f"{self.target} overwrote what {self.source} left in {self.item}"
            case "wr":
                return f"{self.target} saw what {self.source} left in {self.item}"
            case "rw":
                return f"{self.source} did not see what {self.target} left in {self.item}"
            case _:
                return f"{self.target} began after {self.source} had ended"


Step = tuple[Edge, ...]
"""One or more edges that count as one step: each begins where the one before ends."""

Graph = Mapping[str, Sequence[Step]]
"""The steps that begin at each node."""


def graph_of(steps: Iterable[Step]) -> Graph:
    """The graph that these steps make."""
    graph: dict[str, list[Step]] = {}
    for step in steps:
        graph.setdefault(step[0].source, []).append(step)
    return graph


def find_cycle(graph: Graph) -> tuple[Edge, ...] | None:
    """A shortest cycle of the first component that has one, as its edges; None if there is none."""
    for component in components(graph):
        cycle = _shortest(graph, component)
        if cycle is not None:
            return cycle
    return None


def components(graph: Graph) -> list[list[str]]:
    """The strongly connected components among the nodes that have steps, each before those that lead to it."""
    numbers: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    stacked: set[str] = set()
    found: list[list[str]] = []
    for root in graph:
        if root in numbers:
            continue
        path = [(root, 0)]
        while path:
            node, position = path.pop()
            if position == 0:
                numbers[node] = lowest[node] = len(numbers)
                stack.append(node)
                stacked.add(node)
            steps = graph.get(node, ())
            if position:
                lowest[node] = min(lowest[node], lowest[steps[position - 1][-1].target])
            for index in range(position, len(steps)):
                target = steps[index][-1].target
                if target not in numbers:
                    path += [(node, index + 1), (target, 0)]
                    break
                if target in stacked:
                    lowest[node] = min(lowest[node], numbers[target])
            else:
                if lowest[node] == numbers[node]:
                    found.append(_unstack(node, stack, stacked))
    return found


def _unstack(node: str, stack: list[str], stacked: set[str]) -> list[str]:
    component = [stack.pop()]
    while component[-1] != node:
        component.append(stack.pop())
    stacked.difference_update(component)
    return component


def _shortest(graph: Graph, component: list[str]) -> tuple[Edge, ...] | None:
    """A shortest cycle within a component."""
    members = set(component)
    best: list[Step] | None = None
    for start in component:
        cycle = _shortest_from(graph, members, start)
        if cycle is not None and (best is None or len(cycle) < len(best)):
            best = cycle
        if best is not None and len(best) == 1:
            break
    return None if best is None else tuple(edge for step in best for edge in step)


def _shortest_from(graph: Graph, members: set[str], start: str) -> list[Step] | None:
    """A shortest way from a node back to itself, breadth first."""
    came_by: dict[str, Step] = {}
    queue = deque([start])
    while queue:
        node = queue.popleft()
        for step in graph.get(node, ()):
            target = step[-1].target
            if target == start:
                way = [step]
                while way[0][0].source != start:
                    way.insert(0, came_by[way[0][0].source])
                return way
            if target in members and target not in came_by:
                came_by[target] = step
                queue.append(target)
    return None
