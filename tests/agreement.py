"""What must be true of a ledger in the end, whatever happened to its processes.

1. Everything that was ordered is decided, committed and learned; no role has halted, and nobody is accused.
2. Both stores hold the same versions of the same records, bit for bit, and so does the learner.
3. The learner's requests are those that were acknowledged, each once, with the outcome that its client was
   given; and executing them by a plain model, in their order, gives the records there are.
"""

from collections.abc import Sequence
from functools import partial

from deploy.initialize import AUDITOR, LEDGER
from schemas.topics import EVIDENCE
from storage.ports import Version
from tests.background_load import CONTRACTS, BackgroundLoad
from tests.bank_model import BankModel
from tests.pipeline import Pipeline, await_that


def check_agreement(pipeline: Pipeline, load: BackgroundLoad) -> None:
    """Require all of it, once everything has come to rest."""
    await_rest(pipeline)
    check_nobody_halted(pipeline)
    check_nobody_is_accused(pipeline)
    check_same_records(pipeline)
    check_decided_once(pipeline, load)
    check_balances(pipeline, load.money)


def await_rest(pipeline: Pipeline) -> None:
    """Wait until the last batch that was ordered is decided, committed and learned."""
    blocks = pipeline.deployment.epochs().latest.block_updates

    def at_rest() -> bool:
        ordered = pipeline.ordered()
        sequence = ordered.sequence
        committed, learned = pipeline.committed().sequence, pipeline.views().health()["sequence"]
        return ordered.decided == committed == learned == sequence and (sequence + 1) % blocks == 0

    await_that("everything ordered is decided and learned", at_rest)


def check_nobody_halted(pipeline: Pipeline) -> None:
    """Every role runs, its standby too where there is one, and one of them says that it is active.

    One that was started a moment ago may still be on its way: nobody needs a replica's piece to come to rest.
    """
    for role in pipeline.deployment.roles():
        await_that(f"{role} is active", partial(_is_active, pipeline, role))
        for name in pipeline.processes(role):
            assert pipeline.runs(name), f"{name} does not run"


def _is_active(pipeline: Pipeline, role: str) -> bool:
    said = pipeline.said(role)
    assert said.get("state") != "halted", f"{role}: {said}"
    return said.get("state") == "active"


def check_nobody_is_accused(pipeline: Pipeline) -> None:
    """No evidence was raised, and none can be made out of rubbish that the test itself has sent."""
    assert pipeline.evidence() == []
    assert pipeline.extents()[EVIDENCE, 0].end == pipeline.rubbish_evidence


def check_same_records(pipeline: Pipeline) -> None:
    """Auditor, Ledger and learner hold the same versions of everything."""
    auditor, ledger = pipeline.versions(AUDITOR), pipeline.versions(LEDGER)
    for version in auditor.keys() | ledger.keys():
        assert auditor.get(version) == ledger.get(version), f"{version}: the parties' stores differ"
    learned = {
        Version((str(namespace), str(key)), int(str(version))): tuple(rest)  # type: ignore[arg-type]
        for namespace, key, version, *rest in pipeline.pages(
            'SELECT namespace, key, version, deleted, value, record_hash, sequence, "index" FROM history',
            ("namespace", "key", "version"),
        )
    }
    held = {
        version: (
            record.deleted,
            None if record.deleted else record.value.decode(),
            record.record_hash.hex(),
            record.writer_sequence,
            record.writer_index,
        )
        for version, record in auditor.items()
    }
    for version in held.keys() | learned.keys():
        assert held.get(version) == learned.get(version), f"{version}: the learner's view differs"


def check_decided_once(pipeline: Pipeline, load: BackgroundLoad) -> None:
    """What was decided is what was acknowledged, once each; and the model agrees with every outcome."""
    assert load.unanswered == [], "requests without an answer"
    assert load.rejected == [], "requests that were turned away"
    acknowledged = {answer.request_id.hex(): answer for answer in load.answers}
    assert len(acknowledged) == len(load.answers)
    wanted = ", ".join(f"'{name}'" for name in CONTRACTS)
    decided = pipeline.pages(
        f'SELECT request_id, sequence, "index", status, code FROM requests WHERE contract IN ({wanted}) '
        "AND argument::VARCHAR NOT LIKE '%probe/%'",
        ("sequence", "index"),
    )
    assert len(decided) == len({row[0] for row in decided}), "a request was decided twice"
    shown = {str(row[0]): row[1:] for row in decided}
    assert shown.keys() == acknowledged.keys()
    for request_id, answer in acknowledged.items():
        assert shown[request_id] == (answer.sequence, answer.index, answer.status, answer.code)
    model = BankModel()
    for answer in sorted(load.answers, key=lambda each: (each.sequence, each.index)):
        expected = model.execute(answer.contract, answer.argument)
        assert (answer.status, answer.output) == expected, f"sequence {answer.sequence}, index {answer.index}"
    shown_records = pipeline.pages("SELECT namespace, key, value FROM records", ("namespace", "key"))
    assert model.records() == _records(shown_records)


def _records(rows: Sequence[tuple[object, ...]]) -> dict[tuple[str, str], str]:
    """Current values of what the load may have written."""
    return {
        (str(namespace), str(key)): str(value)
        for namespace, key, value in rows
        if namespace != "sys" and not str(key).startswith("probe/")
    }


_MOVED = """
SELECT sequence, sum(balance - before) AS moved FROM (
    SELECT sequence, (value ->> 'balance')::BIGINT AS balance,
        coalesce(lag((value ->> 'balance')::BIGINT) OVER (PARTITION BY key ORDER BY version), 0) AS before
    FROM history WHERE namespace = 'bank') GROUP BY sequence
"""


def check_balances(pipeline: Pipeline, money: int) -> None:
    """No sequence but those that opened the accounts made or lost money."""
    opened = "SELECT DISTINCT sequence FROM requests WHERE contract = 'account.open'"
    (row,) = pipeline.views().query(f"SELECT sum(moved) FROM ({_MOVED}) WHERE sequence IN ({opened})").rows
    assert int(str(row[0])) == money
    rows = pipeline.views().query(f"SELECT * FROM ({_MOVED}) WHERE moved <> 0 AND sequence NOT IN ({opened})").rows
    assert rows == (), "sequences that made or lost money"
