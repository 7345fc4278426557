"""Contracts that fail, trespass, or want more than there is: each gets its code, and both parties live."""

import secrets
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from deploy.initialize import AUDITOR, LEDGER
from protocol.contracts.key_proof import key_proof_input
from protocol.errors import CountersignError
from protocol.signing import SEED_SIZE, SigningKey
from streams.client import Client, RejectedError
from streams.client_receipts import ClientReceipt
from tests.agreement import await_rest, check_nobody_halted, check_nobody_is_accused, check_same_records
from tests.pipeline import Pipeline

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def loop(line: str, before: str = "pass", times: int = 1_000_000) -> str:
    return f"def execute(argument):\n    {before}\n    for i in range({times}):\n        {line}\n"


def returning(expression: str) -> str:
    return f"def execute(argument):\n    return {expression}\n"


EXHAUSTING = {
    "steps": loop("pass", times=10**9),
    "steps of a recursion": "def f(n):\n    return 0 if n == 0 else f(n - 1) + f(n - 1)\n" + returning("f(45)"),
    "a million puts": loop("put('object', 'a', i)"),
    "memory": loop("a = a + a", "a = 'a'", 60),
    "memory at once": returning("len([0] * argument)"),
    "stack": loop("a = [[[[a]]]]", "a = []", 900_000) + "    return len(str(a))\n",
    "time": loop("sorted(range(1000000))", times=1000),
    "squares": loop("a = a * a", "a = 7", 60),
    "great keys": loop("d[1 << i] = i", "d = {}", 40_000) + "    return len(d)\n",
}

FAILING = {
    "failing": ("def execute(argument):\n    fail('no')\n", "contract.failed"),
    "a text with everything": ("def execute(argument):\n    fail('\\0\\n\"' + 'ü' * 3000)\n", "contract.failed"),
    "an error": (returning("1 // 0"), "contract.value"),
    "a float of text": (returning("float('1e400')"), "contract.value"),
    "a great integer": (returning("1 << 60"), "contract.value"),
    "5,000 digits": (returning("int('9' * 5000)"), "contract.value"),
    "a lone surrogate": (returning("chr(0xD800)"), "contract.value"),
    "deep data": (loop("a = [a]", "a = []", 40) + "    return a\n", "contract.value"),
    "recursion": (returning("execute(argument)"), "contract.value"),
    "no such argument": (returning("argument['nothing']"), "contract.value"),
    "too many records": (loop("put('object', 'many/%d' % i, i)", times=65), "contract.records"),
    "a large value": ("def execute(argument):\n    put('object', 'a', 'x' * 33000)\n", "contract.output_too_large"),
    "a large output": (returning("'x' * 300000"), "contract.output_too_large"),
    "the registry": ("def execute(argument):\n    put('sys', 'entity/admin', {})\n", "namespace.foreign"),
    "no namespace": ("def execute(argument):\n    put('nowhere', 'a', 1)\n", "namespace.unknown"),
    "a key that is none": ("def execute(argument):\n    put('object', '', 1)\n", "name.refused"),
}

REFUSED = {
    "2,400 brackets": returning("[" * 2400 + "]" * 2400),
    "a thousand signs": returning("-" * 1000 + "1"),
    "a great float": returning("1e400"),
    "no syntax": "def execute(",
    "no entry": "x = 1\n",
    "a load": "load('x', 'y')\n" + returning("1"),
    "a float": returning("1.5"),
    "a wide line": returning("[" + "1," * 500 + "]"),
}

TRAPS = {**EXHAUSTING, **{name: source for name, (source, _) in FAILING.items()}}


def contract_of(name: str) -> str:
    """The contract a trap is registered as."""
    return "trap-" + "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in name)


@pytest.fixture(scope="module")
def client(ledger: Pipeline) -> Iterator[Client]:
    """The administrator; at the end the ledger is as it should be."""
    before = {party: ledger.stack.supervisor.pid(party) for party in (AUDITOR, LEDGER)}
    with ledger.client() as made:
        yield made
    await_rest(ledger)
    check_nobody_halted(ledger)
    check_nobody_is_accused(ledger)
    check_same_records(ledger)
    assert {party: ledger.stack.supervisor.pid(party) for party in (AUDITOR, LEDGER)} == before


def register(client: Client, contract: str, source: str) -> ClientReceipt:
    return client.execute("sys.contract.register", {"contract": contract, "version": 1, "source": source})


@pytest.fixture(scope="module")
def traps(client: Client) -> dict[str, "Future[ClientReceipt]"]:
    """All traps, called together, an honest request behind each."""
    for name, source in TRAPS.items():
        assert register(client, contract_of(name), source).ok, name
    called: dict[str, Future[ClientReceipt]] = {}
    for name in TRAPS:
        called[name] = client.submit(contract_of(name), 10**9)
        called[f"behind {name}"] = client.submit("object.put", {"key": f"behind/{name}", "value": 1})
    return called


