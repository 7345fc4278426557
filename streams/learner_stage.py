"""A learner's process: rebuilds the journal from pieces into views, and answers queries over them."""

from learners.learner import LearnerMachine
from storage.effects import Append, Appended, Halt, LoadPosition, PositionLoaded
from storage.views import Views
from streams.clock import now_ms
from streams.learner_process import FollowerProcess
from streams.stage import run_stages


def run_learner(process: FollowerProcess, views: Views) -> Halt | None:
    """Learn until told to stop (None) or until the machine halts.

    Args:
        process: of this learner.
        views: where the rows go, with the position behind them.
    """

    def load(_: LoadPosition) -> PositionLoaded:
        return PositionLoaded(now_ms=now_ms(), position=views.position())

    def append(effect: Append) -> Appended:
        views.append(effect.rows, effect.position)
        return Appended(now_ms=now_ms())

    process.performers.update({LoadPosition: load, Append: append})
    return run_stages([process.stage("learn", lambda: LearnerMachine(epochs=process.epochs))], process.stop)
