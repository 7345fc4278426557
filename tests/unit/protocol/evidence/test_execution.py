"""When executing again convicts, and when the file or the verifier falls short."""

from dataclasses import replace

import pytest

from protocol.contracts.calls import Batch, Execution, Fetch, Rejected
from protocol.evidence import build
from protocol.evidence.execution import RESOURCES_FACTOR, widened
from protocol.evidence.verdicts import AUDITOR, LEDGER, CannotJudgeError, Finding
from protocol.evidence.verify import verify_evidence
from protocol.hashing import tagged
from protocol.limits import Limits
from protocol.records import RecordKey
from schemas.exhibit import Leaf, ShownRecord
from schemas.outcome import Outcome
from tests.gallery import GALLERY
from tests.gallery.hanging import (
    A,
    alter_entry,
    alter_outcome,
    engine,
    judge,
    part_of,
    result_of,
    started,
    with_another,
    with_part,
)
from tests.gallery.outcomes import execution, lie_about_output

EXECUTIONS = [name for name in GALLERY if name.startswith("wrong_output")]


@pytest.mark.parametrize("name", EXECUTIONS)
def test_nothing_may_be_missing_or_superfluous(name: str) -> None:
    """Without any one of its parts, or with one of them twice, the file proves nothing."""
    shown = GALLERY[name]()
    for part in shown.evidence.parts:
        kept = replace(shown.evidence, parts=tuple(p for p in shown.evidence.parts if p is not part))
        assert judge(kept, shown.epochs).finding is Finding.NOTHING, part.name
        twice = with_another(shown.evidence, part.name, part.data)
        assert judge(twice, shown.epochs).finding is Finding.NOTHING, part.name


@pytest.mark.parametrize("name", EXECUTIONS)
def test_a_foreign_pin_or_record_is_superfluous(name: str) -> None:
    """A pin or record of something that the request did not read."""
    shown = GALLERY[name]()
    world = started()
    other = RecordKey("object", "z")
    record = world.auditor.record(A)
    foreign = (
        ("record", build.record_part(other, record)),
        ("pin", build.decided_leaf_part(world.decisions[0], 1)),
    )
    for part in foreign:
        if part[1] in [p.data for p in shown.evidence.parts]:
            continue
        assert judge(with_another(shown.evidence, *part), shown.epochs).finding is Finding.NOTHING


def test_a_record_must_have_the_hash_of_its_pin() -> None:
    """Another value, with which another outcome would come out."""
    shown = GALLERY["wrong_output_of_the_ledger"]()
    record = ShownRecord.from_bytes(part_of(shown.evidence, "record"))
    for altered in (
        replace(record, value=b"9"),
        replace(record, version=1),
        replace(record, key="b"),
        replace(record, request_id=bytes(32)),
        replace(record, deleted=True, value=b""),
        replace(record, deleted=True),
        replace(record, version=-1),
    ):
        evidence = with_part(shown.evidence, "record", altered.to_bytes())
        assert judge(evidence, shown.epochs).finding is Finding.NOTHING


def test_a_pin_must_be_of_the_place_that_the_entry_names() -> None:
    """The version before, with its own true pin."""
    shown, world = GALLERY["wrong_output_of_the_ledger"](), started()
    older = build.record_part(A, world.auditor.history[A][0])
    evidence = with_part(shown.evidence, "record", older)
    assert judge(evidence, shown.epochs).finding is Finding.NOTHING
    evidence = with_part(evidence, "pin", build.decided_leaf_part(world.decisions[0], 0))
    assert judge(evidence, shown.epochs).finding is Finding.NOTHING


def test_an_older_version_must_chain_to_the_newer_one() -> None:
    """A history made up by the accuser."""
    shown = GALLERY["wrong_output_of_a_history_of_the_ledger"]()
    parts = list(shown.evidence.parts)
    for index, part in enumerate(parts):
        if part.name == "record" and ShownRecord.from_bytes(part.data).version == 2:
            record = replace(ShownRecord.from_bytes(part.data), value=b"9")
            parts[index] = part._replace(data=record.to_bytes())
    evidence = replace(shown.evidence, parts=tuple(parts))
    assert evidence != shown.evidence
    assert judge(evidence, shown.epochs).finding is Finding.NOTHING