@pytest.mark.parametrize("name", EXHAUSTING)
def test_a_contract_that_exhausts(traps: dict[str, "Future[ClientReceipt]"], name: str) -> None:
    """Rejected before anything is ordered; what was sent behind it is decided."""
    with pytest.raises(RejectedError) as rejected:
        traps[name].result(120)
    assert rejected.value.code == "contract.resources"
    assert traps[f"behind {name}"].result(120).ok


@pytest.mark.parametrize(("name", "code"), [(name, code) for name, (_, code) in FAILING.items()], ids=FAILING.keys())
def test_a_contract_that_fails(traps: dict[str, "Future[ClientReceipt]"], name: str, code: str) -> None:
    """Both parties sign that it failed, with its code and without any effect."""
    receipt = traps[name].result(120)
    assert (receipt.status, receipt.code, receipt.outcome.writes) == ("failed", code, ())
    assert traps[f"behind {name}"].result(120).ok


@pytest.mark.parametrize("source", REFUSED.values(), ids=REFUSED.keys())
def test_a_source_that_is_refused(client: Client, source: str) -> None:
    """It is not registered."""
    name = f"refused-{secrets.token_hex(4)}"
    receipt = register(client, name, source)
    assert (receipt.status, receipt.code) == ("failed", "contract.source_refused")
    with pytest.raises(RejectedError) as rejected:
        client.execute(name, None)
    assert rejected.value.code == "contract.unknown"


def test_what_cannot_be_compiled_is_not_registered(client: Client) -> None:
    """The engine folds constants when it compiles, great ones too."""
    with pytest.raises(RejectedError) as rejected:
        register(client, f"folded-{secrets.token_hex(4)}", returning("len('a' * 1000000000)"))
    assert rejected.value.code == "contract.resources"


def test_batches_of_many_long_names(client: Client) -> None:
    """Names of what is written count, in bytes: decisions of such batches, and pieces of blocks, fit into messages."""
    contract = f"long-{secrets.token_hex(4)}"
    assert register(client, contract, loop("put('object', argument + str(i), i)", times=60)).ok
    called = [client.submit(contract, "\U0001f511" * 250 + f"{number}/") for number in range(120)]
    assert all(answer.result(120).ok for answer in called)


def test_a_stranger_and_what_belongs_to_others(ledger: Pipeline, client: Client) -> None:
    """It has no rights but those it is given, and writes no namespace but its own, through `invoke` neither."""
    name = f"stranger-{secrets.token_hex(4)}"
    key = SigningKey.from_seed("p256", secrets.token_bytes(SEED_SIZE))
    ledger.home.key_file(name, 1).parent.mkdir(parents=True)
    ledger.home.key_file(name, 1).write_bytes(key.to_pem())
    ledger.home.key_file(name, 1).chmod(0o600)
    argument = {"entity": name, "rights": ["contract.register"], **proven(client, name, key)}
    assert client.execute("sys.entity.register", argument).ok
    writing = "def execute(argument):\n    put('object', 'a', argument)\n"
    invoking = "def execute(argument):\n    return invoke('object.put/1', {'key': 'invoked', 'value': argument})\n"
    with ledger.client(name) as stranger:
        assert register(stranger, f"{name}.write", writing).ok
        assert register(stranger, f"{name}.invoke", invoking).ok
        assert code_of(stranger, f"{name}.write", 1) == "namespace.foreign"
        assert code_of(stranger, f"{name}.invoke", 1) == ""  # the owner's contract writes, whoever calls it
        again = {"entity": f"{name}-2", **proven(stranger, f"{name}-2", key)}
        assert code_of(stranger, "sys.entity.register", again) == "right.missing"
        assert code_of(stranger, "sys.namespace.create", {"namespace": "object"}) == "namespace.exists"
        assert code_of(stranger, "sys.namespace.create", {"namespace": "sys"}) == "name.refused"
        unproven = {"entity": f"{name}-3", **proven(client, "another", key)}
        assert code_of(client, "sys.entity.register", unproven) == "key.unproven"


def proven(client: Client, entity: str, key: SigningKey) -> dict[str, str]:
    """A public key with the proof that its private half is at hand."""
    algorithm, public = key.public_key
    proof = key.sign(key_proof_input(client.epochs.ledger_id, entity, 1, algorithm, public))
    return {"algorithm": algorithm, "public_key": public.hex(), "proof": proof.hex()}


def code_of(client: Client, contract: str, argument: Any) -> str:
    """The code with which a call fails or is rejected, empty if it is neither."""
    try:
        return client.execute(contract, argument).code
    except CountersignError as error:
        return error.code
