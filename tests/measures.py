"""What the processes of a whole pipeline say of themselves: made up, under the names of the real ones."""

from collections.abc import Iterator, Mapping

from schemas.feed import Measure, Metrics

REPLICAS = 4
REQUESTS_PER_S = 500
BATCHES_PER_S = 10


class MeasuredLine:
    """Processes that work at an even pace, and say so once a second.

    Attributes:
        more: further measures by role; they replace the even ones.
        without: measures that a role does not have, by role.
        silent: roles that say nothing.
    """

    def __init__(self) -> None:
        self.second = 0
        self.more: dict[str, dict[str, float]] = {}
        self.without: dict[str, set[str]] = {}
        self.silent: set[str] = set()

    def say(self, at_ms: int) -> Iterator[Metrics]:
        """What everybody says at the next second."""
        self.second += 1
        for role, values in self._values().items():
            if role not in self.silent:
                said = {**values, **self.more.get(role, {})}
                for name in self.without.get(role, ()):
                    said.pop(name)
                measures = tuple(Measure(name, float(value)) for name, value in sorted(said.items()))
                yield Metrics(role=role, instance=f"pid of {role}", at_ms=at_ms, values=measures)

    def _values(self) -> Mapping[str, Mapping[str, float]]:
        requests, batches = REQUESTS_PER_S * self.second, BATCHES_PER_S * self.second
        sequence = batches - 1
        process = {
            "process.cpu_us": 250_000 * self.second,
            "process.children_cpu_us": 50_000 * self.second,
            "process.rss_bytes": 80 * 2**20,
            "process.children_rss_bytes": 40 * 2**20,
            "process.threads": 5,
        }
        return {
            "auditor": {**process, **self._of_auditor()},
            "ledger": {
                **process,
                "commit.committed": requests,
                "commit.batches": batches,
                "commit.commit_ms_sum": 12 * batches,
                "commit.gauge_sequence": sequence,
            },
            **{
                f"replica-{index}": {
                    **process,
                    "replica.updates": batches,
                    "replica.blocks": batches / REPLICAS,
                    "replica.published_bytes": 1024 * batches,
                    "replica.gauge_sequence": sequence,
                }
                for index in range(REPLICAS)
            },
            "learner": {**process, "learn.gauge_sequence": sequence, "learn.decodes": batches / REPLICAS},
            "views": {
                **process,
                "views.shown": requests,
                "views.gauge_sequence": sequence,
                "views.gauge_learned_p50_ms": 45,
                "views.gauge_learned_p99_ms": 90,
            },
        }

    def _of_auditor(self) -> Mapping[str, float]:
        requests, batches = REQUESTS_PER_S * self.second, BATCHES_PER_S * self.second
        effects = ("Verify", "Execute", "Apply", "step")
        return {
            **{f"order.{effect}.wall_us": 100_000 * self.second for effect in effects},
            "order.messages_in": requests,
            "order.ordered": requests,
            "order.order_wait_ms_sum": 8 * requests,
            "order.order_wait_count": requests,
            "order.gauge_sequence": batches - 1,
            "order.gauge_undecided": 3,
            "validate.decided": requests,
            "validate.decisions": batches,
            "validate.decide_ms_sum": 30 * batches,
            "validate.gauge_decided": batches - 1,
        }
