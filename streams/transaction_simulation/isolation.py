"""What each isolation level promises of a history, checked.

- *Strict serializability*: nothing that must come before what, by versions or in real time, makes a cycle.
- *Snapshot isolation*, as Cerone and Gotsman (2018) characterise it, with the real-time order as that of sessions:
  every cycle has two anti-dependencies (rw) in a row. That forbids Adya's G-SI, and leaves write skew alone.
- *Read committed*: Adya's G0 (cycles of overwriting), G1a, G1b, and G1c (cycles of overwriting and seeing).

Each raises `Anomaly`, in words, and each fails where too little committed for it to say anything.
"""

from collections.abc import Callable, Iterable, Sequence

from streams.transaction_simulation.cycles import Edge, Step, find_cycle, graph_of
from streams.transaction_simulation.dependencies import Sight, edges_of, overwrites, real_time, sights
from streams.transaction_simulation.history import Anomaly, History

_TRIALS_MAX = 2_000
"""Ways to read a history with scans of what came and went that are tried before it is let go."""

Shape = Callable[[Iterable[Edge]], Iterable[Step]]
"""Which steps, made of what must come before what, must not make a cycle."""


def check_strict_serializability(history: History, *, committed_least: int) -> None:
    """Check that the committed transactions could have run one after the other, in real time.

    Raises:
        Anomaly: they could not, or fewer than `committed_least` committed.
    """
    check_enough(history, committed_least)
    cycle = _unavoidable_cycle(history, _every_edge, in_real_time=True)
    if cycle is not None:
        raise Anomaly(_in_words(history, "not strictly serializable", cycle))


def check_snapshot_isolation(history: History, *, committed_least: int) -> None:
    """Check that each committed transaction could have read one snapshot, not older than its begin, and that no two
    at a time wrote one item.

    Raises:
        Anomaly: they could not, or fewer than `committed_least` committed.
    """
    check_enough(history, committed_least)
    cycle = _unavoidable_cycle(history, _single_anti_dependencies, in_real_time=True)
    if cycle is not None:
        raise Anomaly(_in_words(history, "not snapshot isolation", cycle))


def check_read_committed(history: History, *, committed_least: int) -> None:
    """Check that writes and what was seen of them do not go round in a circle.

    Raises:
        Anomaly: they do, or somebody read what never was committed, or fewer than `committed_least` committed.
    """
    check_enough(history, committed_least)
    cycle = _unavoidable_cycle(history, _without_anti_dependencies, in_real_time=False)
    if cycle is not None:
        name = "not read committed (G0)" if {edge.kind for edge in cycle} == {"ww"} else "not read committed (G1c)"
        raise Anomaly(_in_words(history, name, cycle))


def check_enough(history: History, committed_least: int) -> None:
    """Check that a history says anything.

    Raises:
        Anomaly: fewer transactions committed than should have.
    """
    committed = len(history.committed)
    if committed < committed_least:
        raise Anomaly(
            f"only {committed} of {len(history.transactions)} transactions committed, {committed_least} should: "
            "the history shows nothing"
        )


def _every_edge(edges: Iterable[Edge]) -> Iterable[Step]:
    return ((edge,) for edge in edges)


def _without_anti_dependencies(edges: Iterable[Edge]) -> Iterable[Step]:
    return ((edge,) for edge in edges if edge.kind != "rw")


def _single_anti_dependencies(edges: Iterable[Edge]) -> Iterable[Step]:
    """Each dependency, alone and with an anti-dependency after it."""
    edges = tuple(edges)
    after: dict[str, list[Edge]] = {}
    for edge in edges:
        if edge.kind == "rw":
            after.setdefault(edge.source, []).append(edge)
    for edge in edges:
        if edge.kind != "rw":
            yield (edge,)
            yield from ((edge, unseen) for unseen in after.get(edge.target, ()))


# --- Reads that leave open what was seen ---


def _unavoidable_cycle(history: History, shape: Shape, *, in_real_time: bool) -> tuple[Edge, ...] | None:
    """A cycle that is there however the open reads are taken; None if they can be taken so that there is none."""
    base = [*overwrites(history)]
    open_sights: list[tuple[tuple[Edge, ...], ...]] = []
    for sight in dict.fromkeys(sights(history)):
        runs = _possible(history, sight) if in_real_time else sight.runs
        choices = tuple(dict.fromkeys(edges_of(history, sight, run) for run in runs))
        if len(choices) == 1:
            base += choices[0]
        else:
            open_sights.append(choices)
    if in_real_time:
        base += real_time(history.committed)
    return _settle(base, open_sights, shape)


def _possible(history: History, sight: Sight) -> tuple[tuple[int, int], ...]:
    """The runs that real time leaves open, the latest first; if it leaves none, all."""
    versions = history.versions(sight.item)
    reader = history.transactions[sight.reader]

    def ended_before(place: int) -> bool:
        writer = history.transactions.get(versions[place].transaction) if place < len(versions) else None
        return writer is not None and writer.ended_at is not None and writer.ended_at < reader.began_at

    def began_after(place: int) -> bool:
        writer = history.transactions.get(versions[place].transaction)
        return writer is not None and reader.ended_at is not None and writer.began_at > reader.ended_at

    runs = tuple(run for run in sight.runs if not began_after(run[0]) and not ended_before(run[1] + 1))
    return runs[::-1] or sight.runs[::-1]


def _settle(
    base: list[Edge], open_sights: Sequence[tuple[tuple[Edge, ...], ...]], shape: Shape
) -> tuple[Edge, ...] | None:
    """Take every open read so that there is no cycle, the likeliest way first; a cycle if there is no such way.

    A search that would take too long ends as if there were a way: a check never accuses wrongly.
    """
    likeliest = [edge for choices in open_sights for edge in choices[0]]
    cycle = find_cycle(graph_of(shape((*base, *likeliest))))
    if cycle is None or not open_sights:
        return cycle
    trials = _TRIALS_MAX

    def search(edges: list[Edge], rest: Sequence[tuple[tuple[Edge, ...], ...]]) -> tuple[Edge, ...] | None:
        nonlocal trials
        blocked = find_cycle(graph_of(shape(edges)))
        trials -= 1
        if blocked is not None or not rest or trials <= 0:
            return blocked
        for choice in rest[0]:
            blocked = search([*edges, *choice], rest[1:])
            if blocked is None:
                return None
        return blocked

    return search(_with_what_is_forced(base, open_sights, shape), open_sights)


def _with_what_is_forced(
    base: list[Edge], open_sights: Sequence[tuple[tuple[Edge, ...], ...]], shape: Shape
) -> list[Edge]:
    """The base, and the edges of each open read that has one way left which makes no cycle by itself."""
    forced = list(base)
    for choices in open_sights:
        left = [choice for choice in choices if find_cycle(graph_of(shape((*base, *choice)))) is None]
        if len(left) == 1:
            forced += left[0]
    return forced


def _in_words(history: History, what: str, cycle: Sequence[Edge]) -> str:
    names = dict.fromkeys(name for edge in cycle for name in (edge.source, edge.target))
    lines = [f"{what}:", *(f"  {edge.kind}: {edge}" for edge in cycle), "where"]
    lines += [f"  {history.transactions[name]}" for name in names]
    return "\n".join(lines)