def test_pins_of_the_same_batch_need_both_roots() -> None:
    """What only one of the two signed pins nothing: with it, that one would choose the pre-state."""
    world = started()
    order, update, result, index = lie_about_output(world, "ledger", world.put("a", 3), world.get("a"))
    writes = Outcome.from_bytes(result.outcomes[0]).writes
    forged_writes = (writes[0]._replace(record_hash=tagged("record", b"forged")),)
    forged = alter_outcome(result.outcomes, 0, writes=forged_writes)
    lying = world.restate(result, forged)
    shown = execution(world, order, update, lying, index, LEDGER)
    assert judge(shown.evidence, shown.epochs).finding is Finding.NOTHING
    only_one = with_part(shown.evidence, "auditor pin", part_of(shown.evidence, "ledger pin"))
    assert judge(only_one, shown.epochs).finding is Finding.NOTHING


def test_a_pin_of_the_same_batch_is_earlier() -> None:
    """A leaf does not pin what it read itself."""
    shown = GALLERY["wrong_output_on_what_the_batch_wrote_of_the_ledger"]()
    leaf = Leaf.from_bytes(part_of(shown.evidence, "ledger leaf"))
    later = with_part(shown.evidence, "ledger pin", leaf.to_bytes())
    later = with_part(later, "auditor pin", part_of(shown.evidence, "auditor leaf"))
    assert judge(later, shown.epochs).finding is Finding.NOTHING


def test_both_signed_the_same() -> None:
    """No dispute, no verdict; and leaves of two entries are no dispute either."""
    world = started()
    requests = (world.get("a"), world.get("b"))
    order, update = world.order(*requests)
    result = world.commit(order, requests)
    honest = execution(world, order, update, result, 0, LEDGER)
    assert judge(honest.evidence, world.epochs).finding is Finding.NOTHING
    crossed = with_part(honest.evidence, "ledger leaf", build.leaf_part(result.outcomes, 1))
    assert judge(crossed, world.epochs).finding is Finding.NOTHING


def test_a_statement_about_another_order_is_no_dispute() -> None:
    """Two batches that both parties decided alike, one statement of each."""
    world = started()
    requests = (world.get("a"),)
    order, update = world.order(*requests)
    result = world.commit(order, requests)
    before = world.decisions[1]
    shown = execution(world, order, update, result, 0, LEDGER).evidence
    shown = with_part(shown, "ledger statement", build.ledger_part(world.restate(result, before.outcomes)))
    other = with_part(shown, "auditor statement", build.auditor_part(before.signed))
    other = with_part(other, "auditor leaf", build.leaf_part(before.outcomes, 0))
    assert judge(other, world.epochs).finding is Finding.NOTHING


@pytest.mark.parametrize("other", ["ledger", "auditor"])
def test_each_statement_is_about_the_order_shown(other: str) -> None:
    """An honest statement about an earlier order, with its own honest leaf, is no other outcome of this one."""
    world = started()
    requests = (world.get("a"),)
    order, update = world.order(*requests)
    result = world.commit(order, requests)
    before = world.decisions[1]
    shown = execution(world, order, update, result, 0, LEDGER).evidence
    statements = {"ledger": build.ledger_part(result_of(before)), "auditor": build.auditor_part(before.signed)}
    mixed = with_part(shown, f"{other} statement", statements[other])
    mixed = with_part(mixed, f"{other} leaf", build.leaf_part(before.outcomes, 0))
    assert judge(mixed, world.epochs).finding is Finding.NOTHING


