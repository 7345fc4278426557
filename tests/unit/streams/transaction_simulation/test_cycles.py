"""Components and shortest cycles, against a slow twin, and on graphs too deep for recursion."""

from hypothesis import given
from hypothesis import strategies as st

from streams.transaction_simulation.cycles import Edge, components, find_cycle, graph_of

NODES = "abcdef"
EDGES = st.lists(st.tuples(st.sampled_from(NODES), st.sampled_from(NODES)), max_size=14)


def steps_of(edges: list[tuple[str, str]]) -> list[tuple[Edge, ...]]:
    """Each edge as a step of its own."""
    return [(Edge(source, target, "ww"),) for source, target in edges]


def reached(edges: list[tuple[str, str]], start: str) -> dict[str, int]:
    """How many edges away each node is that can be reached, by looking again and again."""
    distances: dict[str, int] = {}
    frontier, distance = {start}, 0
    while frontier:
        distance += 1
        frontier = {target for source, target in edges if source in frontier} - distances.keys()
        distances.update(dict.fromkeys(frontier, distance))
    return distances


@given(EDGES)
def test_components_are_what_reaches_one_another(edges: list[tuple[str, str]]) -> None:
    """Two nodes are in one component exactly where each reaches the other."""
    found = components(graph_of(steps_of(edges)))
    names = {name for edge in edges for name in edge}
    assert sorted(name for component in found for name in component) == sorted(names)
    place = {name: index for index, component in enumerate(found) for name in component}
    for one in names:
        for other in names - {one}:
            together = other in reached(edges, one) and one in reached(edges, other)
            assert (place[one] == place[other]) == together


@given(EDGES)
def test_a_shortest_cycle_of_its_component_is_found(edges: list[tuple[str, str]]) -> None:
    """There is one exactly where a node reaches itself; it is closed, made of the graph's edges, and not longer."""
    cycle = find_cycle(graph_of(steps_of(edges)))
    lengths = {name: reached(edges, name)[name] for name in NODES if name in reached(edges, name)}
    assert (cycle is None) == (not lengths)
    if cycle is not None:
        assert all(edge.target == after.source for edge, after in zip(cycle, (*cycle[1:], cycle[0]), strict=True))
        assert all((edge.source, edge.target) in edges for edge in cycle)
        within = {edge.source for edge in cycle}
        assert len(cycle) == min(lengths[name] for name in within)


def test_a_deep_graph_needs_no_recursion() -> None:
    """A chain of 50,000 has no cycle; closed, it is one."""
    chain = [(f"{number}", f"{number + 1}") for number in range(50_000)]
    assert find_cycle(graph_of(steps_of(chain))) is None
    assert len(components(graph_of(steps_of([*chain, ("50000", "0")])))) == 1


def test_steps_of_several_edges_are_taken_whole() -> None:
    """A step from a over b back to a is a cycle, and its edges are told; b alone is not on a way of its own."""
    around = (Edge("a", "b", "ww"), Edge("b", "a", "rw"))
    assert find_cycle(graph_of([around])) == around
    assert find_cycle(graph_of([(Edge("a", "b", "ww"), Edge("b", "c", "rw")), (Edge("b", "a", "ww"),)])) is None
