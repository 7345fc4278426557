"""Contracts that want too much, or what is not theirs: an outcome or a rejection that both parties agree on, the next
request is served, and nobody is accused. What would take a process down is tried on the real executor, whose child
processes are bounded: `tests/unit/streams/test_executor_traps.py`.
"""


import pytest

from protocol.canonical_json import loads
from protocol.limits import Limits
from protocol.requests import OpenedRequest
from streams.executor import InProcessExecutor
from tests.attacks.line import Line

WRITER = """
def execute(argument):
    put(argument["namespace"], "mine", 1)
"""
THIEF = """
def execute(argument):
    invoke("writer/1", {"namespace": argument["namespace"]})
"""
FOREVER = """
def execute(argument):
    for i in range(1000000000):
        pass
"""
GREEDY = """
def execute(argument):
    for i in range(1000000):
        put("object", str(i), i)
"""
LONG = """
def execute(argument):
    for i in range(50000):
        pass
"""
WORDY = """
def execute(argument):
    for i in range(60):
        put("object", argument + str(i), i)
"""
RECURSIVE = """
def execute(argument):
    return invoke("recursive/1", argument)
"""


def enrol(line: Line, entity: str, rights: list[str]) -> OpenedRequest:
    """A request that registers an entity which may do more than ask."""
    plain = line.clients.enrol(entity)
    argument = {**loads(plain.body.argument), "rights": rights}  # type: ignore[dict-item]
    return line.clients.request("sys.entity.register", argument)


def started() -> Line:
    """A line where eve has registered contracts, beside those of the administrator."""
    line = Line()
    line.ask(enrol(line, "eve", ["contract.register"]))
    line.put("victim", 1)
    for name, source in {
        "writer": WRITER,
        "thief": THIEF,
        "forever": FOREVER,
        "greedy": GREEDY,
        "wordy": WORDY,
        "recursive": RECURSIVE,
    }.items():
        argument = {"contract": name, "source": source, "version": 1}
        owner = "admin" if name in ("greedy", "wordy") else "eve"  # these two write `object`
        line.ask(line.clients.request("sys.contract.register", argument, owner))
    line.run()
    line.check_honest()
    return line


@pytest.fixture(scope="module")
def line() -> Line:
    return started()


@pytest.mark.parametrize("contract", ["writer", "thief"])
@pytest.mark.parametrize("namespace", ["object", "bank", "sys"])
def test_a_foreign_namespace_is_not_written(line: Line, contract: str, namespace: str) -> None:
    """Directly or through `invoke`; `sys` is written by built-ins only. Both parties sign that it failed."""
    before = line.records(line.auditor).keys()
    request = line.clients.request(contract, {"namespace": namespace}, "eve")
    line.ask(request)
    line.run()
    line.check_honest()
    receipt = line.receipts()[request.request_id]
    assert (receipt.status, receipt.code) == ("failed", "namespace.foreign")
    assert line.records(line.auditor).keys() == before


def test_a_built_in_is_not_invoked_for_another(line: Line) -> None:
    """A contract cannot register a key through the registry in its caller's name."""
    source = 'def execute(argument):\n    invoke("sys.key.revoke/1", {"entity": "admin", "key_version": 1})\n'
    register = line.clients.request("sys.contract.register", {"contract": "revoker", "source": source, "version": 1})
    line.ask(register)
    line.run()
    request = line.clients.request("revoker", {})
    line.ask(request)
    line.run()
    line.check_honest()
    assert line.receipts()[request.request_id].status == "failed"
    asked = line.get("victim")
    line.run()
    assert line.receipts()[asked.request_id].ok, "the key was not revoked"


@pytest.mark.parametrize(
    ("contract", "code"),
    [("greedy", "contract.records"), ("recursive", "contract.value")],
)
def test_a_contract_that_wants_too_much_fails_alike(line: Line, contract: str, code: str) -> None:
    request = line.clients.request(contract, {})
    line.ask(request)
    asked = line.get("victim")
    line.run()
    line.check_honest()
    receipt = line.receipts()[request.request_id]
    assert (receipt.status, receipt.code) == ("failed", code)
    assert line.receipts()[asked.request_id].ok


def test_a_contract_without_end_is_rejected_and_the_next_request_served(line: Line) -> None:
    """Exhaustion is never an outcome: it is turned away before anything is ordered."""
    request, asked = line.clients.request("forever", {}), line.clients.get("victim")
    line.ask(request, asked)
    line.run()
    line.check_honest()
    assert line.code_of(request) == "contract.resources"
    assert line.receipts()[asked.request_id].ok


def test_names_without_end_make_no_message_that_is_too_long() -> None:
    """Written ones count, in bytes: such batches are shorter. Like a broker, the log refuses what is too long."""
    line = started()
    requests = [line.clients.request("wordy", "\U0001f511" * 250 + f"{number}/") for number in range(48)]
    line.ask(*requests)
    line.run(30_000)
    line.check_honest()
    receipts = line.receipts()
    assert all(receipts[request.request_id].ok for request in requests)
    assert len({receipts[request.request_id].sequence for request in requests}) > 2


def test_a_ledger_that_an_order_exhausts_halts_accuses_nobody_and_goes_on_with_more() -> None:
    """Though its bounds are wider: then its machine is worse than the Auditor's, which proves nothing."""
    line = started()
    enough, line.ledger.executor = line.ledger.executor, InProcessExecutor(Limits(contract_steps=1))
    asked = line.get("victim")
    line.run()
    assert line.halts() == {"commit": "resources.exceeded"}
    line.check_nobody_accused()
    line.ledger.executor = enough
    line.stages["commit"].crash()
    line.run()
    line.check_honest()
    assert line.receipts()[asked.request_id].ok
