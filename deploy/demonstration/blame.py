"""Waiting until the learner has named the replica that lies."""

import time

from deploy.deployment import Deployment
from deploy.judge import collect_evidence
from protocol.errors import CountersignError
from protocol.evidence.verdicts import Finding

_DEADLINE_S = 60.0
_LOOK_S = 0.2


def await_named_replica(deployment: Deployment, expected: int) -> int:
    """The replica that checkable evidence names.

    Raises:
        CountersignError: `evidence.missing`, none was named in time, or another than the one that lies.
    """
    deadline = time.monotonic() + _DEADLINE_S
    named: set[int] = set()
    while time.monotonic() < deadline:
        for judged in collect_evidence(deployment.home):
            culprit = judged.verdict.culprit
            if (
                judged.verdict.finding is Finding.GUILTY
                and culprit is not None
                and culprit.replica is not None
            ):
                named.add(culprit.replica)
        if named:
            break
        time.sleep(_LOOK_S)
    if named != {expected}:
        raise CountersignError("evidence.missing", f"replicas named: {sorted(named)}")
    return expected