def test_neither_comes_out() -> None:
    """Both lie, or this verifier errs: nobody is named."""
    world = started()
    order, update, result, index = lie_about_output(world, "auditor", world.get("a"))
    other = world.restate(result, alter_outcome(result.outcomes, 0, output_hash=tagged("output", b"3")))
    shown = execution(world, order, update, other, index, LEDGER)
    assert judge(shown.evidence, shown.epochs).finding is Finding.CANNOT_JUDGE


def test_an_entry_that_lies_convicts_the_auditor_first() -> None:
    """Reads or writes other than the entry's, whatever the outcomes say."""
    world = started()
    order, update, result, index = lie_about_output(world, "ledger", world.put("a", 3))
    extra = world.reorder(order, alter_entry(order, 0, writes=()))
    restated = world.restate(result, order_hash=tagged("order", extra.header))
    own = world.restate(result, update.outcomes, order_hash=tagged("order", extra.header))
    lying_update = replace(update, statement=own.statement)
    shown = execution(world, extra, lying_update, restated, index, AUDITOR)
    verdict = judge(shown.evidence, shown.epochs)
    assert (verdict.finding, verdict.culprit) == (Finding.GUILTY, AUDITOR)


# --- The verifier ---


class IdleEngine:
    """An engine that executes nothing, or more than it was asked for."""

    def __init__(self, count: int) -> None:
        self.version, self.answers = engine().version, engine().answers
        self._count = count

    def execute(self, batch: Batch, fetch: Fetch, limits: Limits) -> tuple[Execution | Rejected, ...]:
        return engine().execute(batch, fetch, limits) * self._count


@pytest.mark.parametrize("count", [0, 2])
def test_one_request_has_one_result(count: int) -> None:
    """A verifier whose engine gives another number of them judges nobody."""
    shown = GALLERY[EXECUTIONS[0]]()
    for idle, finding in ((IdleEngine(1), Finding.GUILTY), (IdleEngine(count), Finding.CANNOT_JUDGE)):
        assert verify_evidence(shown.evidence.to_bytes(), shown.epochs.ledger_id, idle).finding is finding


class OtherEngine:
    """An engine that is not the epoch's, or breaks down."""

    def __init__(self, version: str = "", answers: bytes = b"", fails: Exception | None = None) -> None:
        self.version = version or engine().version
        self.answers = answers or engine().answers
        self._fails = fails

    def execute(self, batch: Batch, fetch: Fetch, limits: Limits) -> tuple[Execution | Rejected, ...]:
        if self._fails:
            raise self._fails
        if self.version != engine().version or self.answers != engine().answers:
            return engine().execute(batch, fetch, limits)
        return (Rejected(code="contract.resources", final=True),)


@pytest.mark.parametrize(
    "other",
    [
        None,
        OtherEngine(version="another"),
        OtherEngine(answers=bytes(32)),
        OtherEngine(fails=CannotJudgeError("exhausted")),
        OtherEngine(fails=KeyError("owner")),
        OtherEngine(),
    ],
    ids=["none", "another version", "other answers", "exhausted", "breaks down", "rejects"],
)
def test_another_engine_cannot_judge(other: OtherEngine | None) -> None:
    """A verifier that cannot repeat the execution judges nobody."""
    for name in EXECUTIONS:
        shown = GALLERY[name]()
        verdict = verify_evidence(shown.evidence.to_bytes(), shown.epochs.ledger_id, other)
        assert verdict.finding is Finding.CANNOT_JUDGE


def test_wider_bounds_change_no_outcome() -> None:
    """Only what bounds resources is widened; what makes outcomes is the epoch's."""
    limits = Limits()
    wide = widened(limits)
    changed = {name for name, value in wide.to_mapping().items() if value != limits.to_mapping()[name]}
    assert changed == {"contract_steps", "contract_memory_bytes", "contract_cpu_ms"}
    for name in changed:
        assert getattr(wide, name) == RESOURCES_FACTOR * getattr(limits, name)
    assert 2 * limits.resources_factor == RESOURCES_FACTOR, "the Ledger's are half as wide"
